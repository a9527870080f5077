package transformer_test

import (
	"slices"
	"testing"

	"github.com/gpupeft/gpupeft/internal/backends"
	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// TestGradCheckpoint: activations that are computed again give the same bits, in
// less memory.
func TestGradCheckpoint(t *testing.T) {
	for _, kind := range []string{"llama3", "mistral", "gemma2", "gemma3"} {
		t.Run(kind, func(t *testing.T) {
			backends.Each(t, func(t *testing.T, b tensor.Backend) {
				m := golden.Load(t, kind).Model(t, b)
				grad, tap := embedGradient(t, b, 40, m.Config.Hidden)
				options := transformer.RunOptions{Batch: 2, Length: 20, Train: true, Hooks: transformer.Hooks{GradTap: tap}}
				all := mustRun(t, m, options)
				options.GradCheckpoint = true
				few := mustRun(t, m, options)
				for i, lengths := range [][]int{{20, 20}, {3, 17}} {
					batch := randomBatch(uint64(i), m.Config.VocabSize, lengths...)
					wantLoss, wantG := lossAndGradient(t, all, batch, grad)
					loss, g := lossAndGradient(t, few, batch, grad)
					if loss.Sum != wantLoss.Sum || !slices.Equal(g, wantG) {
						t.Errorf("lengths %v: loss %v, want %v, gradients equal: %v", lengths, loss.Sum, wantLoss.Sum, slices.Equal(g, wantG))
					}
				}
				if a, f := all.Memory(), few.Memory(); f.Activations >= a.Activations || f.Activations+f.Gradients >= a.Activations+a.Gradients {
					t.Errorf("%+v, with checkpoints %+v", a, f)
				}
			})
		})
	}
}

// TestRunMemory: what a run says that it takes is what it takes, and what a plan
// said before.
func TestRunMemory(t *testing.T) {
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		m := golden.Load(t, "gemma2").Model(t, b)
		for name, o := range map[string]transformer.RunOptions{
			"train":      {Batch: 3, Length: 33, Train: true},
			"steps":      {Batch: 3, Length: 33, Train: true, Hooks: transformer.Hooks{Wants: everywhere}},
			"checkpoint": {Batch: 3, Length: 33, Train: true, GradCheckpoint: true},
			"patterns":   {Batch: 1, Length: 16, Hooks: transformer.Hooks{Wants: everywhere}},
			"generate":   {Batch: 2, Length: 16, Context: 64},
		} {
			before := b.Memory()
			r := mustRun(t, m, o)
			after := b.Memory()
			const roundedUp = 16 // a GPU's tensor, at most
			slack := int64(roundedUp * (after.Tensors - before.Tensors))
			if took, said := after.InUse-before.InUse, r.Memory().Total(); took < said || took > said+slack {
				t.Errorf("%s: took %d bytes, says %d", name, took, said)
			}
		}
	})
}

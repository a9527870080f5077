package transformer_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/gpupeft/gpupeft/internal/backends"
	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// counter counts the operations that a backend runs.
type counter struct {
	tensor.Backend
	names map[string]int
}

func (c counter) Run(ctx context.Context, ops []tensor.Op) error {
	for _, o := range ops {
		c.names[o.Name()]++
	}
	return c.Backend.Run(ctx, ops)
}

// TestHooksCostNothing: only the layers and norms that are asked for are computed in steps.
func TestHooksCostNothing(t *testing.T) {
	cpu := tensor.NewCPU(0)
	defer cpu.Close()
	b := counter{cpu, map[string]int{}}
	m := golden.Load(t, "llama2").Model(t, b)
	for _, c := range []struct {
		wants              func(transformer.Site) bool
		attention, pattern int
		fused, steps       int // norms
	}{
		{nil, 3, 0, 6, 0},
		{func(s transformer.Site) bool { return s == transformer.Site{Layer: 1, Point: transformer.Pattern} }, 2, 1, 6, 0},
		{func(s transformer.Site) bool {
			return s == transformer.Site{Layer: 2, Point: transformer.Norm2Normalized}
		}, 3, 0, 5, 1},
		{everywhere, 0, 3, 0, 6},
	} {
		clear(b.names)
		r := mustRun(t, m, transformer.RunOptions{Batch: 1, Length: 4, Hooks: transformer.Hooks{Wants: c.wants}})
		if err := r.Forward(t.Context(), transformer.Batch{IDs: [][]int32{{1, 2, 3, 4}}}); err != nil {
			t.Fatal(err)
		}
		if b.names["attention"] != c.attention || b.names["pattern.scores"] != c.pattern || b.names["rmsnorm"] != c.fused ||
			b.names["normsteps.rms"] != c.steps {
			t.Errorf("operations %v, want %+v", b.names, c)
		}
	}
}

// TestBackwardFrom: the gradient of the loss, given as that of the logits, is that of Backward,
// also in parts of the vocabulary and behind a soft-cap.
func TestBackwardFrom(t *testing.T) {
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		for _, extra := range []map[string]any{{}, {"model_type": "gemma2", "head_dim": 4, "final_logit_softcapping": 3.0, "sliding_window": 4}} {
			m, err := transformer.Load(t.Context(), b, transformer.RandomCheckpoint(t, string(edited(t, extra)), 3), transformer.LoadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			grad, tap := embedGradient(t, b, 40, m.Config.Hidden)
			batch := randomBatch(2, m.Config.VocabSize, 20, 13)
			options := transformer.RunOptions{Batch: 2, Length: 20, Train: true, Hooks: transformer.Hooks{GradTap: tap}}
			_, want := lossAndGradient(t, mustRun(t, m, options), batch, grad)
			for _, size := range []int{0, 40 * 128} {
				r := mustRun(t, m, options)
				if size > 0 {
					transformer.SetMaxLogits(r, size)
				}
				if err := r.Forward(t.Context(), batch); err != nil {
					t.Fatal(err)
				}
				rows := r.Rows()
				logits, err := r.Logits(t.Context(), rows)
				if err != nil {
					t.Fatal(err)
				}
				if err := r.BackwardFrom(t.Context(), rows, lossOfLogits(logits, rows, batch, 20)); err != nil {
					t.Fatal(err)
				}
				got, err := tensor.Floats(t.Context(), b, grad)
				if err != nil {
					t.Fatal(err)
				}
				golden.Near(t, "gradient", got[:len(want)], want, 1e-10)
			}
		}
	})
}

// lossOfLogits is the gradient of the mean cross-entropy.
func lossOfLogits(logits []float32, rows []int32, b transformer.Batch, width int) []float32 {
	vocab := len(logits) / len(rows)
	grad, n := make([]float32, len(logits)), float64(b.Targets())
	for i, row := range rows {
		s, t := int(row)/width, int(row)%width
		if t+1 >= len(b.Labels[s]) || b.Labels[s][t+1] == transformer.Masked {
			continue
		}
		sum := 0.0
		for _, x := range logits[i*vocab:][:vocab] {
			sum += math.Exp(float64(x))
		}
		for v, x := range logits[i*vocab:][:vocab] {
			grad[i*vocab+v] = float32(math.Exp(float64(x)) / sum / n)
		}
		grad[i*vocab+int(b.Labels[s][t+1])] -= float32(1 / n)
	}
	return grad
}

func TestBackwardFromErrors(t *testing.T) {
	b := tensor.NewCPU(0)
	defer b.Close()
	m := golden.Load(t, "llama2").Model(t, b)
	vocab := m.Config.VocabSize
	for name, c := range map[string]struct {
		train bool
		rows  []int32
		grad  int
	}{
		"no train":  {false, []int32{0}, vocab},
		"no rows":   {true, nil, 0},
		"row twice": {true, []int32{1, 1}, 2 * vocab},
		"row":       {true, []int32{3}, vocab},
		"short":     {true, []int32{1}, vocab - 1},
	} {
		r := mustRun(t, m, transformer.RunOptions{Batch: 1, Length: 4, Train: c.train})
		if err := r.Forward(t.Context(), transformer.Batch{IDs: [][]int32{{1, 2, 3}}}); err != nil {
			t.Fatal(err)
		}
		if err := r.BackwardFrom(t.Context(), c.rows, make([]float32, c.grad)); !errors.Is(err, transformer.ErrInput) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	yes := func(transformer.Site) bool { return true }
	for _, o := range []transformer.RunOptions{
		{Batch: 1, Length: 1, Layers: 4},
		{Batch: 1, Length: 1, Layers: -1},
		{Batch: 1, Length: 1, Layers: 1, Train: true},
		{Batch: 1, Length: 1, HeadsOnly: true, Train: true},
		{Batch: 1, Length: 1, StreamOnly: true, Train: true},
	} {
		if _, err := m.NewRun(o); !errors.Is(err, transformer.ErrInput) {
			t.Errorf("%+v: got %v", o, err)
		}
	}
	o := transformer.RunOptions{Batch: 1, Length: 1, Train: true, GradCheckpoint: true, Hooks: transformer.Hooks{Edits: yes}}
	if _, err := m.NewRun(o); !errors.Is(err, transformer.ErrUnsupported) {
		t.Errorf("edits with checkpointing: got %v", err)
	}
	for _, o := range []transformer.RunOptions{
		{Batch: 1, Length: 4, Layers: 2}, {Batch: 1, Length: 4, HeadsOnly: true}, {Batch: 1, Length: 4, StreamOnly: true},
	} {
		r := mustRun(t, m, o)
		if err := r.Forward(t.Context(), transformer.Batch{IDs: [][]int32{{1, 2, 3}}, Labels: [][]int32{{1, 2, 3}}}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Logits(t.Context(), []int32{0}); !errors.Is(err, transformer.ErrInput) {
			t.Errorf("logits of %+v: got %v", o, err)
		}
		if _, err := r.Loss(t.Context()); !errors.Is(err, transformer.ErrInput) {
			t.Errorf("loss of %+v: got %v", o, err)
		}
		if o.Layers > 0 {
			continue
		}
		if _, err := r.LogitsOf(t.Context(), make([]float32, m.Config.Hidden)); !errors.Is(err, transformer.ErrInput) {
			t.Errorf("logits of a stream, of %+v: got %v", o, err)
		}
		if n := r.Memory().Logits; n != 0 {
			t.Errorf("%+v: %d bytes for logits", o, n)
		}
	}
}

// TestHeadsOnly: the run ends at the last layer's Z, and up to there is what it would be.
func TestHeadsOnly(t *testing.T) {
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		for _, kind := range []string{"llama3", "gemma2"} {
			m := golden.Load(t, kind).Model(t, b)
			sites := func(o transformer.RunOptions) (names []string, z []float32) {
				o.Batch, o.Length = 1, 4
				o.Tap = func(p *tensor.Pass, s transformer.Site, x *tensor.Tensor) {
					names = append(names, s.String())
					if (s != transformer.Site{Layer: len(m.Config.Layers) - 1, Point: transformer.Z}) {
						return
					}
					err := p.Submit(t.Context())
					if err == nil {
						z, err = tensor.Floats(t.Context(), b, x)
					}
					p.Fail(err)
				}
				if err := mustRun(t, m, o).Forward(t.Context(), transformer.Batch{IDs: [][]int32{{1, 5, 9, 4}}}); err != nil {
					t.Fatal(err)
				}
				return names, z
			}
			all, want := sites(transformer.RunOptions{})
			some, got := sites(transformer.RunOptions{HeadsOnly: true})
			last := slices.Index(all, fmt.Sprintf("blocks.%d.attn.hook_z", len(m.Config.Layers)-1))
			if len(got) == 0 || !slices.Equal(got, want) || !slices.Equal(some, all[:last+1]) {
				t.Errorf("%s: sites %v, want %v; z %v, want %v", kind, some, all[:last+1], got, want)
			}
		}
	})
}

// TestSites: names are read back, and every point has one of its own.
func TestSites(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range transformer.Points() {
		s := transformer.Site{Point: p}
		if p.Layered() {
			s.Layer = 12
		}
		if got, err := transformer.ParseSite(s.String()); err != nil || got != s || seen[s.String()] {
			t.Errorf("%v: read as %v, %v", s, got, err)
		}
		seen[s.String()] = true
	}
	for _, name := range []string{
		"", "blocks", "blocks.1", "blocks.x.hook_resid_pre", "blocks.-1.hook_resid_pre", "blocks.0.hook_embed", "hook_resid_pre",
		"blocks.0.unembed.hook_in",
	} {
		if s, err := transformer.ParseSite(name); !errors.Is(err, transformer.ErrInput) {
			t.Errorf("%q: read as %v, %v", name, s, err)
		}
	}
}

package peft_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gpupeft/gpupeft/internal/backends"
	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// toyBatch is the batch of testdata/toys, whose labels go one beyond the tokens.
func toyBatch(g *golden.Tuned) (b transformer.Batch) {
	for row := range slices.Chunk(g.Ints["input_ids"], g.Shape["input_ids"][1]) {
		b.IDs = append(b.IDs, row)
	}
	for row := range slices.Chunk(g.Ints["labels"], g.Shape["labels"][1]) {
		b.Labels = append(b.Labels, row)
	}
	return b
}

// eachToy calls f with a toy, all of whose weights are trained.
func eachToy(t *testing.T, f func(t *testing.T, g *golden.Tuned, a peft.Method)) {
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		for _, kind := range golden.ToyKinds {
			t.Run(kind, func(t *testing.T) {
				a, err := peft.New(t.Context(), golden.HookedModel(t, b, kind), peft.FullConfig{})
				if err != nil {
					t.Fatal(err)
				}
				defer a.Close()
				f(t, golden.LoadTuned(t, kind), a)
			})
		}
	})
}

// TestToyGradients: the gradient of every weight of a toy is TransformerLens', with
// gradient checkpointing, too.
func TestToyGradients(t *testing.T) {
	eachToy(t, func(t *testing.T, g *golden.Tuned, a peft.Method) {
		for _, again := range []bool{false, true} {
			r := newRun(t, a.Model(), transformer.RunOptions{Batch: 3, Length: 9, Train: true, GradCheckpoint: again, Adapters: []transformer.Adapter{a}})
			if err := r.Forward(t.Context(), toyBatch(g)); err != nil {
				t.Fatal(err)
			}
			loss, err := r.LossAndBackward(t.Context(), 1/float32(toyBatch(g).Targets()))
			if err != nil {
				t.Fatal(err)
			}
			if loss.Tokens != 25 { // 27 less two that are masked
				t.Errorf("%d targets, want 25", loss.Tokens)
			}
			golden.NearNumber(t, "loss", loss.Mean(), g.Loss, golden.MaxLossError)
			compared := 0
			for _, p := range a.Params().List {
				got, err := tensor.Floats(t.Context(), a.Model().Backend(), p.Grad)
				if err != nil {
					t.Fatal(err)
				}
				if again { // added to what was there
					for i := range got {
						got[i] /= 2
					}
				}
				golden.Near(t, "gradient of "+p.Name, got, g.Floats["grad."+p.Name], golden.MaxGradNMSE)
				compared++
			}
			if compared != len(g.Floats) {
				t.Errorf("%d gradients, want %d", compared, len(g.Floats))
			}
		}
	})
}

// TestToyTraining: 20 steps of AdamW have the losses of PyTorch's, and the result goes through
// a file.
func TestToyTraining(t *testing.T) {
	eachToy(t, func(t *testing.T, g *golden.Tuned, a peft.Method) {
		m, batch := a.Model(), toyBatch(g)
		r := newRun(t, m, transformer.RunOptions{Batch: 3, Length: 9, Train: true, Adapters: []transformer.Adapter{a}})
		trainer, err := peft.NewTrainer(t.Context(), r, a, peft.TrainConfig{Steps: len(g.Train.Losses), LR: g.Train.LR, WeightDecay: 0.01})
		if err != nil {
			t.Fatal(err)
		}
		defer trainer.Close()
		for i, want := range g.Train.Losses {
			step, err := trainer.Step(t.Context(), []transformer.Batch{batch})
			if err != nil {
				t.Fatal(err)
			}
			golden.NearNumber(t, fmt.Sprint("loss of step ", i), step.Loss, want, golden.MaxTrainLossError)
		}
		want := toyLoss(t, r, batch)
		dir := t.TempDir()
		saveToy(t, g.Dir, dir, a)
		saved, err := transformer.Load(t.Context(), m.Backend(), os.DirFS(dir), transformer.LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer saved.Close()
		if got := toyLoss(t, newRun(t, saved, transformer.RunOptions{Batch: 3, Length: 9}), batch); got != want {
			t.Errorf("loss %v after it was saved, %v before", got, want)
		}
	})
}

func toyLoss(t *testing.T, r *transformer.Run, b transformer.Batch) float64 {
	t.Helper()
	if err := r.Forward(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	loss, err := r.Loss(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return loss.Sum
}

// saveToy writes the toy of a directory with the weights that were trained.
func saveToy(t *testing.T, from, to string, a peft.Method) {
	t.Helper()
	c, err := transformer.Open(os.DirFS(from))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	trained, err := peft.Merge(t.Context(), c, a)
	if err != nil {
		t.Fatal(err)
	}
	var weights bytes.Buffer
	if err := trained.WriteSafetensors(&weights); err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(filepath.Join(from, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"model.safetensors": weights.Bytes(), "config.json": config} {
		if err := os.WriteFile(filepath.Join(to, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestToyPrompt: a soft prompt stands in front, and the label behind the last token stays one.
func TestToyPrompt(t *testing.T) {
	b := tensor.NewCPU(0)
	defer b.Close()
	m := golden.HookedModel(t, b, "toys/attention")
	a, err := peft.New(t.Context(), m, peft.PromptConfig{Tokens: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	batch := toyBatch(golden.LoadTuned(t, "toys/attention"))
	r := newRun(t, m, transformer.RunOptions{Batch: 3, Length: 12, Train: true, Adapters: []transformer.Adapter{a}})
	if err := r.Forward(t.Context(), r.WithPrompt(batch)); err != nil {
		t.Fatal(err)
	}
	loss, err := r.Loss(t.Context())
	if want := batch.Targets() + 3; err != nil || loss.Tokens != want { // and the first tokens
		t.Errorf("%d targets, %v, want %d", loss.Tokens, err, want)
	}
}

// TestToyMethods: methods take what a model of attention alone has, and say so where it lacks
// what they are for.
func TestToyMethods(t *testing.T) {
	b := tensor.NewCPU(0)
	defer b.Close()
	m := golden.HookedModel(t, b, "toys/attention")
	lora, err := peft.New(t.Context(), m, peft.LoRAConfig{Rank: 2, Targets: peft.Named(peft.AllLinear)})
	if err != nil {
		t.Fatal(err)
	}
	defer lora.Close()
	if n := len(lora.Params().List); n != 2*2*4 { // A and B, layers, projections
		t.Errorf("%d parameters of LoRA, want 16", n)
	}
	dir := filepath.Join(t.TempDir(), "lora")
	if err := peft.Save(t.Context(), dir, lora, peft.SaveOptions{BaseModel: "toy"}); err != nil {
		t.Fatal(err)
	}
	loaded, err := peft.Load(t.Context(), os.DirFS(dir), m, peft.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer loaded.Close()
	for _, c := range []peft.Config{peft.BottleneckConfig{Output: true, Act: "relu"}, peft.IA3Config{}, peft.LayerNormConfig{}} {
		a, err := peft.New(t.Context(), m, c)
		if err == nil {
			a.Close()
			t.Errorf("%s: no error", c.Name())
		}
	}
}

package peft_test

import (
	"context"
	"encoding/json"
	"iter"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/gpupeft/gpupeft/internal/backends"
	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// published are the shapes of testdata/configs, and how many layers of them are tried:
// two where layers differ.
var published = map[string]int{
	"llama-2-7b": 1, "llama-2-13b": 1, "llama-3.1-8b": 1, "mistral-7b": 1, "gemma-2-2b": 2, "gemma-2-9b": 2, "gemma-3-4b": 2,
}

// randomQ4 is a model of a published width and vocabulary with few layers and random
// weights, packed as --quant q4_0 does.
func randomQ4(t *testing.T, name string, layers int) *transformer.Checkpoint {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "testdata", "configs", name, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	if inner, ok := fields["text_config"].(map[string]any); ok {
		fields = inner
	}
	fields["num_hidden_layers"] = layers
	if text, err = json.Marshal(fields); err != nil {
		t.Fatal(err)
	}
	c, err := transformer.OpenConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	random := map[string]transformer.Stored{}
	for _, name := range c.Names() {
		s, _ := c.Tensor(name)
		s.DType = tensor.Q4_0
		switch {
		case len(s.Shape) == 1:
			s.DType = tensor.F32
		case name == "model.embed_tokens.weight" || name == "lm_head.weight":
			s.DType = tensor.Q8_0
		}
		s.Rows = randomRows(s)
		random[name] = s
	}
	return c.With(random)
}

// randomRows repeats one row of normal values around 0, as wide as those of a trained
// model.
func randomRows(s transformer.Stored) func([]byte, int, int) error {
	rng := rand.New(rand.NewPCG(uint64(s.Shape[0]), 1))
	const several = 32 // different rows
	values := make([]float32, several*int(s.Bytes(0, 1)*int64(s.DType.Block())/s.DType.Bytes(s.DType.Block())))
	for i := range values {
		values[i] = float32(rng.NormFloat64() * 0.02)
	}
	rows := tensor.Pack(nil, s.DType, values)
	return func(dst []byte, lo, hi int) error {
		size := len(rows) / several
		for r := lo; r < hi; r++ {
			copy(dst[(r-lo)*size:], rows[r%several*size:][:size])
		}
		return nil
	}
}

// TestPublishedWidths trains a step on models with the widths and vocabularies of
// published ones, compares the memory that it takes with the plan, and the losses of the
// devices with each other.
func TestPublishedWidths(t *testing.T) {
	if testing.Short() {
		t.Skip("large matrices")
	}
	for name, layers := range published {
		t.Run(name, func(t *testing.T) {
			c := randomQ4(t, name, layers)
			var losses []float64
			backends.Each(t, func(t *testing.T, b tensor.Backend) { losses = append(losses, checkWidth(t, b, c)) })
			for _, l := range losses {
				if math.Abs(l-losses[0]) > golden.MaxTrainLossError*losses[0] {
					t.Errorf("losses %v", losses)
				}
			}
		})
	}
}

func checkWidth(t *testing.T, b tensor.Backend, c *transformer.Checkpoint) (loss float64) {
	const most = 0.02 // relative difference of plan and truth
	options := transformer.RunOptions{Batch: 1, Length: 16, Train: true, GradCheckpoint: true}
	plan := tensor.NewPlan(b.Limits())
	planned, err := c.Plan(plan, transformer.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := allocated(t, plan, planned, options, func(*transformer.Run, peft.Method) {})

	m, err := c.Load(t.Context(), b, transformer.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	weights := m.Bytes()
	got := weights - planned.Bytes() + allocated(t, b, m, options, func(r *transformer.Run, method peft.Method) {
		loss = trainOnce(t, r, method)
	})
	if d := math.Abs(float64(got-want)) / float64(want); d > most {
		t.Errorf("%d bytes were allocated, %d planned", got, want)
	}
	return loss
}

// allocated makes LoRA and a run, calls f, and returns what all took but the weights,
// plus those of the plan.
func allocated(t *testing.T, b tensor.Backend, m *transformer.Model, o transformer.RunOptions, f func(*transformer.Run, peft.Method)) int64 {
	t.Helper()
	before := b.Memory().InUse
	method, err := peft.New(t.Context(), m, peft.LoRAConfig{Rank: 8})
	if err != nil {
		t.Fatal(err)
	}
	defer method.Close()
	o.Adapters = []transformer.Adapter{method}
	r, err := m.NewRun(o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f(r, method)
	return b.Memory().InUse - before + m.Bytes()
}

// trainOnce takes a step, makes sure that it did something, and returns the loss.
func trainOnce(t *testing.T, r *transformer.Run, m peft.Method) (loss float64) {
	t.Helper()
	vocab := r.Model().Config.VocabSize
	ids := make([]int32, 16)
	for i := range ids {
		ids[i] = int32(vocab - 1 - i*(vocab/16))
	}
	batches := func(yield func([]transformer.Batch, error) bool) {
		yield([]transformer.Batch{{IDs: [][]int32{ids}, Labels: [][]int32{ids}}}, nil)
	}
	steps := peft.Train(context.Background(), r, m, iter.Seq2[[]transformer.Batch, error](batches), peft.TrainConfig{Steps: 1, LR: 1e-3})
	for s, err := range steps {
		if err != nil {
			t.Fatal(err)
		}
		if loss = s.Loss; !(loss > 0) || !(s.GradNorm > 0) {
			t.Errorf("loss %v, gradient norm %v", s.Loss, s.GradNorm)
		}
	}
	return loss
}

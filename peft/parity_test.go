package peft_test

import (
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gpupeft/gpupeft/internal/backends"
	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/internal/parity"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// TestParity trains adapters, saves them, loads them in HF PEFT, and compares the
// logits: two methods on every model, every method on three, and combinations.
func TestParity(t *testing.T) {
	python := parity.Python(t, "python")
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		p := &maker{Backend: b, dir: t.TempDir()}
		for _, kind := range []string{"llama2", "llama-linear", "gemma", "gemma3"} { // the others are below
			p.train(t, kind, "prompt-new", newAdapter)
			p.train(t, kind, "lora-new", newAdapter)
		}
		eachMethod(t, func(t *testing.T, kind, method string) {
			switch {
			case method == "full":
				t.Skip("PEFT has no full fine-tuning")
			case method == "adaption" && kind == "gemma2":
				t.Skip("PEFT refuses Gemma 2")
			}
			p.train(t, kind, method, func(t *testing.T, m *transformer.Model, method string) peft.Method {
				return trainable(t, golden.LoadTuned(t, filepath.Join("methods", kind, method)), method, m)
			})
		})
		for _, kind := range methodKinds {
			for _, name := range slices.Sorted(maps.Keys(parityConfigs)) {
				p.train(t, kind, name, newAdapter)
			}
		}
		for _, how := range peft.Combinations() {
			p.combine(t, "llama3", how)
		}
		for _, kind := range []string{"mistral", "gemma2"} {
			p.combine(t, kind, "cat")
		}
		t.Run("PEFT", func(t *testing.T) { parity.Compare(t, python, "check_peft.py", p.jobs) })
	})
}

// maker makes adapters and keeps them in a directory.
type maker struct {
	tensor.Backend
	dir  string
	jobs []parity.Job
}

// train makes an adapter, trains it for a few steps and saves it.
func (p *maker) train(t *testing.T, kind, name string, make func(t *testing.T, m *transformer.Model, name string) peft.Method) {
	t.Run("train/"+kind+"/"+name, func(t *testing.T) {
		m := golden.Load(t, kind).Model(t, p)
		p.save(t, kind, name, make(t, m, name), 5)
	})
}

// save trains a method and saves it.
func (p *maker) save(t *testing.T, kind, name string, a peft.Method, steps int) {
	t.Helper()
	g := golden.Load(t, kind)
	batch, width := g.Batch("")
	batch.IDs[1] = append(batch.IDs[1], 4, 9, 17, 30) // of trainable tokens
	batch.Labels[1] = append(batch.Labels[1], 9, 17, 30, 4)
	bare := realLogits(t, newRun(t, a.Model(), transformer.RunOptions{Batch: 2, Length: width}), batch)
	batch = withTasks(batch, a)
	r := newRun(t, a.Model(), transformer.RunOptions{Batch: 2, Length: width + a.VirtualTokens(), Train: true, Adapters: []transformer.Adapter{a}})
	if steps > 0 {
		for _, err := range peft.Train(t.Context(), r, a, repeat(batch), peft.TrainConfig{Steps: steps, LR: 1e-2}) {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	dir := filepath.Join(p.dir, kind, name)
	if err := peft.Save(t.Context(), dir, a, peft.SaveOptions{BaseModel: kind}); err != nil {
		t.Fatal(err)
	}
	p.jobs = append(p.jobs, parity.Job{
		Name: kind + "/" + name, Model: g.Dir, Adapter: dir, IDs: batch.IDs, Tasks: batch.Tasks,
		Bare: bare, Logits: realLogits(t, r, batch),
	})
}

// combine makes one LoRA of three.
func (p *maker) combine(t *testing.T, kind, how string) {
	t.Run("combine/"+kind+"/"+how, func(t *testing.T) {
		var loras []*peft.State
		for _, name := range []string{"lora-all", "lora-layers", "lora-lm-head"} {
			loras = append(loras, readState(t, filepath.Join(kind, name)))
		}
		s, err := peft.Combine(t.Context(), loras, peft.Combination{How: how, Weights: []float64{0.7, -1.2, 0.5}, Density: 0.6})
		if err != nil {
			t.Fatal(err)
		}
		a, err := s.New(t.Context(), golden.Load(t, kind).Model(t, p))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { a.Close() })
		p.save(t, kind, "combined-"+how, a, 0)
	})
}

// parityConfigs are settings that the goldens don't have.
var parityConfigs = map[string]peft.Config{
	"prompt-new":        peft.PromptConfig{},
	"lora-new":          peft.LoRAConfig{Targets: peft.Named(peft.AllLinear)},
	"lora-lower-layers": peft.LoRAConfig{Targets: peft.Named("q_proj", "up_proj"), Layers: []int{0, 1}},
	"lora-full-names":   peft.LoRAConfig{Targets: peft.Named("model.layers.1.mlp.up_proj", "layers.2.self_attn.k_proj", "lm_head")},
	"lora-everything":   peft.LoRAConfig{Targets: peft.Named(peft.AllLinear, "embed_tokens", "lm_head")},
	"dora-all":          peft.LoRAConfig{Targets: peft.Named(peft.AllLinear), DoRA: true, RSLoRA: true},
	"ia3-outputs":       peft.IA3Config{OutputsOnly: true},
	"ia3-targets":       peft.IA3Config{Targets: peft.Named("q_proj", "down_proj", "up_proj")},
	"ia3-attention":     peft.IA3Config{Targets: peft.Named("q_proj", "k_proj")},
	"ia3-all":           peft.IA3Config{Targets: peft.Named(peft.AllLinear)},
}

// newAdapter makes an adapter of one of them.
func newAdapter(t *testing.T, m *transformer.Model, name string) peft.Method {
	t.Helper()
	a, err := peft.New(t.Context(), m, parityConfigs[name])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// repeat gives the same batch again and again.
func repeat(b transformer.Batch) func(func([]transformer.Batch, error) bool) {
	return func(yield func([]transformer.Batch, error) bool) {
		for yield([]transformer.Batch{b}, nil) {
		}
	}
}

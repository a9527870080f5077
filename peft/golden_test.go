package peft_test

import (
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/internal/backends"
	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// adapters are the directories that HF PEFT saved for every model.
var adapters = []string{"prompt", "lora"}

func adapted(g *golden.Golden, adapter string) golden.Adapted {
	if adapter == "prompt" {
		return g.Prompt
	}
	return g.LoRA
}

func loadAdapter(t *testing.T, g *golden.Golden, m *transformer.Model, dir string, o peft.LoadOptions) peft.Method {
	t.Helper()
	a, err := peft.Load(t.Context(), os.DirFS(filepath.Join(g.Dir, dir)), m, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

func newRun(t *testing.T, m *transformer.Model, o transformer.RunOptions) *transformer.Run {
	t.Helper()
	r, err := m.NewRun(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// realLogits returns the logits of all real tokens of a batch.
func realLogits(t *testing.T, r *transformer.Run, b transformer.Batch) []float32 {
	t.Helper()
	if err := r.Forward(t.Context(), r.WithPrompt(b)); err != nil {
		t.Fatal(err)
	}
	virtual, width := len(r.Virtual()), 0
	for _, ids := range b.IDs {
		width = max(width, virtual+len(ids))
	}
	var rows []int32
	for s, ids := range b.IDs {
		for i := range ids {
			rows = append(rows, int32(s*width+virtual+i))
		}
	}
	logits, err := r.Logits(t.Context(), rows)
	if err != nil {
		t.Fatal(err)
	}
	return logits
}

// TestLoadedAdapters compares what PEFT's own adapters compute here: logits, loss
// and the gradient of every parameter.
func TestLoadedAdapters(t *testing.T) {
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		for _, kind := range golden.Kinds {
			for _, adapter := range adapters {
				t.Run(kind+"/"+adapter, func(t *testing.T) { testAdapter(t, b, kind, adapter) })
			}
		}
	})
}

func testAdapter(t *testing.T, b tensor.Backend, kind, adapter string) {
	g := golden.Load(t, kind)
	m := g.Model(t, b)
	a := loadAdapter(t, g, m, "adapter_"+adapter, peft.LoadOptions{})
	batch, width := g.Batch("")
	r := newRun(t, m, transformer.RunOptions{Batch: 2, Length: width + 5, Train: true, Adapters: []transformer.Adapter{a}})
	golden.NearLogits(t, "logits", realLogits(t, r, batch), golden.Real(g.Floats[adapter+".logits"], batch, width))
	loss, err := r.Loss(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	golden.NearNumber(t, "loss", loss.Mean(), adapted(g, adapter).Loss, golden.MaxLossError)
	if err := r.Backward(t.Context(), 1/float32(loss.Tokens)); err != nil {
		t.Fatal(err)
	}
	for _, p := range a.Params().List {
		got, err := tensor.Floats(t.Context(), b, p.Grad)
		if err != nil {
			t.Fatal(err)
		}
		golden.Near(t, "gradient of "+p.Name, got, g.Floats[adapter+".grad."+p.Name], golden.MaxGradNMSE)
	}
}

// TestGreedyWithAdapter continues a text with an adapter in place, from the cache.
func TestGreedyWithAdapter(t *testing.T) {
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		for _, kind := range golden.Kinds {
			for _, adapter := range adapters {
				t.Run(kind+"/"+adapter, func(t *testing.T) {
					g := golden.Load(t, kind)
					m := g.Model(t, b)
					a := loadAdapter(t, g, m, "adapter_"+adapter, peft.LoadOptions{})
					greedy := adapted(g, adapter).Greedy
					r := newRun(t, m, transformer.RunOptions{Batch: 1, Length: 8, Context: 40, Adapters: []transformer.Adapter{a}})
					prompt := r.WithPrompt(transformer.Batch{IDs: [][]int32{greedy.Prompt}}).IDs[0]
					var got []int32
					for id, err := range r.Generate(t.Context(), prompt, transformer.Generation{MaxTokens: len(greedy.New)}) {
						if err != nil {
							t.Fatal(err)
						}
						got = append(got, id)
					}
					if !slices.Equal(got, greedy.New) {
						t.Errorf("got %v, want %v", got, greedy.New)
					}
				})
			}
		}
	})
}

// TestPatterns reads rank_pattern, alpha_pattern and rsLoRA.
func TestPatterns(t *testing.T) {
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		g := golden.Load(t, "llama2")
		m := g.Model(t, b)
		a := loadAdapter(t, g, m, "adapter_lora_patterns", peft.LoadOptions{})
		batch, width := g.Batch("")
		r := newRun(t, m, transformer.RunOptions{Batch: 2, Length: width, Adapters: []transformer.Adapter{a}})
		golden.NearLogits(t, "logits", realLogits(t, r, batch), golden.Real(g.Floats["lora_patterns.logits"], batch, width))
	})
}

// TestPromptScale reads a prompt of Gemma 2 by the convention of transformers 4.
func TestPromptScale(t *testing.T) {
	b := tensor.NewCPU(0)
	defer b.Close()
	g := golden.Load(t, "gemma2")
	m := g.Model(t, b)
	a := loadAdapter(t, g, m, "adapter_prompt", peft.LoadOptions{PromptScale: peft.ScaleHF4})
	batch, width := g.Batch("")
	r := newRun(t, m, transformer.RunOptions{Batch: 2, Length: width + 5, Adapters: []transformer.Adapter{a}})
	golden.NearLogits(t, "logits", realLogits(t, r, batch), golden.Real(g.Floats["prompt.hf4.logits"], batch, width))
}

// TestTraining follows PEFT's losses over 20 steps of AdamW, to the same weights.
func TestTraining(t *testing.T) {
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		for _, kind := range golden.Kinds {
			g := golden.Load(t, kind)
			for _, adapter := range adapters {
				for plan := range adapted(g, adapter).Train {
					t.Run(fmt.Sprintf("%s/%s/%s", kind, adapter, plan), func(t *testing.T) { testTraining(t, b, g, adapter, plan) })
				}
			}
		}
	})
}

func testTraining(t *testing.T, b tensor.Backend, g *golden.Golden, adapter, name string) {
	plan, m := adapted(g, adapter).Train[name], g.Model(t, b)
	a := loadAdapter(t, g, m, "adapter_"+adapter, peft.LoadOptions{})
	if adapter == "lora" {
		zeroB(t, b, a)
	}
	r := newRun(t, m, transformer.RunOptions{Batch: 2, Length: 40, Train: true, Adapters: []transformer.Adapter{a}})
	config := peft.TrainConfig{
		Steps: plan.Steps, LR: plan.LR, Schedule: peft.Schedule(plan.Schedule), Warmup: plan.Warmup,
		Beta1: plan.Betas[0], Beta2: plan.Betas[1], Eps: plan.Eps, WeightDecay: plan.WeightDecay, MaxGradNorm: plan.MaxGradNorm,
	}
	n := 0
	for s, err := range peft.Train(t.Context(), r, a, goldenBatches(g, plan), config) {
		if err != nil {
			t.Fatal(err)
		}
		golden.NearNumber(t, fmt.Sprintf("loss of step %d", s.Step), s.Loss, plan.Losses[n], golden.MaxTrainLossError)
		golden.NearNumber(t, fmt.Sprintf("gradient norm of step %d", s.Step), s.GradNorm, plan.GradNorms[n], 1e-3)
		if plan.LRs[n] != s.LR && !(s.LR/plan.LRs[n] > 1-1e-9 && s.LR/plan.LRs[n] < 1+1e-9) {
			t.Errorf("step %d: lr %v, want %v", s.Step, s.LR, plan.LRs[n])
		}
		n++
	}
	if n != plan.Steps {
		t.Errorf("%d steps, want %d", n, plan.Steps)
	}
	values, err := a.Params().Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range a.Params().List {
		if want, ok := g.Floats[adapter+".train."+name+".final."+p.Name]; ok {
			golden.Near(t, "final "+p.Name, values[i], want, golden.MaxGradNMSE)
		}
	}
}

// zeroB starts LoRA as PEFT does.
func zeroB(t *testing.T, b tensor.Backend, a peft.Method) {
	t.Helper()
	for _, p := range a.Params().List {
		if strings.HasSuffix(p.Name, "lora_B.weight") {
			if err := tensor.WriteFloats(t.Context(), b, p.Value, make([]float32, p.Value.Len())); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// goldenBatches cycles over the four training batches.
func goldenBatches(g *golden.Golden, plan golden.Plan) iter.Seq2[[]transformer.Batch, error] {
	return func(yield func([]transformer.Batch, error) bool) {
		for next := 0; ; {
			var micro []transformer.Batch
			for range plan.Accumulation {
				b, _ := g.Batch(fmt.Sprintf("train.%d.", next%4))
				micro = append(micro, b)
				next++
			}
			if !yield(micro, nil) {
				return
			}
		}
	}
}

// TestSaveAndLoad writes each adapter and reads it back: same values, same logits.
func TestSaveAndLoad(t *testing.T) {
	b := tensor.NewCPU(0)
	defer b.Close()
	for _, kind := range golden.Kinds {
		for _, dir := range []string{"adapter_prompt", "adapter_lora", "adapter_lora_patterns"} {
			g := golden.Load(t, kind)
			if _, err := os.Stat(filepath.Join(g.Dir, dir)); err != nil {
				continue // only llama2 has patterns
			}
			t.Run(kind+"/"+dir, func(t *testing.T) {
				m := g.Model(t, b)
				a := loadAdapter(t, g, m, dir, peft.LoadOptions{})
				out := t.TempDir()
				if err := peft.Save(t.Context(), out, a, peft.SaveOptions{BaseModel: kind}); err != nil {
					t.Fatal(err)
				}
				again, err := peft.Load(t.Context(), os.DirFS(out), m, peft.LoadOptions{})
				if err != nil {
					t.Fatal(err)
				}
				defer again.Close()
				batch, width := g.Batch("")
				first := newRun(t, m, transformer.RunOptions{Batch: 2, Length: width + 5, Adapters: []transformer.Adapter{a}})
				second := newRun(t, m, transformer.RunOptions{Batch: 2, Length: width + 5, Adapters: []transformer.Adapter{again}})
				if !slices.Equal(realLogits(t, first, batch), realLogits(t, second, batch)) {
					t.Error("the saved adapter gives other logits")
				}
				names, _ := filepath.Glob(filepath.Join(out, "*"))
				if len(names) != 2 {
					t.Errorf("files %v, want two", names)
				}
			})
		}
	}
}

package peft_test

import (
	"math/rand/v2"
	"testing"

	"github.com/gpupeft/gpupeft/internal/backends"
	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// everyMethod has a small form of each method.
var everyMethod = map[string]peft.Config{
	"lora":       peft.LoRAConfig{Rank: 4, Targets: peft.Named(peft.AllLinear)},
	"lora-ends":  peft.LoRAConfig{Rank: 4, Targets: peft.Named("embed_tokens", "lm_head", "o_proj")},
	"lora-save":  peft.LoRAConfig{Rank: 4, Save: []string{"lm_head", "norm"}, Dropout: 0.2},
	"dora":       peft.LoRAConfig{Rank: 4, DoRA: true, Targets: peft.Named("q_proj", "down_proj", "lm_head")},
	"ia3":        peft.IA3Config{},
	"ln-tuning":  peft.LayerNormConfig{},
	"tokens":     peft.TokensConfig{Tokens: []int32{3, 7, 50}},
	"full":       peft.FullConfig{},
	"prompt":     peft.PromptConfig{Tokens: 4},
	"ptuning":    peft.PTuningConfig{Tokens: 4, Hidden: 8},
	"lstm":       peft.PTuningConfig{Tokens: 4, Hidden: 8, Encoder: peft.EncoderLSTM},
	"prefix":     peft.PrefixConfig{Tokens: 4, Text: []int32{5, 6}},
	"projected":  peft.PrefixConfig{Tokens: 4, Projection: true, Hidden: 8},
	"mpt":        peft.MultitaskConfig{Tokens: 4, Tasks: 2, Ranks: 2},
	"adapter":    peft.AdaptionConfig{Tokens: 4, Layers: 1},
	"adapter-v2": peft.Adaption2Config{AdaptionConfig: peft.AdaptionConfig{Tokens: 4, Layers: 2}},
	"seq-bn":     peft.SeqBn(), "double-seq-bn": peft.DoubleSeqBn(), "par-bn": peft.ParBn(),
}

// baseConfigs have rows of whole blocks of every type: one that ties its matrices and
// normalises sublayers' outputs, and one that does neither.
var baseConfigs = map[string]string{
	"gemma2": `{"model_type": "gemma2", "vocab_size": 96, "hidden_size": 256, "intermediate_size": 256, "num_hidden_layers": 2,
		"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64, "max_position_embeddings": 64, "rms_norm_eps": 1e-6,
		"hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 64, "attn_logit_softcapping": 50.0,
		"final_logit_softcapping": 30.0, "sliding_window": 5}`,
	"llama": `{"model_type": "llama", "vocab_size": 96, "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2,
		"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000,
		"hidden_act": "silu"}`,
}

var baseTypes = []tensor.DType{
	tensor.F16, tensor.BF16, tensor.Q8_0, tensor.Q4_0, tensor.Q4_1, tensor.Q5_0, tensor.Q5_1, tensor.Q4_K,
	tensor.Q5_K, tensor.Q6_K, tensor.NF4, tensor.FP4,
}

// randomBase is a model with random weights of a type, and the same in float32.
func randomBase(t *testing.T, config string, dt tensor.DType) (packed, plain *transformer.Checkpoint) {
	t.Helper()
	c, err := transformer.OpenConfig([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	random, expanded := map[string]transformer.Stored{}, map[string]transformer.Stored{}
	for _, name := range c.Names() {
		s, _ := c.Tensor(name)
		if s.DType = dt; len(s.Shape) == 1 {
			s.DType = tensor.F32
		}
		s.Rows = randomRows(s)
		random[name], expanded[name] = s, s.As(tensor.F32)
	}
	return c.With(random), c.With(expanded)
}

// outcome is what a method computes on a model, from the same values.
type outcome struct {
	loss   float64
	logits []float32
	grads  [][]float32
}

func compute(t *testing.T, b tensor.Backend, c *transformer.Checkpoint, config peft.Config, checkpoint bool) outcome {
	t.Helper()
	m, err := c.Load(t.Context(), b, transformer.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	a, err := peft.New(t.Context(), m, config)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	disturb(t, b, a)
	batch := transformer.Batch{IDs: [][]int32{{1, 5, 9, 3, 7, 50, 2, 8}, {1, 7, 7, 60}}, Tasks: []int{0, 0}, Dropout: 9}
	if _, ok := config.(peft.MultitaskConfig); ok {
		batch.Tasks[1] = 1
	}
	batch.Labels = batch.IDs
	r, err := m.NewRun(transformer.RunOptions{Batch: 2, Length: 12, Train: true, GradCheckpoint: checkpoint, Adapters: []transformer.Adapter{a}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var o outcome
	if err := r.Forward(t.Context(), r.WithPrompt(batch)); err != nil {
		t.Fatal(err)
	}
	if o.logits, err = r.Logits(t.Context(), r.Rows()); err != nil {
		t.Fatal(err)
	}
	loss, err := r.Loss(t.Context())
	if err == nil {
		err = r.Backward(t.Context(), 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	o.loss = loss.Sum
	for _, p := range a.Params().List {
		g, err := tensor.Floats(t.Context(), b, p.Grad)
		if err != nil {
			t.Fatal(err)
		}
		o.grads = append(o.grads, g)
	}
	return o
}

// disturb moves all parameters a little, so that none is at a point of rest.
func disturb(t *testing.T, b tensor.Backend, a peft.Method) {
	t.Helper()
	rng := rand.New(rand.NewPCG(3, 4))
	values, err := a.Params().Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range a.Params().List {
		for j := range values[i] {
			values[i][j] += float32(0.02 * rng.NormFloat64())
		}
		if err := tensor.WriteFloats(t.Context(), b, p.Value, values[i]); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEveryBaseType: each method on a base of each type gives what it gives on the same
// values in float32. On the GPU, a quarter of the pairs is tried.
func TestEveryBaseType(t *testing.T) {
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		n := 0
		for kind, text := range baseConfigs {
			for i, dt := range baseTypes {
				packed, plain := randomBase(t, text, dt)
				for name, config := range everyMethod {
					if n++; b.Info().Kind == "gpu" && (i+len(name))%4 != 0 {
						continue
					}
					t.Run(kind+"/"+dt.String()+"/"+name, func(t *testing.T) {
						got, want := compute(t, b, packed, config, i%2 == 1), compute(t, b, plain, config, i%2 == 0)
						golden.Near(t, "logits", got.logits, want.logits, golden.MaxGradNMSE)
						golden.NearNumber(t, "loss", got.loss, want.loss, golden.MaxLossError)
						for j, g := range got.grads {
							golden.Near(t, "gradient", g, want.grads[j], golden.MaxGradNMSE)
						}
					})
				}
			}
		}
		if n != len(baseConfigs)*len(baseTypes)*len(everyMethod) {
			t.Errorf("%d pairs", n)
		}
	})
}

// TestEveryPlan: what a method and its run take is known without memory, to the byte on
// the CPU.
func TestEveryPlan(t *testing.T) {
	b := tensor.NewCPU(1)
	defer b.Close()
	for kind, text := range baseConfigs {
		packed, _ := randomBase(t, text, tensor.Q8_0)
		for name, config := range everyMethod {
			for _, checkpoint := range []bool{false, true} {
				take := func(b tensor.Backend, load func() (*transformer.Model, error)) int64 {
					m, err := load()
					if err != nil {
						t.Fatal(err)
					}
					defer m.Close()
					a, err := peft.New(t.Context(), m, config)
					if err != nil {
						t.Fatal(err)
					}
					defer a.Close()
					r, err := m.NewRun(transformer.RunOptions{Batch: 2, Length: 12, Train: true, GradCheckpoint: checkpoint, Adapters: []transformer.Adapter{a}})
					if err != nil {
						t.Fatal(err)
					}
					defer r.Close()
					return b.Memory().InUse
				}
				plan := tensor.NewPlan(b.Limits())
				want := take(plan, func() (*transformer.Model, error) { return packed.Plan(plan, transformer.LoadOptions{}) })
				got := take(b, func() (*transformer.Model, error) { return packed.Load(t.Context(), b, transformer.LoadOptions{}) })
				if got != want {
					t.Errorf("%s/%s, checkpoint=%v: %d bytes, planned %d", kind, name, checkpoint, got, want)
				}
				if left := b.Memory().InUse + plan.Memory().InUse; left != 0 {
					t.Errorf("%s/%s: %d bytes are left", kind, name, left)
				}
			}
		}
	}
}

package peft_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// Central differences of whole models in float64, with the step of torch.autograd.gradcheck and
// tolerances of a tenth and a hundredth of its own.
const (
	gradientStep     = 1e-6
	gradientAbsolute = 1e-6
	gradientRelative = 1e-5
	gradientProbes   = 2 // single values of each parameter, besides a direction of all
)

// smallShape is what the models of twoLayers share.
const smallShape = `"vocab_size": 19, "hidden_size": 12, "intermediate_size": 10, "num_hidden_layers": 2, "max_position_embeddings": 32, "rms_norm_eps": 1e-5, `

// twoLayers are models of two layers of each kind, small enough for thousands of passes.
var twoLayers = map[string]string{
	"llama": `{"model_type": "llama", ` + smallShape + `"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 6,
		"rope_theta": 10000, "hidden_act": "silu"}`,
	"llama-tied-grouped": `{"model_type": "llama", ` + smallShape + `"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 4,
		"hidden_act": "silu", "tie_word_embeddings": true, "rope_theta": 100, "rope_scaling": {"rope_type": "llama3", "factor": 8.0,
		"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16}}`,
	"mistral": `{"model_type": "mistral", ` + smallShape + `"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 4,
		"rope_theta": 10000, "hidden_act": "silu", "sliding_window": 3}`,
	"gemma": `{"model_type": "gemma", ` + smallShape + `"num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 4,
		"rope_theta": 10000, "hidden_act": "gelu"}`,
	"gemma2": `{"model_type": "gemma2", ` + smallShape + `"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 4,
		"rope_theta": 10000, "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 6, "attn_logit_softcapping": 2.0,
		"final_logit_softcapping": 3.0, "sliding_window": 3}`,
	"gemma3": `{"model_type": "gemma3_text", ` + smallShape + `"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 4,
		"rope_theta": 10000, "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 4, "sliding_window": 3,
		"layer_types": ["sliding_attention", "full_attention"]}`,
	"gemma3-untied": `{"model_type": "gemma3_text", ` + smallShape + `"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 6,
		"rope_theta": 10000, "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 4, "sliding_window": 4,
		"layer_types": ["sliding_attention", "full_attention"], "tie_word_embeddings": false}`,
}

// smallMethods are methods whose base is a small model, and what everyMethod lacks.
var smallMethods = map[string]peft.Config{
	"lora-rs":    peft.LoRAConfig{Rank: 2, Alpha: 3, RSLoRA: true, Dropout: 0.3, Targets: peft.Named(peft.AllLinear)},
	"dora-all":   peft.LoRAConfig{Rank: 2, DoRA: true, Targets: peft.Named(peft.AllLinear)},
	"tokens":     peft.TokensConfig{Tokens: []int32{3, 7, 11}},
	"prefix":     peft.PrefixConfig{Tokens: 3},
	"adapter-v2": peft.Adaption2Config{AdaptionConfig: peft.AdaptionConfig{Tokens: 3, Layers: 2}},
}

// exact is the float64 backend, which keeps the loss of the last pass unrounded.
type exact struct {
	*tensor.Float64
	loss float64
	// held keeps what methods hold constant on the way back: DoRA's norms.
	held bool
}

func newExact(t *testing.T) *exact {
	b := &exact{Float64: tensor.NewFloat64()}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// Run reads the loss from what CrossEntropy, the last of them if there are several parts
// of the vocabulary, has left.
func (b *exact) Run(ctx context.Context, ops []tensor.Op) error {
	if b.held {
		ops = slices.DeleteFunc(slices.Clone(ops), writesNorms)
	}
	if err := b.Float64.Run(ctx, ops); err != nil {
		return err
	}
	for _, o := range ops {
		c, ok := o.(tensor.CrossEntropy)
		if !ok {
			continue
		}
		stats := make([]float64, c.Stats.Len())
		if err := b.Read64(ctx, c.Stats, stats); err != nil {
			return err
		}
		b.loss = 0
		for row := range slices.Chunk(stats, tensor.StatsWidth) {
			b.loss += math.Log(row[1]) + row[0] - row[2]
		}
	}
	return nil
}

// writesNorms says whether an operation computes DoRA's norms.
func writesNorms(o tensor.Op) bool {
	return slices.ContainsFunc(o.Operands(), func(x tensor.Operand) bool {
		return x.Access != tensor.Read && x.Tensor.Name == "dora.norms"
	})
}

// gradientBatch has sequences of two lengths, the longer of them two documents, unless a
// prefix is beyond a window's reach.
func gradientBatch(a peft.Method) transformer.Batch {
	b := transformer.Batch{
		IDs: [][]int32{{1, 5, 9, 3, 7, 11, 2}, {1, 7, 7, 16}}, Documents: [][]int{{3, 4}, {4}},
		Tasks: []int{0, 0, 0}, Dropout: 9,
	}
	window := slices.ContainsFunc(a.Model().Config.Layers, func(l transformer.LayerConfig) bool { return l.Window > 0 })
	if a.PrefixTokens() > 0 && window {
		b.Documents, b.Tasks = nil, b.Tasks[1:]
	}
	if _, ok := a.Config().(peft.MultitaskConfig); ok {
		b.Tasks[1] = 1
	}
	b.Labels = b.IDs
	return b
}

// TestModelGradients: the gradient of every parameter of every method on a model of each kind
// is that by central differences. All weights are parameters of the method "full".
func TestModelGradients(t *testing.T) {
	for kind, config := range twoLayers {
		for _, methods := range []map[string]peft.Config{everyMethod, smallMethods} {
			for name, method := range methods {
				if tokens, ok := method.(peft.TokensConfig); ok && slices.Max(tokens.Tokens) >= 19 {
					continue // smallMethods has another
				}
				t.Run(kind+"/"+name, func(t *testing.T) { testModelGradients(t, config, method, transformer.RunOptions{}) })
			}
		}
		for _, method := range []peft.Config{peft.FullConfig{}, smallMethods["lora-rs"], smallMethods["prefix"]} {
			t.Run(kind+"/"+method.Name()+"/checkpoint", func(t *testing.T) {
				testModelGradients(t, config, method, transformer.RunOptions{GradCheckpoint: true})
			})
			t.Run(kind+"/"+method.Name()+"/steps", func(t *testing.T) {
				everywhere := func(transformer.Site) bool { return true }
				tap := func(*tensor.Pass, transformer.Site, *tensor.Tensor) {}
				testModelGradients(t, config, method, transformer.RunOptions{Hooks: transformer.Hooks{Wants: everywhere, Tap: tap, GradTap: tap}})
			})
		}
	}
}

// TestEveryMethodIsChecked: each method of the package has an entry in everyMethod.
func TestEveryMethodIsChecked(t *testing.T) {
	known := map[string]bool{}
	for _, c := range everyMethod {
		known[reflect.TypeOf(c).Name()] = true
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	method := regexp.MustCompile(`(?m)^func \(c (\w+Config)\) Name\(\) string`)
	found := 0
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range method.FindAllStringSubmatch(string(source), -1) {
			if found++; !known[m[1]] {
				t.Errorf("%s of %s isn't in everyMethod", m[1], file)
			}
		}
	}
	if found < 12 {
		t.Errorf("only %d methods found", found)
	}
}

func testModelGradients(t *testing.T, config string, method peft.Config, options transformer.RunOptions) {
	b := newExact(t)
	c, err := transformer.Random([]byte(config), 0.4, 1)
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Load(t.Context(), b, transformer.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	a, err := peft.New(t.Context(), m, method)
	if strings.HasPrefix(method.Name(), "llama-adapter") && m.Config.QKNorm {
		if !errors.Is(err, transformer.ErrUnsupported) {
			t.Errorf("keys are normalised: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	options.Batch, options.Length, options.Train, options.Adapters = 2, 7+2*a.VirtualTokens(), true, []transformer.Adapter{a}
	r, err := m.NewRun(options)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	probe := &modelProbe{T: t, Rand: rand.New(rand.NewPCG(5, 6)), b: b, r: r, batch: r.WithPrompt(gradientBatch(a))}
	probe.check(a)
}

// modelProbe compares the gradients of a run with differences of its loss.
type modelProbe struct {
	*testing.T
	*rand.Rand
	b     *exact
	r     *transformer.Run
	batch transformer.Batch
}

// value computes the loss.
func (m *modelProbe) value() float64 {
	if err := m.r.Forward(m.Context(), m.batch); err != nil {
		m.Fatal(err)
	}
	if _, err := m.r.Loss(m.Context()); err != nil {
		m.Fatal(err)
	}
	return m.b.loss
}

func (m *modelProbe) values(t *tensor.Tensor) []float64 {
	v := make([]float64, t.Len())
	if err := m.b.Read64(m.Context(), t, v); err != nil {
		m.Fatal(err)
	}
	return v
}

func (m *modelProbe) write(t *tensor.Tensor, values []float64) {
	if err := m.b.Write64(m.Context(), t, values); err != nil {
		m.Fatal(err)
	}
}

func (m *modelProbe) check(a peft.Method) {
	start := make([][]float64, len(a.Params().List))
	for i, p := range a.Params().List { // nothing is at a point of rest
		start[i] = m.values(p.Value)
		for j := range start[i] {
			start[i][j] += 0.1 * m.NormFloat64()
		}
		m.write(p.Value, start[i])
	}
	m.value()
	if err := m.r.Backward(m.Context(), 1); err != nil {
		m.Fatal(err)
	}
	m.b.held = true
	for i, p := range a.Params().List {
		gradient, x := m.values(p.Grad), start[i]
		direction := make([]float64, len(x))
		for j := range direction {
			direction[j] = m.NormFloat64()
		}
		m.along(p, "in a direction of all", x, gradient, direction)
		for _, j := range m.Perm(len(x))[:min(len(x), gradientProbes)] {
			clear(direction)
			direction[j] = 1
			m.along(p, fmt.Sprint("value ", j), x, gradient, direction)
		}
		m.write(p.Value, x)
	}
}

// along compares the derivative in a direction.
func (m *modelProbe) along(p peft.Param, what string, x, gradient, direction []float64) {
	moved := func(by float64) float64 {
		y := slices.Clone(x)
		for i, d := range direction {
			y[i] += by * d
		}
		m.write(p.Value, y)
		return m.value()
	}
	want, got := (moved(gradientStep)-moved(-gradientStep))/(2*gradientStep), 0.0
	for i, d := range direction {
		got += gradient[i] * d
	}
	if !(math.Abs(got-want) <= gradientAbsolute+gradientRelative*math.Abs(want)) {
		m.Errorf("%s, %s: gradient %.9g, by differences %.9g", p.Name, what, got, want)
	}
}

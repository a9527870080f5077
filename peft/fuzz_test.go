package peft_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// FuzzLoad loads any adapter_config.json with any weights into a small model. What loads can
// be written, and reads back as it was.
func FuzzLoad(f *testing.F) {
	m := smallModel(f)
	for _, c := range []peft.Config{
		peft.LoRAConfig{Rank: 2, Alpha: 4, Targets: peft.Named("q_proj", "down_proj")},
		peft.PromptConfig{Tokens: 2},
		peft.PTuningConfig{Tokens: 2, Hidden: 4},
		peft.PrefixConfig{Tokens: 2},
		peft.AdaptionConfig{Tokens: 2, Layers: 1},
		peft.IA3Config{},
		peft.LayerNormConfig{},
		peft.BottleneckConfig{Output: true, Reduction: 4, Act: "relu", Scaling: 1},
	} {
		a, err := peft.New(f.Context(), m, c)
		if err != nil {
			f.Fatal(err)
		}
		dir := f.TempDir()
		if err := errors.Join(peft.Save(f.Context(), dir, a, peft.SaveOptions{}), a.Close()); err != nil {
			f.Fatal(err)
		}
		config, err1 := os.ReadFile(filepath.Join(dir, "adapter_config.json"))
		weights, err2 := os.ReadFile(filepath.Join(dir, "adapter_model.safetensors"))
		if err := errors.Join(err1, err2); err != nil {
			f.Fatal(err)
		}
		f.Add(config, weights)
	}
	f.Fuzz(func(t *testing.T, config, weights []byte) {
		a, err := peft.Load(t.Context(), fstest.MapFS{"adapter_config.json": {Data: config}, "adapter_model.safetensors": {Data: weights}}, m, peft.LoadOptions{})
		if err != nil {
			if !errors.Is(err, peft.ErrFormat) && !errors.Is(err, peft.ErrMismatch) && !errors.Is(err, peft.ErrConfig) && !errors.Is(err, transformer.ErrUnsupported) &&
				!errors.Is(err, tensor.ErrFormat) && !errors.Is(err, tensor.ErrUnsupported) && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("an error of no known kind: %v", err)
			}
			return
		}
		if _, err := peft.StateOf(t.Context(), a); err != nil {
			t.Error(err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		if n := m.Backend().Memory().Tensors; n != len(m.Weights.Layers)*9+3 {
			t.Errorf("%d tensors are left", n)
		}
	})
}

// smallModel is a model of a few thousand random weights.
func smallModel(t testing.TB) *transformer.Model {
	t.Helper()
	c, err := transformer.Random([]byte(`{"model_type":"llama","vocab_size":16,"hidden_size":8,"intermediate_size":12,"num_hidden_layers":2,"num_attention_heads":2,
		"max_position_embeddings":32,"rms_norm_eps":1e-5}`), 0.1, 1)
	if err != nil {
		t.Fatal(err)
	}
	b := tensor.NewCPU(1)
	m, err := c.Load(t.Context(), b, transformer.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(m.Close(), b.Close()); err != nil {
			t.Error(err)
		}
	})
	return m
}

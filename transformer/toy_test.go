package transformer_test

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/internal/backends"
	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

var smallToy = transformer.Toy{Vocab: 13, Positions: 6, Width: 64, Layers: 1, Heads: 2, HeadDim: 32, Norm: "none", Position: "learned"}

func toyConfig(t *testing.T, toy transformer.Toy) []byte {
	t.Helper()
	config, err := toy.ConfigJSON()
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// TestToyConfig: what a toy is made of, and what it can't be.
func TestToyConfig(t *testing.T) {
	for _, c := range []struct {
		change func(toy *transformer.Toy)
		names  int // parameters
	}{
		{func(*transformer.Toy) {}, 7},
		{func(toy *transformer.Toy) { toy.Position = "rotary" }, 6},
		{func(toy *transformer.Toy) { toy.Position = "" }, 6},
		{func(toy *transformer.Toy) { toy.Tied = true }, 6},
		{func(toy *transformer.Toy) { toy.Norm = "rms" }, 9},
		{func(toy *transformer.Toy) { toy.FFN = 8 }, 10},
		{func(toy *transformer.Toy) { toy.FFN, toy.Norm, toy.Layers = 8, "", 2 }, 22},
	} {
		toy := smallToy
		c.change(&toy)
		config, err := transformer.ParseConfig(toyConfig(t, toy))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for range config.Parameters() {
			n++
		}
		if n != c.names {
			t.Errorf("%+v: %d parameters, want %d", toy, n, c.names)
		}
	}
	for want, change := range map[string]func(toy *transformer.Toy){
		`normalization "layer"`:                func(toy *transformer.Toy) { toy.Norm = "layer" },
		`position_embedding_type "sinusoidal"`: func(toy *transformer.Toy) { toy.Position = "sinusoidal" },
		`head_dim 3 is odd`:                    func(toy *transformer.Toy) { toy.HeadDim = 3 },
		`intermediate_size is -1`:              func(toy *transformer.Toy) { toy.FFN = -1 },
		`max_position_embeddings is 0`:         func(toy *transformer.Toy) { toy.Positions = 0 },
		`num_attention_heads is 0`:             func(toy *transformer.Toy) { toy.Heads = 0 },
	} {
		toy := smallToy
		change(&toy)
		if _, err := transformer.ParseConfig(toyConfig(t, toy)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
	if _, err := transformer.ParseConfig(edited(t, map[string]any{"intermediate_size": 0})); !errors.Is(err, transformer.ErrCheckpoint) {
		t.Errorf("a Llama without an MLP: got %v", err)
	}
}

// TestRandom: the numbers follow from the seed and have the deviation; norms only normalise.
func TestRandom(t *testing.T) {
	b := tensor.NewCPU(0)
	defer b.Close()
	load := func(config []byte, seed uint64) *transformer.Model {
		c, err := transformer.Random(config, 0.5, seed)
		if err != nil {
			t.Fatal(err)
		}
		m, err := c.Load(t.Context(), b, transformer.LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Close() })
		return m
	}
	read := func(m *transformer.Model, name string) []float32 {
		values, err := tensor.Floats(t.Context(), b, m.Weight(name))
		if err != nil {
			t.Fatal(err)
		}
		return values
	}
	const q = "model.layers.0.self_attn.q_proj.weight"
	config := toyConfig(t, smallToy)
	one, again, two := read(load(config, 1), q), read(load(config, 1), q), read(load(config, 2), q)
	if !slices.Equal(one, again) || slices.Equal(one, two) {
		t.Error("the numbers don't follow from the seed")
	}
	sum, squares := 0.0, 0.0
	for _, v := range one {
		sum, squares = sum+float64(v), squares+float64(v)*float64(v)
	}
	n := float64(len(one)) // 4096: the standard error of the mean is 0.008
	if mean, deviation := sum/n, math.Sqrt(squares/n); math.Abs(mean) > 0.04 || math.Abs(deviation-0.5) > 0.03 {
		t.Errorf("mean %v, deviation %v", mean, deviation)
	}
	for kind, want := range map[string]float32{"llama": 1, "gemma": 0} {
		m := load(edited(t, map[string]any{"model_type": kind, "head_dim": 4}), 1)
		if v := read(m, "model.norm.weight"); v[0] != want {
			t.Errorf("%s: norm %v, want %v", kind, v[0], want)
		}
	}
	c, err := transformer.Random(config, 0.5, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.WriteGGUF(&bytes.Buffer{}, nil); !errors.Is(err, transformer.ErrUnsupported) {
		t.Errorf("as GGUF: got %v", err)
	}
}

// TestToyPositions: learned positions go on in a cache, and end where there are no more.
func TestToyPositions(t *testing.T) {
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		m := golden.HookedModel(t, b, "toys/attention")
		ids := golden.LoadHooked(t, "toys/attention", "hooks").Tokens
		whole, err := m.NewRun(transformer.RunOptions{Batch: 1, Length: 13})
		if err != nil {
			t.Fatal(err)
		}
		defer whole.Close()
		if err := whole.Forward(t.Context(), transformer.Batch{IDs: [][]int32{append(slices.Clone(ids), 3)}}); !errors.Is(err, transformer.ErrInput) {
			t.Errorf("13 tokens for 12 positions: got %v", err)
		}
		if err := whole.Forward(t.Context(), transformer.Batch{IDs: [][]int32{ids}}); err != nil {
			t.Fatal(err)
		}
		want, err := whole.Logits(t.Context(), whole.LastRows())
		if err != nil {
			t.Fatal(err)
		}
		parts, err := m.NewRun(transformer.RunOptions{Batch: 1, Length: 8, Context: 16})
		if err != nil {
			t.Fatal(err)
		}
		defer parts.Close()
		for _, part := range [][]int32{ids[:8], ids[8:11], ids[11:]} {
			if err := parts.Forward(t.Context(), transformer.Batch{IDs: [][]int32{part}}); err != nil {
				t.Fatal(err)
			}
		}
		got, err := parts.Logits(t.Context(), parts.LastRows())
		if err != nil {
			t.Fatal(err)
		}
		golden.NearLogits(t, "from the cache", got, want)
		if err := parts.Forward(t.Context(), transformer.Batch{IDs: [][]int32{{3}}}); !errors.Is(err, transformer.ErrInput) {
			t.Errorf("token 13 of 12: got %v", err)
		}
	})
}

// TestLabelBeyond: the label of what comes after the last token counts as any other; documents
// have none.
func TestLabelBeyond(t *testing.T) {
	b := tensor.NewCPU(0)
	defer b.Close()
	r, err := golden.Load(t, "llama2").Model(t, b).NewRun(transformer.RunOptions{Batch: 1, Length: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	loss := func(b transformer.Batch) (float32, error) {
		if err := r.Forward(t.Context(), b); err != nil {
			return 0, err
		}
		l, err := r.Loss(t.Context())
		if err != nil {
			return 0, err
		}
		return l.Each[len(l.Each)-1], nil
	}
	const masked = transformer.Masked
	want, err := loss(transformer.Batch{IDs: [][]int32{{1, 5, 9, 7}}, Labels: [][]int32{{1, 5, 9, 7}}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := loss(transformer.Batch{IDs: [][]int32{{1, 5, 9}}, Labels: [][]int32{{masked, masked, masked, 7}}})
	if err != nil || math.Abs(float64(got-want)) > 1e-5 {
		t.Errorf("loss %v, %v, want %v", got, err, want)
	}
	if _, err := loss(transformer.Batch{IDs: [][]int32{{1, 5, 9}}, Labels: [][]int32{{1, 5, 9, 7}}, Documents: [][]int{{1, 2}}}); !errors.Is(err, transformer.ErrInput) {
		t.Errorf("behind documents: got %v", err)
	}
}

package transformer_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/gguf"
	"github.com/gpupeft/gpupeft/tensor/optest"
	"github.com/gpupeft/gpupeft/transformer"
	"github.com/gpupeft/gpupeft/transformer/demo"
)

// goldenDir is a golden model's directory with changes to its config.
func goldenDir(t *testing.T, kind string, changes map[string]any) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{}
	names, err := filepath.Glob(filepath.Join(golden.Root(), kind, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if info, err := os.Stat(name); err != nil || info.IsDir() {
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(name)] = &fstest.MapFile{Data: data}
	}
	var config map[string]any
	if err := json.Unmarshal(files["config.json"].Data, &config); err != nil {
		t.Fatal(err)
	}
	maps.Copy(config, changes)
	data, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	files["config.json"].Data = data
	return files
}

// asGGUF writes a model as a GGUF file.
func asGGUF(t *testing.T, dir fs.FS) []byte {
	t.Helper()
	c, err := transformer.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var b bytes.Buffer
	if err := c.WriteGGUF(&b, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func openGGUF(data []byte) (*transformer.Checkpoint, error) {
	return transformer.Open(fstest.MapFS{"model.gguf": {Data: data}})
}

// TestGGUFModels: a model of each kind that went through a GGUF file has the same config
// and gives HF's logits.
func TestGGUFModels(t *testing.T) {
	b := tensor.NewCPU(0)
	defer b.Close()
	for kind, changes := range map[string]map[string]any{
		"llama2": nil, "llama-linear": nil, "gemma": nil,
		// Where the golden models have what published ones don't.
		"llama3": {"rope_parameters": map[string]any{
			"rope_type": "llama3", "rope_theta": 5e5, "factor": 8, "low_freq_factor": 1,
			"high_freq_factor": 4, "original_max_position_embeddings": 8192,
		}},
		"gemma2": {"query_pre_attn_scalar": 16}, "gemma3": {
			"query_pre_attn_scalar": 12,
			"layer_types":           slices.Repeat([]string{"sliding_attention"}, 4),
		},
	} {
		t.Run(kind, func(t *testing.T) {
			dir := goldenDir(t, kind, changes)
			want, err := transformer.Load(t.Context(), b, dir, transformer.LoadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer want.Close()
			c, err := openGGUF(asGGUF(t, dir))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			config := *want.Config
			config.BOS, config.EOS = nil, nil // a file without tokenizer has none
			if !reflect.DeepEqual(c.Config, &config) {
				t.Errorf("config %+v, want %+v", c.Config, config)
			}
			m, err := c.Load(t.Context(), b, transformer.LoadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			ids := []int32{1, 5, 9, 33, 2, 7, 7, 40}
			if e := optest.NMSE(widened(logitsOfAll(t, m, ids)), widened(logitsOfAll(t, want, ids))); !(e <= golden.MaxLogitNMSE) {
				t.Errorf("NMSE %.3g, want at most %g", e, golden.MaxLogitNMSE)
			}
		})
	}
}

func widened(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

// TestNoFormInGGUF: what the format can't say is refused.
func TestNoFormInGGUF(t *testing.T) {
	c, err := transformer.Open(os.DirFS(golden.Load(t, "mistral").Dir)) // has a window
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.WriteGGUF(&bytes.Buffer{}, nil); !errors.Is(err, transformer.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}

// TestGGUFModelErrors: files that are sound but hold no model that can be loaded.
func TestGGUFModelErrors(t *testing.T) {
	good := asGGUF(t, goldenDir(t, "llama2", nil))
	f, err := gguf.New(bytes.NewReader(good), int64(len(good)))
	if err != nil {
		t.Fatal(err)
	}
	type edit func(kvs []gguf.KV, tensors []gguf.Tensor) ([]gguf.KV, []gguf.Tensor)
	without := func(key string) edit {
		return func(kvs []gguf.KV, ts []gguf.Tensor) ([]gguf.KV, []gguf.Tensor) {
			return slices.DeleteFunc(kvs, func(kv gguf.KV) bool { return kv.Key == key }), ts
		}
	}
	set := func(key string, value any) edit {
		return func(kvs []gguf.KV, ts []gguf.Tensor) ([]gguf.KV, []gguf.Tensor) {
			kvs, ts = without(key)(kvs, ts)
			return append(kvs, gguf.KV{Key: key, Value: value}), ts
		}
	}
	drop := func(name string) edit {
		return func(kvs []gguf.KV, ts []gguf.Tensor) ([]gguf.KV, []gguf.Tensor) {
			return kvs, slices.DeleteFunc(ts, func(t gguf.Tensor) bool { return t.Name == name })
		}
	}
	extra := func(name string, shape ...int) edit {
		return func(kvs []gguf.KV, ts []gguf.Tensor) ([]gguf.KV, []gguf.Tensor) {
			n := 4
			for _, d := range shape {
				n *= d
			}
			return kvs, append(ts, gguf.Tensor{Name: name, DType: tensor.F32, Shape: shape, Data: make([]byte, n)})
		}
	}
	for name, c := range map[string]struct {
		edit edit
		want error
		says string
	}{
		"no architecture":      {without("general.architecture"), transformer.ErrUnsupported, "general.architecture"},
		"unknown architecture": {set("general.architecture", "mamba"), transformer.ErrUnsupported, "mamba"},
		"no width":             {without("llama.embedding_length"), transformer.ErrCheckpoint, "embedding_length"},
		"width of a string":    {set("llama.embedding_length", "64"), transformer.ErrCheckpoint, "embedding_length"},
		"huge width":           {set("llama.embedding_length", uint32(1<<31)), transformer.ErrCheckpoint, "embedding_length"},
		"wrong width":          {set("llama.embedding_length", uint32(48)), transformer.ErrCheckpoint, "shape"},
		"no layers":            {set("llama.block_count", uint32(0)), transformer.ErrCheckpoint, "num_hidden_layers"},
		"many layers":          {set("llama.block_count", uint32(100000)), transformer.ErrCheckpoint, "num_hidden_layers"},
		"a layer more":         {set("llama.block_count", uint32(50)), transformer.ErrCheckpoint, "is missing"},
		"a layer less":         {set("llama.block_count", uint32(1)), transformer.ErrCheckpoint, "no place"},
		"heads":                {set("llama.attention.head_count", uint32(0)), transformer.ErrCheckpoint, "num_attention_heads"},
		"key heads":            {set("llama.attention.head_count_kv", uint32(3)), transformer.ErrCheckpoint, "num_key_value_heads"},
		"rope of yarn":         {set("llama.rope.scaling.type", "yarn"), transformer.ErrUnsupported, "yarn"},
		"rope without factor":  {set("llama.rope.scaling.type", "linear"), transformer.ErrCheckpoint, "factor"},
		"rope divisors":        {extra("rope_freqs.weight", 8), transformer.ErrUnsupported, "rope_freqs"},
		"no embedding":         {drop("token_embd.weight"), transformer.ErrCheckpoint, "token_embd"},
		"no norm":              {drop("output_norm.weight"), transformer.ErrCheckpoint, "model.norm.weight"},
		"unknown tensor":       {extra("blk.0.attn_q.bias", 4), transformer.ErrCheckpoint, "attn_q.bias"},
		"bos of a string":      {set("tokenizer.ggml.bos_token_id", "a"), transformer.ErrCheckpoint, "bos_token_id"},
	} {
		t.Run(name, func(t *testing.T) {
			var tensors []gguf.Tensor
			for _, n := range f.Names() {
				data, e, err := f.Read(n)
				if err != nil {
					t.Fatal(err)
				}
				tensors = append(tensors, gguf.Tensor{Name: n, DType: e.DType, Shape: e.Shape, Data: data})
			}
			kvs, tensors := c.edit(slices.Clone(f.Metadata), tensors)
			var b bytes.Buffer
			if err := gguf.Write(&b, kvs, tensors); err != nil {
				t.Fatal(err)
			}
			backend := tensor.NewCPU(1)
			defer backend.Close()
			ckpt, err := openGGUF(b.Bytes())
			if err == nil {
				defer ckpt.Close()
				_, err = ckpt.Load(t.Context(), backend, transformer.LoadOptions{})
			}
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q in it", err, c.says)
			}
		})
	}
}

// TestQuantizedOnLoad: every type that weights can be packed into while loading gives
// logits near those of the model as it is, and the packed ones are what is computed with.
func TestQuantizedOnLoad(t *testing.T) {
	b := tensor.NewCPU(0)
	defer b.Close()
	want, err := transformer.Load(t.Context(), b, demo.Model(), transformer.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer want.Close()
	ids := []int32{1, 5, 9, 33, 2, 7, 7, 40}
	logits := widened(logitsOfAll(t, want, ids))
	// Rounding to 4 bits is off by some 9 % of a normal weight, in each of the matrices
	// behind each other.
	for dt, most := range map[tensor.DType]float64{tensor.Q8_0: 1e-3, tensor.Q4_0: 0.2, tensor.NF4: 0.2} {
		m, err := transformer.Load(t.Context(), b, demo.Model(), transformer.LoadOptions{Quant: dt})
		if err != nil {
			t.Fatal(err)
		}
		e := optest.NMSE(widened(logitsOfAll(t, m, ids)), logits)
		if !(e <= most) || e == 0 || m.Weights.Layers[0].Proj[transformer.UpProj].DType != dt {
			t.Errorf("%v: NMSE %.3g, want at most %g", dt, e, most)
		}
		if m.Bytes() >= want.Bytes() {
			t.Errorf("%v: %d bytes, %d before", dt, m.Bytes(), want.Bytes())
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

package transformer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/safetensors"
)

// each calls f for every parameter that a model of this config has, with the name
// and the shape that HF gives it. It is the one place that knows the names.
func (w *Weights) each(c *Config, f func(name string, t **tensor.Tensor, shape []int)) {
	d := []int{c.Hidden}
	f("model.embed_tokens.weight", &w.Embed, []int{c.VocabSize, c.Hidden})
	for i := range w.Layers {
		l := &w.Layers[i]
		for p := range NumProj {
			out, in := p.Size(c)
			f(p.Module(i)+".weight", &l.Proj[p], []int{out, in})
		}
		norm := func(name string, t **tensor.Tensor, shape []int) {
			f(fmt.Sprintf("model.layers.%d.%s.weight", i, name), t, shape)
		}
		norm("input_layernorm", &l.Norm1, d)
		if c.PostNorms {
			norm("post_attention_layernorm", &l.Norm1Post, d)
			norm("pre_feedforward_layernorm", &l.Norm2, d)
			norm("post_feedforward_layernorm", &l.Norm2Post, d)
		} else {
			norm("post_attention_layernorm", &l.Norm2, d)
		}
		if c.QKNorm {
			norm("self_attn.q_norm", &l.QNorm, []int{c.HeadDim})
			norm("self_attn.k_norm", &l.KNorm, []int{c.HeadDim})
		}
	}
	f("model.norm.weight", &w.Norm, d)
	if !c.Tied {
		f("lm_head.weight", &w.Unembed, []int{c.VocabSize, c.Hidden})
	}
}

// LoadOptions changes how a checkpoint is loaded.
type LoadOptions struct {
	// Progress, if set, is called after each tensor with the bytes loaded so far
	// and in all.
	Progress func(done, total int64)
}

// Load reads an HF model directory (config.json, and model.safetensors or its
// shards) onto a backend, tensor by tensor. Errors wrap ErrCheckpoint or
// ErrUnsupported and name the file, field or tensor.
func Load(ctx context.Context, b tensor.Backend, dir fs.FS, o LoadOptions) (*Model, error) {
	data, err := fs.ReadFile(dir, "config.json")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrCheckpoint)
	}
	config, err := ParseConfig(data)
	if err != nil {
		return nil, err
	}
	ckpt, err := safetensors.Open(dir, "model")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrCheckpoint)
	}
	defer ckpt.Close()
	m := &Model{Config: config, Weights: Weights{Layers: make([]Layer, len(config.Layers))}, backend: b}
	if err := m.load(ctx, ckpt, o); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// load checks all names, shapes and types before it uploads the first byte.
func (m *Model) load(ctx context.Context, ckpt *safetensors.Checkpoint, o LoadOptions) error {
	total, known := int64(0), map[string]bool{}
	var errs []error
	m.Weights.each(m.Config, func(name string, _ **tensor.Tensor, shape []int) {
		known[name] = true
		e, err := wanted(ckpt, name, shape)
		errs = append(errs, err)
		total += e.Bytes
	})
	for _, name := range ckpt.Names() {
		if !known[name] && !m.ignorable(name) {
			errs = append(errs, fmt.Errorf("tensor %q has no place in a %s model: %w", name, m.Config.Kind, ErrCheckpoint))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	done, err := int64(0), error(nil)
	m.Weights.each(m.Config, func(name string, t **tensor.Tensor, shape []int) {
		if err != nil {
			return
		}
		if *t, err = m.upload(ctx, ckpt, name, shape); err != nil {
			err = fmt.Errorf("load %s: %w", name, err)
			return
		}
		e, _ := ckpt.Entry(name)
		if done += e.Bytes; o.Progress != nil {
			o.Progress(done, total)
		}
	})
	if m.Config.Tied {
		m.Weights.Unembed = m.Weights.Embed
	}
	return err
}

// storedTypes are the types that weights may have in a checkpoint.
var storedTypes = map[string]tensor.DType{"F32": tensor.F32, "F16": tensor.F16, "BF16": tensor.BF16}

// wanted checks that a tensor is there and as the config says.
func wanted(ckpt *safetensors.Checkpoint, name string, shape []int) (safetensors.Entry, error) {
	e, ok := ckpt.Entry(name)
	if !ok {
		return e, fmt.Errorf("tensor %q is missing: %w", name, ErrCheckpoint)
	}
	if fmt.Sprint(e.Shape) != fmt.Sprint(shape) {
		return e, fmt.Errorf("tensor %q: shape %v, want %v: %w", name, e.Shape, shape, ErrCheckpoint)
	}
	if _, ok := storedTypes[e.DType]; !ok {
		return e, fmt.Errorf("tensor %q: type %s (known: F32, F16, BF16): %w", name, e.DType, ErrUnsupported)
	}
	return e, nil
}

// ignorable names tensors that HF writes but a model doesn't need.
func (m *Model) ignorable(name string) bool {
	return strings.HasSuffix(name, ".rotary_emb.inv_freq") || (m.Config.Tied && name == "lm_head.weight")
}

// upload moves a tensor to the backend; vectors become float32 there.
func (m *Model) upload(ctx context.Context, ckpt *safetensors.Checkpoint, name string, shape []int) (*tensor.Tensor, error) {
	data, e, err := ckpt.Read(name)
	if err != nil {
		return nil, err
	}
	dtype := storedTypes[e.DType]
	if len(shape) == 1 {
		data, dtype = widen(data, dtype), tensor.F32
	}
	t, err := m.backend.New(name, dtype, shape...)
	if err != nil {
		return nil, err
	}
	if err := m.backend.Write(ctx, t, data); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// widen turns stored values into float32 bytes.
func widen(data []byte, dt tensor.DType) []byte {
	if dt == tensor.F32 {
		return data
	}
	values := tensor.Unpack(nil, dt, data)
	wide := make([]byte, 4*len(values))
	for i, v := range values {
		binary.LittleEndian.PutUint32(wide[4*i:], math.Float32bits(v))
	}
	return wide
}

// EmbedRows returns the embeddings of tokens as they enter the residual stream,
// that is, scaled: [len(ids), D].
func (m *Model) EmbedRows(ctx context.Context, ids []int32) ([]float32, error) {
	if err := m.checkIDs(ids, 0); err != nil {
		return nil, err
	}
	list, err := tensor.FromInts(ctx, m.backend, "ids", ids, len(ids))
	if err != nil {
		return nil, err
	}
	defer list.Close()
	rows, err := m.backend.New("rows", tensor.F32, len(ids), m.Config.Hidden)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	p := tensor.Begin(m.backend)
	p.Do(tensor.Embed{Out: rows, IDs: list, Table: m.Weights.Embed, Scale: m.Config.EmbedScale})
	if err := p.Submit(ctx); err != nil {
		return nil, err
	}
	return tensor.Floats(ctx, m.backend, rows)
}

// checkIDs makes sure that token ids are in the vocabulary; negative ones may name
// the rows of a soft prompt.
func (m *Model) checkIDs(ids []int32, virtual int) error {
	if len(ids) == 0 {
		return fmt.Errorf("no token ids: %w", ErrInput)
	}
	for i, id := range ids {
		if int(id) >= m.Config.VocabSize || int(id) < -virtual {
			return fmt.Errorf("token id %d at position %d is outside the vocabulary of %d: %w", id, i, m.Config.VocabSize, ErrInput)
		}
	}
	return nil
}

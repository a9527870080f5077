package peft

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/safetensors"
	"github.com/gpupeft/gpupeft/transformer"
)

// LoadOptions says how an adapter's files are to be understood.
type LoadOptions struct {
	// PromptScale is the convention of a soft prompt for Gemma 1 or 2; "" means
	// ScaleAuto.
	PromptScale PromptScale
	// Warn, if set, is told what was read but not understood.
	Warn func(message string)
}

// Load reads an HF PEFT directory and makes the method for a model. Errors wrap
// ErrFormat, ErrMismatch, transformer.ErrUnsupported or fs.ErrNotExist and name the
// file, field or tensor.
func Load(ctx context.Context, dir fs.FS, m *transformer.Model, o LoadOptions) (Method, error) {
	s, err := Read(dir)
	if err != nil {
		return nil, err
	}
	return s.Load(ctx, m, o)
}

// Load makes the method that a state describes, as New does, with a soft prompt's scale
// understood as the options say.
func (s *State) Load(ctx context.Context, m *transformer.Model, o LoadOptions) (Method, error) {
	warn := o.Warn
	if warn == nil {
		warn = func(string) {}
	}
	for _, w := range s.Warnings {
		warn(w)
	}
	prompt, ok := s.Tensors[promptName]
	if _, prefix := s.Config.(PrefixConfig); !ok || prefix {
		return s.New(ctx, m)
	}
	scale := o.PromptScale
	if scale == ScaleAuto || scale == "" {
		scale = s.PromptScale
		if scale == "" && ScaleHF5.matters(m.Config) {
			warn("the file doesn't say whether its soft prompt is scaled as in transformers 4 or 5: taken as 5 (see --prompt-scale)")
		}
	}
	factor, err := scale.factor(m.Config)
	if err != nil {
		return nil, err
	}
	scaled := *s
	scaled.Tensors = tensors{}
	for name, t := range s.Tensors {
		scaled.Tensors[name] = t
	}
	values := make([]float32, len(prompt.Values))
	for i, v := range prompt.Values {
		values[i] = factor * v
	}
	scaled.Tensors[promptName] = Matrix{prompt.Shape, values}
	return scaled.New(ctx, m)
}

// Read reads an HF PEFT directory, without a model.
func Read(dir fs.FS) (*State, error) {
	text, err := fs.ReadFile(dir, configName)
	if err != nil {
		return nil, err
	}
	config, h, warnings, err := parseConfig(text)
	if err != nil {
		return nil, err
	}
	if _, err := fs.Stat(dir, weightsBase+".bin"); err == nil {
		if _, err := fs.Stat(dir, weightsBase+".safetensors"); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s.bin is a Python pickle (save the adapter as safetensors): %w", weightsBase, transformer.ErrUnsupported)
		}
	}
	c, err := safetensors.Open(dir, weightsBase)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	s := &State{Config: config, Base: h.Base, Tensors: tensors{}, Warnings: warnings, PromptScale: PromptScale(c.Metadata()[scaleKey])}
	for _, name := range c.Names() {
		if s.Tensors[name], err = readMatrix(c, name); err != nil {
			return nil, err
		}
	}
	if len(s.Tensors) == 0 {
		return nil, fmt.Errorf("%s.safetensors: no tensors: %w", weightsBase, ErrFormat)
	}
	return s, nil
}

// floatTypes are the types that adapters are stored in.
var floatTypes = map[string]tensor.DType{"F32": tensor.F32, "F16": tensor.F16, "BF16": tensor.BF16}

func readMatrix(c *safetensors.Checkpoint, name string) (Matrix, error) {
	data, e, err := c.Read(name)
	if err != nil {
		return Matrix{}, err
	}
	dt, ok := floatTypes[e.DType]
	if !ok || len(e.Shape) == 0 || e.Bytes == 0 {
		return Matrix{}, fmt.Errorf("tensor %q: %s %v holds no floats: %w", name, e.DType, e.Shape, ErrFormat)
	}
	w := Matrix{e.Shape, tensor.Unpack(nil, dt, data)}
	for _, v := range w.Values {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return w, fmt.Errorf("tensor %q holds %v: %w", name, v, ErrFormat)
		}
	}
	return w, nil
}

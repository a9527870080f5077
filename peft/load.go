package peft

import (
	"context"
	"io/fs"

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
	tensors, metadata, err := ReadTensors(dir, weightsBase+".safetensors", weightsBase+".bin")
	if err != nil {
		return nil, err
	}
	return &State{Config: config, Base: h.Base, Tensors: tensors, Warnings: warnings, PromptScale: PromptScale(metadata[scaleKey])}, nil
}

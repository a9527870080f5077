package transformer

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/gguf"
)

// Checkpoint is a model as it is stored. Whatever the files are, its tensors have
// HF's names, shapes and order of rows.
type Checkpoint struct {
	Config *Config
	Format string     // "safetensors", "gguf", "memory" (see Random) or "config", which has no weights
	GGUF   *gguf.File // for its metadata; nil if Format isn't "gguf"

	tensors map[string]Stored
	close   func() error
}

// Open opens the model in a directory: config.json with model.safetensors or its
// shards (as they are, or packed by bitsandbytes in 4 bits), or without config.json,
// the only .gguf file. Errors wrap ErrCheckpoint or ErrUnsupported and name the
// file, field or tensor.
func Open(dir fs.FS) (*Checkpoint, error) {
	config, err := fs.ReadFile(dir, "config.json")
	if errors.Is(err, fs.ErrNotExist) {
		files, globErr := fs.Glob(dir, "*.gguf")
		if globErr == nil && len(files) == 1 {
			return OpenGGUF(dir, files[0])
		}
		if len(files) > 1 {
			return nil, fmt.Errorf("%d .gguf files (name one of them): %w", len(files), ErrCheckpoint)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrCheckpoint)
	}
	return openHF(dir, config)
}

// OpenConfig makes a checkpoint without weights from a config.json, to plan with.
// Its tensors have the type that the config names, or BF16.
func OpenConfig(data []byte) (*Checkpoint, error) {
	config, err := ParseConfig(data)
	if err != nil {
		return nil, err
	}
	hf, err := decodeConfig(data)
	if err != nil {
		return nil, err
	}
	dt, ok := map[string]tensor.DType{"float32": tensor.F32, "float16": tensor.F16}[hf.DType+hf.TorchDType]
	if !ok {
		dt = tensor.BF16
	}
	c := &Checkpoint{Config: config, Format: "config", tensors: map[string]Stored{}}
	w := newWeights(config)
	w.each(config, func(name string, _ **tensor.Tensor, shape []int) {
		c.tensors[name] = Stored{DType: dt, Shape: shape, Rows: func([]byte, int, int) error {
			return fmt.Errorf("there is only a config.json: %w", ErrCheckpoint)
		}}
	})
	return c, nil
}

// Names returns the tensors' names in order.
func (c *Checkpoint) Names() []string { return slices.Sorted(maps.Keys(c.tensors)) }

// Tensor describes a tensor.
func (c *Checkpoint) Tensor(name string) (Stored, bool) {
	s, ok := c.tensors[name]
	return s, ok
}

// With returns a checkpoint in which some tensors are replaced. It reads the others
// from c, which must stay open.
func (c *Checkpoint) With(tensors map[string]Stored) *Checkpoint {
	all := maps.Clone(c.tensors)
	maps.Copy(all, tensors)
	return &Checkpoint{Config: c.Config, Format: c.Format, GGUF: c.GGUF, tensors: all}
}

// Close closes the files.
func (c *Checkpoint) Close() error {
	if c.close == nil {
		return nil
	}
	return c.close()
}

// check makes sure that there is all that the config asks for, and nothing that has
// no place.
func (c *Checkpoint) check() error {
	known := map[string]bool{}
	var errs []error
	w := newWeights(c.Config)
	w.each(c.Config, func(name string, _ **tensor.Tensor, shape []int) {
		known[name] = true
		s, ok := c.tensors[name]
		switch {
		case !ok:
			errs = append(errs, fmt.Errorf("tensor %q is missing: %w", name, ErrCheckpoint))
		case s.refuse != nil:
			errs = append(errs, fmt.Errorf("tensor %q: %w", name, s.refuse))
		case !slices.Equal(s.Shape, shape):
			errs = append(errs, fmt.Errorf("tensor %q: shape %v, want %v: %w", name, s.Shape, shape, ErrCheckpoint))
		}
	})
	for _, name := range c.Names() {
		if !known[name] && !c.ignorable(name) {
			errs = append(errs, fmt.Errorf("tensor %q has no place in a %s model: %w", name, c.Config.Kind, ErrCheckpoint))
		}
	}
	return errors.Join(errs...)
}

// ignorable names tensors that HF writes but a model doesn't need.
func (c *Checkpoint) ignorable(name string) bool {
	return strings.HasSuffix(name, ".rotary_emb.inv_freq") || (c.Config.Tied && name == "lm_head.weight")
}

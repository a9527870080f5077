package transformer

import (
	"fmt"
	"io/fs"
	"strings"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/safetensors"
)

// storedTypes are the types that weights may have in safetensors files.
var storedTypes = map[string]tensor.DType{"F32": tensor.F32, "F16": tensor.F16, "BF16": tensor.BF16}

// openHF opens an HF directory, whose config.json is given.
func openHF(dir fs.FS, config []byte) (*Checkpoint, error) {
	c := &Checkpoint{Format: "safetensors", tensors: map[string]Stored{}}
	var err error
	if c.Config, err = ParseConfig(config); err != nil {
		return nil, err
	}
	files, err := safetensors.Open(dir, "model")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrCheckpoint)
	}
	c.close = files.Close
	packed, err := bnbTensors(files)
	if err != nil {
		files.Close()
		return nil, err
	}
	for _, name := range files.Names() {
		e, _ := files.Entry(name)
		if packed.part(name) || strings.HasPrefix(name, "vision_tower.") || strings.HasPrefix(name, "multi_modal_projector.") {
			continue
		}
		dt, ok := storedTypes[e.DType]
		s := Stored{DType: dt, Shape: e.Shape}
		s.Rows = func(dst []byte, lo, _ int) error { return files.ReadAt(name, dst, s.Bytes(0, lo)) }
		if !ok {
			s.refuse = fmt.Errorf("type %s (known: F32, F16, BF16, and bitsandbytes' 4-bit types): %w", e.DType, ErrUnsupported)
		}
		c.tensors[languageName(name)] = s
	}
	for name, s := range packed.weights {
		c.tensors[languageName(name)] = s
	}
	return c, nil
}

// languageName returns a tensor's name without the prefix that it has in models that
// see, too.
func languageName(name string) string {
	return strings.TrimPrefix(name, "language_model.")
}

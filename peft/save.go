package peft

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/gpupeft/gpupeft/internal/disk"
	"github.com/gpupeft/gpupeft/tensor/safetensors"
)

// SaveOptions says what Save writes beside the weights.
type SaveOptions struct {
	// BaseModel is the base_model_name_or_path of the configuration.
	BaseModel string
}

// Save writes a method as an HF PEFT directory: adapter_config.json and
// adapter_model.safetensors. Each file is replaced as a whole, and what was
// written is loaded again and compared. Parameters that are no numbers are not
// saved. Methods that PEFT doesn't have are written in the same way, for gpupeft.
func Save(ctx context.Context, dir string, m Method, o SaveOptions) error {
	s, err := StateOf(ctx, m)
	if err != nil {
		return err
	}
	s.Base = o.BaseModel
	if err := s.Write(dir); err != nil {
		return err
	}
	return verify(ctx, dir, m, s)
}

// StateOf returns a method as data. Of methods that train an encoder, this is what the
// encoder gives.
func StateOf(ctx context.Context, m Method) (*State, error) {
	s, err := m.state(ctx)
	if err == nil && s.Tensors[promptName].Values != nil && ScaleHF5.matters(m.Model().Config) {
		s.PromptScale = ScaleHF5
	}
	return s, err
}

// Write writes an HF PEFT directory, see Save. It is the same to the byte every time.
func (s *State) Write(dir string) error {
	text, err := encodeConfig(s)
	if err != nil {
		return err
	}
	var list []safetensors.Tensor
	for _, name := range sortedKeys(s.Tensors) {
		t := s.Tensors[name]
		data := make([]byte, 0, 4*len(t.Values))
		for _, v := range t.Values {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		}
		list = append(list, safetensors.Tensor{Name: name, DType: "F32", Shape: t.Shape, Data: data})
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	metadata := map[string]string{"format": "pt"}
	if s.PromptScale != "" {
		metadata[scaleKey] = string(s.PromptScale)
	}
	err = disk.Write(filepath.Join(dir, weightsBase+".safetensors"), func(w io.Writer) error {
		return safetensors.Write(w, metadata, list)
	})
	if err != nil {
		return err
	}
	return disk.WriteBytes(filepath.Join(dir, configName), text)
}

// verify loads what was saved and compares it, value by value.
func verify(ctx context.Context, dir string, m Method, want *State) error {
	again, err := Load(ctx, os.DirFS(dir), m.Model(), LoadOptions{})
	if err != nil {
		return fmt.Errorf("%s: what was saved doesn't load: %w", dir, err)
	}
	got, err := again.state(ctx)
	if err := errors.Join(err, again.Close()); err != nil {
		return err
	}
	for name, w := range want.Tensors {
		if g := got.Tensors[name]; !slices.Equal(g.Shape, w.Shape) || !slices.Equal(g.Values, w.Values) {
			return fmt.Errorf("%s: %s reads back differently than it was written: %w", dir, name, ErrFormat)
		}
	}
	return nil
}

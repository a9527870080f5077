package safetensors

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/internal/exact"
)

// Placed writes a file whose tensors become known in any order, each at its place.
type Placed struct {
	w     io.WriterAt
	parts map[string]extent // not yet written
}

// extent is a range of bytes in a file.
type extent struct{ offset, size int64 }

// Place writes the header of a file with the given tensors, whose Data and Stream don't
// matter; [Placed.Put] then writes each. The file becomes what [Write] makes. Errors
// wrap tensor.ErrFormat, or are the writer's.
func Place(w io.WriterAt, metadata map[string]string, tensors []Tensor) (*Placed, error) {
	tensors = inOrder(tensors)
	header, err := buildHeader(metadata, tensors)
	if err != nil {
		return nil, err
	}
	if _, err := w.WriteAt(header, 0); err != nil {
		return nil, err
	}
	p, at := &Placed{w, map[string]extent{}}, int64(len(header))
	for _, t := range tensors {
		p.parts[t.Name] = extent{at, t.bytes()}
		at += t.bytes()
	}
	return p, nil
}

// Put writes a tensor; write is given where to, and must write just its bytes. Each tensor
// is written once. Errors wrap tensor.ErrFormat, or are those of write.
func (p *Placed) Put(name string, write func(w io.Writer) error) error {
	at, ok := p.parts[name]
	if !ok {
		return fmt.Errorf("tensor %q: not in the header, or written before: %w", name, tensor.ErrFormat)
	}
	if err := exact.Write(io.NewOffsetWriter(p.w, at.offset), at.size, write); err != nil {
		return fmt.Errorf("tensor %q: %w", name, err)
	}
	delete(p.parts, name)
	return nil
}

// Done returns an error that wraps tensor.ErrFormat if tensors are missing.
func (p *Placed) Done() error {
	if len(p.parts) == 0 {
		return nil
	}
	return fmt.Errorf("not written: %s: %w", strings.Join(slices.Sorted(maps.Keys(p.parts)), ", "), tensor.ErrFormat)
}

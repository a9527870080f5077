package torchfile

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

// File is an open file of torch.save. It may be read by several goroutines.
type File struct {
	r       io.ReaderAt
	entries map[string]Entry
}

// Entry is one tensor of a file.
type Entry struct {
	Name  string
	DType string // as the safetensors format spells it: "F32", "BF16", "I64", "BOOL", …
	Shape []int
	Bytes int64 // of the elements, each once

	width int64  // of an element in bytes
	start int64  // of the first element, from the beginning of the file
	axes  []axis // none if there are no elements; else the last one is of adjacent elements
}

// New reads what stands in a file of the given size: a zip archive, as torch.save writes it
// since PyTorch 1.6, or the format before. Tensors are read when they are asked for.
// Errors wrap tensor.ErrFormat, or tensor.ErrUnsupported for what is refused.
func New(r io.ReaderAt, size int64) (*File, error) {
	var magic [4]byte
	if size < int64(len(magic)) {
		return nil, malformed("%d bytes are too few for a file of torch.save", size)
	}
	if n, err := r.ReadAt(magic[:], 0); n < len(magic) && err != io.EOF {
		return nil, err
	}
	var root any
	var objects int
	var err error
	switch {
	case string(magic[:]) == "PK\x03\x04":
		root, objects, err = readZip(r, size)
	case magic[0] == opProto:
		root, objects, err = readLegacy(r, size)
	default:
		return nil, malformed("the file begins with %q: neither a zip archive nor a pickle, so not of torch.save", magic[:])
	}
	if err != nil {
		return nil, err
	}
	entries, err := collect(root, objects)
	if err != nil {
		return nil, err
	}
	return &File{r: r, entries: entries}, nil
}

// Names returns the tensors' names in order.
func (f *File) Names() []string { return slices.Sorted(maps.Keys(f.entries)) }

// Entry describes a tensor.
func (f *File) Entry(name string) (Entry, bool) {
	e, ok := f.entries[name]
	return e, ok
}

// Sub returns the tensors below a prefix, named without it and the slash behind it:
// Sub("model") of {"model": state_dict} has the names of the state dict. The error wraps
// fs.ErrNotExist if there are none.
func (f *File) Sub(prefix string) (*File, error) {
	sub := &File{r: f.r, entries: map[string]Entry{}}
	for name, e := range f.entries {
		if rest, ok := strings.CutPrefix(name, prefix+"/"); ok {
			e.Name = rest
			sub.entries[rest] = e
		}
	}
	if len(sub.entries) == 0 {
		return nil, fmt.Errorf("tensors below %q: %w", prefix, fs.ErrNotExist)
	}
	return sub, nil
}

// Read returns a tensor's bytes, little-endian, row-major and without gaps, however they lie
// in the file.
func (f *File) Read(name string) ([]byte, Entry, error) {
	e, ok := f.entries[name]
	if !ok {
		return nil, e, fmt.Errorf("tensor %q: %w", name, fs.ErrNotExist)
	}
	buf := make([]byte, e.Bytes)
	if len(e.axes) == 0 {
		return buf, e, nil
	}
	g := gatherer{r: f.r, dst: buf, width: e.width}
	if err := g.gather(e.axes, e.start, 0); err != nil {
		return nil, e, fmt.Errorf("tensor %q: %w", name, err)
	}
	return buf, e, nil
}

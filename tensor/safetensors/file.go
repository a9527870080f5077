package safetensors

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"

	"github.com/gpupeft/gpupeft/tensor"
)

// File is an open safetensors file. It may be read by several goroutines.
type File struct {
	Metadata map[string]string
	r        io.ReaderAt
	entries  map[string]Entry
}

// New reads the header of a file of the given size.
func New(r io.ReaderAt, size int64) (*File, error) {
	entries, metadata, err := readHeader(r, size)
	if err != nil {
		return nil, err
	}
	f := &File{Metadata: metadata, r: r, entries: make(map[string]Entry, len(entries))}
	for _, e := range entries {
		f.entries[e.Name] = e
	}
	return f, nil
}

// Names returns the tensors' names in order.
func (f *File) Names() []string { return slices.Sorted(maps.Keys(f.entries)) }

// Entry describes a tensor.
func (f *File) Entry(name string) (Entry, bool) {
	e, ok := f.entries[name]
	return e, ok
}

// Read returns a tensor's bytes, row-major and little-endian as stored.
func (f *File) Read(name string) ([]byte, Entry, error) {
	e, ok := f.entries[name]
	if !ok {
		return nil, e, fmt.Errorf("tensor %q: %w", name, fs.ErrNotExist)
	}
	buf := make([]byte, e.Bytes)
	if err := readFull(f.r, buf, e.start); err != nil {
		return nil, e, fmt.Errorf("tensor %q: %w", name, err)
	}
	return buf, e, nil
}

// ReadAt fills dst with a tensor's bytes from an offset within it on.
func (f *File) ReadAt(name string, dst []byte, offset int64) error {
	e, ok := f.entries[name]
	if !ok {
		return fmt.Errorf("tensor %q: %w", name, fs.ErrNotExist)
	}
	if offset < 0 || offset > e.Bytes || int64(len(dst)) > e.Bytes-offset {
		return fmt.Errorf("tensor %q: %d bytes at %d of %d: %w", name, len(dst), offset, e.Bytes, tensor.ErrShape)
	}
	if err := readFull(f.r, dst, e.start+offset); err != nil {
		return fmt.Errorf("tensor %q: %w", name, err)
	}
	return nil
}

// open opens a file of dir for random access. Files of a file system that can't
// do that are read whole.
func open(dir fs.FS, name string) (*File, io.Closer, error) {
	h, err := dir.Open(name)
	if err != nil {
		return nil, nil, err
	}
	info, err := h.Stat()
	if err != nil {
		h.Close()
		return nil, nil, err
	}
	at, ok := h.(io.ReaderAt)
	if !ok {
		h.Close()
		return nil, nil, fmt.Errorf("%s: file system without random access: %w", name, tensor.ErrUnsupported)
	}
	f, err := New(at, info.Size())
	if err != nil {
		h.Close()
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, h, nil
}

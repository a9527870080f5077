package gguf

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"slices"

	"github.com/gpupeft/gpupeft/tensor"
)

// File is an open GGUF file. It may be read by several goroutines.
type File struct {
	Version  int
	Metadata []KV // in the file's order

	r       io.ReaderAt
	keys    map[string]any
	entries map[string]Entry
}

// KV is a key of the metadata. The value is a string, bool, int64 (uint64 only where it
// doesn't fit), float64, or a slice of string, bool, int64 or float64. For [Write], the
// Go type says how a number is stored: also uint32, int32, float32 and slices of them.
type KV struct {
	Key   string
	Value any
}

// Entry is one tensor of a file.
type Entry struct {
	Name  string
	DType tensor.DType
	Shape []int // the outermost dimension first, as in HF
	Bytes int64

	start int64 // from the beginning of the file
}

// cols returns the number of values in a row.
func (e Entry) cols() int {
	n := 1
	for _, d := range e.Shape[1:] {
		n *= d
	}
	return n
}

// New reads the header of a file of the given size. Errors wrap tensor.ErrFormat, or
// tensor.ErrUnsupported for files that are well-formed but can't be read.
func New(r io.ReaderAt, size int64) (*File, error) {
	s := &scanner{r: bufio.NewReaderSize(io.NewSectionReader(r, 0, size), 1<<16), size: size}
	f := &File{r: r, keys: map[string]any{}, entries: map[string]Entry{}}
	tensors, keys, err := f.readCounts(s)
	if err != nil {
		return nil, err
	}
	for i := range keys {
		if err := f.readKey(s); err != nil {
			return nil, fmt.Errorf("key %d: %w", i, err)
		}
	}
	var list []Entry
	for i := range tensors {
		e, err := f.readEntry(s)
		if err != nil {
			return nil, fmt.Errorf("tensor %d: %w", i, err)
		}
		list = append(list, e)
	}
	alignment, err := f.alignment()
	if err != nil {
		return nil, err
	}
	if err := place(list, s.at, alignment, size); err != nil {
		return nil, err
	}
	for _, e := range list {
		f.entries[e.Name] = e
	}
	return f, nil
}

// readCounts reads what stands before the keys.
func (f *File) readCounts(s *scanner) (tensors, keys int, err error) {
	magic, err := s.take(4)
	if err != nil {
		return 0, 0, err
	}
	if string(magic) != "GGUF" {
		return 0, 0, malformed("the file begins with %q, not GGUF", magic)
	}
	version, err := s.u32()
	switch {
	case err != nil:
		return 0, 0, err
	case version == 2<<24 || version == 3<<24:
		return 0, 0, fmt.Errorf("big-endian file: %w", tensor.ErrUnsupported)
	case version != 2 && version != 3:
		return 0, 0, fmt.Errorf("version %d (known: 2, 3): %w", version, tensor.ErrUnsupported)
	}
	f.Version = int(version)
	if tensors, err = s.count("tensors", maxTensors, 24); err != nil {
		return 0, 0, err
	}
	keys, err = s.count("keys", maxKeys, 13)
	return tensors, keys, err
}

func (f *File) readKey(s *scanner) error {
	key, err := s.text()
	if err != nil {
		return err
	}
	t, v, err := s.value()
	if err != nil {
		return fmt.Errorf("%q: %w", key, err)
	}
	if key == alignmentKey && t != typeUint32 {
		return malformed("%s is of type %d, want a uint32 (%d)", key, t, typeUint32)
	}
	if _, twice := f.keys[key]; twice || key == "" {
		return malformed("%q stands twice or is empty", key)
	}
	f.keys[key] = v
	f.Metadata = append(f.Metadata, KV{key, v})
	return nil
}

// readEntry reads a tensor's description; start holds its offset into the data until
// place has checked the whole.
func (f *File) readEntry(s *scanner) (e Entry, err error) {
	if e.Name, err = s.text(); err != nil {
		return e, err
	}
	n, err := s.u32()
	if err != nil {
		return e, err
	}
	if n < 1 || n > 4 {
		return e, malformed("%q has %d dimensions, want 1 to 4", e.Name, n)
	}
	total := uint64(1)
	e.Shape = make([]int, n)
	for i := range e.Shape {
		d, err := s.u64()
		if err != nil {
			return e, err
		}
		if d < 1 || d > math.MaxInt32 || total > 1<<40/d {
			return e, malformed("%q: dimension %d is %d", e.Name, i, d)
		}
		total *= d
		e.Shape[len(e.Shape)-1-i] = int(d)
	}
	number, err := s.u32()
	if err != nil {
		return e, err
	}
	if e.DType, err = typeOf(number); err != nil {
		return e, fmt.Errorf("%q: %w", e.Name, err)
	}
	if row := e.Shape[len(e.Shape)-1]; row%e.DType.Block() != 0 {
		return e, malformed("%q: rows of %d are no whole blocks of %d %v", e.Name, row, e.DType.Block(), e.DType)
	}
	e.Bytes = e.DType.Bytes(int(total))
	offset, err := s.u64()
	if err == nil && offset > math.MaxInt64/2 {
		err = malformed("%q: offset %d", e.Name, offset)
	}
	e.start = int64(offset)
	return e, err
}

// alignment reads general.alignment.
func (f *File) alignment() (int64, error) {
	if !f.Has(alignmentKey) {
		return defaultAlignment, nil
	}
	n, err := f.Int(alignmentKey)
	if err != nil {
		return 0, err
	}
	return n, checkAlignment(n)
}

func checkAlignment(n int64) error {
	if n < 8 || n > maxAlignment || n&(n-1) != 0 {
		return malformed("%s is %d", alignmentKey, n)
	}
	return nil
}

// place checks that the tensors lie in the file, aligned and apart, and turns offsets
// into file positions.
func place(list []Entry, headerEnd, alignment, size int64) error {
	start := (headerEnd + alignment - 1) / alignment * alignment
	byName := map[string]bool{}
	slices.SortFunc(list, func(a, b Entry) int { return cmp.Compare(a.start, b.start) })
	end := int64(0)
	for i := range list {
		e := &list[i]
		switch {
		case e.Name == "" || byName[e.Name]:
			return malformed("tensor %q stands twice or has no name", e.Name)
		case e.start%alignment != 0:
			return malformed("tensor %q: offset %d is no multiple of %d", e.Name, e.start, alignment)
		case e.start < end:
			return malformed("tensor %q overlaps the one before it", e.Name)
		case e.Bytes > size-start-e.start:
			return malformed("tensor %q needs bytes %d to %d of a file of %d (truncated?)", e.Name, start+e.start, start+e.start+e.Bytes, size)
		}
		byName[e.Name] = true
		end = e.start + e.Bytes
		e.start += start
	}
	return nil
}

// Names returns the tensors' names in order.
func (f *File) Names() []string { return slices.Sorted(maps.Keys(f.entries)) }

// Entry describes a tensor.
func (f *File) Entry(name string) (Entry, bool) {
	e, ok := f.entries[name]
	return e, ok
}

// ReadRows fills dst with rows [lo, hi) of a tensor's first dimension, as stored.
func (f *File) ReadRows(name string, dst []byte, lo, hi int) error {
	e, ok := f.entries[name]
	if !ok {
		return fmt.Errorf("tensor %q: %w", name, fs.ErrNotExist)
	}
	if lo < 0 || hi > e.Shape[0] || lo >= hi || int64(len(dst)) != e.DType.Bytes((hi-lo)*e.cols()) {
		return fmt.Errorf("tensor %q: rows [%d, %d) of %v into %d bytes: %w", name, lo, hi, e.Shape, len(dst), tensor.ErrShape)
	}
	n, err := f.r.ReadAt(dst, e.start+e.DType.Bytes(lo*e.cols()))
	if n == len(dst) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("tensor %q: %w", name, err)
}

// Read returns all of a tensor's bytes, as stored.
func (f *File) Read(name string) ([]byte, Entry, error) {
	e, ok := f.entries[name]
	if !ok {
		return nil, e, fmt.Errorf("tensor %q: %w", name, fs.ErrNotExist)
	}
	data := make([]byte, e.Bytes)
	return data, e, f.ReadRows(name, data, 0, e.Shape[0])
}

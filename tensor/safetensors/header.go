package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/gpupeft/gpupeft/tensor"
)

// maxHeader is the reference implementation's bound on the header's length.
const maxHeader = 100_000_000

// elementBytes gives the size of the format's types. Only the float types and
// I32 and I64 can be loaded; the others may stand in a file beside them.
var elementBytes = map[string]int64{
	"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
	"I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}

// Entry is one tensor of a file.
type Entry struct {
	Name  string
	DType string // as the format spells it: "F32", "BF16", …
	Shape []int
	Bytes int64
	start int64 // from the beginning of the file
}

// readHeader parses the header of a file of the given size.
func readHeader(r io.ReaderAt, size int64) (entries []Entry, metadata map[string]string, err error) {
	var prefix [8]byte
	if size < 8 {
		return nil, nil, fmt.Errorf("%d bytes are too few for a safetensors file: %w", size, tensor.ErrFormat)
	}
	if err := readFull(r, prefix[:], 0); err != nil {
		return nil, nil, err
	}
	n := binary.LittleEndian.Uint64(prefix[:])
	if n > maxHeader || int64(n) > size-8 {
		return nil, nil, fmt.Errorf("header of %d bytes in a file of %d (truncated, or not safetensors): %w", n, size, tensor.ErrFormat)
	}
	header := make([]byte, n)
	if err := readFull(r, header, 8); err != nil {
		return nil, nil, err
	}
	if len(header) == 0 || header[0] != '{' || !utf8.Valid(header) {
		return nil, nil, fmt.Errorf("header is no UTF-8 JSON object: %w", tensor.ErrFormat)
	}
	entries, metadata, err = parseHeader(header)
	if err != nil {
		return nil, nil, err
	}
	return entries, metadata, place(entries, 8+int64(n), size)
}

// parseHeader walks the JSON object by hand, because the standard decoder takes
// the last of several equal keys in silence.
func parseHeader(header []byte) (entries []Entry, metadata map[string]string, err error) {
	seen := map[string]bool{}
	err = eachField(header, func(name string, value json.RawMessage) error {
		if seen[name] {
			return fmt.Errorf("%q stands twice in the header: %w", name, tensor.ErrFormat)
		}
		seen[name] = true
		if name == "__metadata__" {
			if err := json.Unmarshal(value, &metadata); err != nil {
				return fmt.Errorf("__metadata__: %v: %w", err, tensor.ErrFormat)
			}
			return nil
		}
		e, err := parseEntry(name, value)
		entries = append(entries, e)
		return err
	})
	return entries, metadata, err
}

// parseEntry reads one tensor's description; start holds its offset into the
// data until place has checked the whole.
func parseEntry(name string, value json.RawMessage) (Entry, error) {
	var raw struct {
		DType   *string   `json:"dtype"`
		Shape   []int64   `json:"shape"`
		Offsets *[2]int64 `json:"data_offsets"`
	}
	bad := func(format string, args ...any) (Entry, error) {
		return Entry{}, fmt.Errorf("tensor %q: %s: %w", name, fmt.Sprintf(format, args...), tensor.ErrFormat)
	}
	if err := json.Unmarshal(value, &raw); err != nil {
		return bad("%v", err)
	}
	if raw.DType == nil || raw.Shape == nil || raw.Offsets == nil {
		return bad("dtype, shape or data_offsets is missing")
	}
	width, ok := elementBytes[*raw.DType]
	if !ok {
		return bad("unknown dtype %q", *raw.DType)
	}
	bytes, shape := width, make([]int, len(raw.Shape))
	for i, d := range raw.Shape {
		if d < 0 || (d > 0 && bytes > math.MaxInt64/d) {
			return bad("shape %v overflows", raw.Shape)
		}
		bytes *= d
		shape[i] = int(d)
	}
	lo, hi := raw.Offsets[0], raw.Offsets[1]
	if lo < 0 || hi < lo || hi-lo != bytes {
		return bad("%s %v takes %d bytes, data_offsets %v give %d", *raw.DType, raw.Shape, bytes, raw.Offsets, hi-lo)
	}
	return Entry{Name: name, DType: *raw.DType, Shape: shape, Bytes: bytes, start: lo}, nil
}

// place checks that the tensors cover the data exactly, without holes or
// overlaps, and turns offsets into file positions.
func place(entries []Entry, dataStart, size int64) error {
	slices.SortFunc(entries, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.Bytes, b.Bytes))
	})
	next := int64(0)
	for i := range entries {
		e := &entries[i]
		if e.start != next {
			return fmt.Errorf("tensor %q starts at byte %d of the data, want %d: %w", e.Name, e.start, next, tensor.ErrFormat)
		}
		next += e.Bytes
		e.start += dataStart
	}
	if dataStart+next != size {
		return fmt.Errorf("tensors end at byte %d of a file of %d (truncated?): %w", dataStart+next, size, tensor.ErrFormat)
	}
	return nil
}

// eachField calls f for each key of a JSON object.
func eachField(object []byte, f func(name string, value json.RawMessage) error) error {
	dec := json.NewDecoder(bytes.NewReader(object))
	malformed := func(err error) error { return fmt.Errorf("header: %v: %w", err, tensor.ErrFormat) }
	if _, err := dec.Token(); err != nil {
		return malformed(err)
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return malformed(err)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return malformed(err)
		}
		if err := f(key.(string), value); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return malformed(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return malformed(errors.New("text after the closing brace"))
	}
	return nil
}

func readFull(r io.ReaderAt, buf []byte, off int64) error {
	n, err := r.ReadAt(buf, off)
	if n == len(buf) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

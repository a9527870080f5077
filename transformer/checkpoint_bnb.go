package transformer

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/safetensors"
)

// Matrices that bitsandbytes packed in 4 bits, as transformers saves them. Beside
// X.weight, which holds the indices of the flattened matrix, two in a byte, stand
//
//	X.weight.absmax                              the scales of 64 values each: F32, or U8 if they are packed too
//	X.weight.quant_map                           the 16 values of an index
//	X.weight.nested_absmax, .nested_quant_map    of packed scales: F32 [blocks/256], F32 [256]
//	X.weight.quant_state.bitsandbytes__nf4       JSON: the shape, and the mean that packed scales are relative to
//
// The last may end in fp4 instead.

const (
	bnbBlock  = 64
	bnbNested = 256
	bnbState  = ".quant_state.bitsandbytes__"
)

// bnbPacked are the packed matrices of a checkpoint.
type bnbPacked struct {
	weights map[string]Stored
	parts   map[string]bool // the tensors that they are made of
}

func (p bnbPacked) part(name string) bool { return p.parts[name] }

// bnbTensors finds the packed matrices.
func bnbTensors(files *safetensors.Checkpoint) (bnbPacked, error) {
	p := bnbPacked{map[string]Stored{}, map[string]bool{}}
	for _, name := range files.Names() {
		weight, kind, found := strings.Cut(name, bnbState)
		if !found {
			continue
		}
		m, err := openBnb(files, weight, kind)
		if err != nil {
			return p, fmt.Errorf("tensor %q: %w", weight, err)
		}
		p.weights[weight] = Stored{DType: m.dtype, Shape: m.shape, Rows: m.rows}
		for _, suffix := range []string{"", ".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map", bnbState + kind} {
			p.parts[weight+suffix] = true
		}
	}
	return p, nil
}

// bnbMatrix is one packed matrix.
type bnbMatrix struct {
	files  *safetensors.Checkpoint
	name   string
	dtype  tensor.DType
	shape  []int
	offset float32   // of packed scales
	outer  []float32 // the scales of packed scales; nil: they aren't packed
	values []float32 // what packed scales stand for
}

// openBnb reads everything of a matrix but its indices and scales, and checks that
// all sizes agree.
func openBnb(files *safetensors.Checkpoint, name, kind string) (*bnbMatrix, error) {
	m := &bnbMatrix{files: files, name: name}
	var ok bool
	if m.dtype, ok = map[string]tensor.DType{"nf4": tensor.NF4, "fp4": tensor.FP4}[kind]; !ok {
		return nil, fmt.Errorf("bitsandbytes type %q (known: nf4, fp4): %w", kind, ErrUnsupported)
	}
	text, _, err := files.Read(name + bnbState + kind)
	if err != nil {
		return nil, err
	}
	var state struct {
		Type        string  `json:"quant_type"`
		Block       int     `json:"blocksize"`
		Shape       []int   `json:"shape"`
		NestedBlock int     `json:"nested_blocksize"`
		Offset      float64 `json:"nested_offset"`
	}
	if err := json.Unmarshal(text, &state); err != nil {
		return nil, fmt.Errorf("quant_state: %v: %w", err, ErrCheckpoint)
	}
	m.shape, m.offset = state.Shape, float32(state.Offset)
	switch {
	case state.Type != kind || state.Block != bnbBlock:
		return nil, fmt.Errorf("quant_state: type %q in blocks of %d (known: %s in blocks of %d): %w", state.Type, state.Block, kind, bnbBlock, ErrUnsupported)
	case len(m.shape) != 2 || m.shape[0] < 1 || m.shape[1] < 1 || m.shape[0] > math.MaxInt32 || m.shape[1] > math.MaxInt32:
		return nil, fmt.Errorf("quant_state: shape %v: %w", m.shape, ErrCheckpoint)
	case m.shape[1]%bnbBlock != 0:
		return nil, fmt.Errorf("rows of %d share blocks of %d with their neighbours: %w", m.shape[1], bnbBlock, ErrUnsupported)
	}
	if err := m.checkCodes(); err != nil {
		return nil, err
	}
	return m, m.scales(state.NestedBlock)
}

// codebook returns what the sixteen indices of NF4 or FP4 stand for.
func codebook(dt tensor.DType) []float32 {
	block := make([]byte, dt.Bytes(bnbBlock))
	binary.LittleEndian.PutUint32(block, math.Float32bits(1))
	for i := range 8 {
		block[4+i] = byte(2*i<<4 | (2*i + 1))
	}
	return tensor.Unpack(nil, dt, block)[:16]
}

// checkCodes checks that indices mean what the type says.
func (m *bnbMatrix) checkCodes() error {
	got, err := m.floats(".quant_map", 16)
	if err != nil {
		return err
	}
	for i, want := range codebook(m.dtype) {
		if got[i] != want {
			return fmt.Errorf("quant_map[%d] is %v, %v has %v: %w", i, got[i], m.dtype, want, ErrUnsupported)
		}
	}
	return nil
}

// scales checks the sizes, and reads what packed scales need.
func (m *bnbMatrix) scales(nestedBlock int) error {
	n := int64(m.shape[0]) * int64(m.shape[1])
	if err := m.expect("", "U8", n/2); err != nil {
		return err
	}
	blocks := n / bnbBlock
	if _, nested := m.files.Entry(m.name + ".nested_absmax"); !nested {
		return m.expect(".absmax", "F32", blocks)
	}
	if nestedBlock != bnbNested {
		return fmt.Errorf("quant_state: nested_blocksize %d (known: %d): %w", nestedBlock, bnbNested, ErrUnsupported)
	}
	err := m.expect(".absmax", "U8", blocks)
	if err == nil {
		m.values, err = m.floats(".nested_quant_map", 256)
	}
	if err == nil {
		m.outer, err = m.floats(".nested_absmax", (blocks+bnbNested-1)/bnbNested)
	}
	return err
}

// expect checks the type and the number of values of a part.
func (m *bnbMatrix) expect(suffix, dtype string, values int64) error {
	e, ok := m.files.Entry(m.name + suffix)
	n := int64(1)
	for _, d := range e.Shape {
		n *= int64(d)
	}
	if !ok || e.DType != dtype || n != values {
		return fmt.Errorf("%s%s is %s %v, want %d values of %s: %w", m.name, suffix, e.DType, e.Shape, values, dtype, ErrCheckpoint)
	}
	return nil
}

// floats reads an F32 part.
func (m *bnbMatrix) floats(suffix string, values int64) ([]float32, error) {
	if err := m.expect(suffix, "F32", values); err != nil {
		return nil, err
	}
	data, _, err := m.files.Read(m.name + suffix)
	return tensor.Unpack(nil, tensor.F32, data), err
}

// rows puts each block's scale in front of its indices.
func (m *bnbMatrix) rows(dst []byte, lo, hi int) error {
	perRow := m.shape[1] / bnbBlock
	first, end := lo*perRow, hi*perRow
	scales, err := m.absmax(first, end)
	if err != nil {
		return err
	}
	indices := make([]byte, (end-first)*bnbBlock/2)
	if err := m.read("", indices, int64(first)*bnbBlock/2); err != nil {
		return err
	}
	for _, s := range scales {
		binary.LittleEndian.PutUint32(dst, math.Float32bits(s))
		copy(dst[4:], indices[:bnbBlock/2])
		dst, indices = dst[4+bnbBlock/2:], indices[bnbBlock/2:]
	}
	return nil
}

// absmax returns the scales of blocks [first, end).
func (m *bnbMatrix) absmax(first, end int) ([]float32, error) {
	if m.outer == nil {
		data := make([]byte, 4*(end-first))
		err := m.read(".absmax", data, 4*int64(first))
		return tensor.Unpack(nil, tensor.F32, data), err
	}
	from := first / bnbNested // the block of scales that begins at or before the first
	packed := make([]byte, end-from*bnbNested)
	if err := m.read(".absmax", packed, int64(from)*bnbNested); err != nil {
		return nil, err
	}
	outer := m.outer[from : (end+bnbNested-1)/bnbNested]
	scales, err := tensor.NestedScales(packed, m.values, outer, bnbNested, m.offset)
	if err != nil {
		return nil, err
	}
	return scales[first-from*bnbNested:], nil
}

// read fills dst with a part's bytes from an offset on.
func (m *bnbMatrix) read(suffix string, dst []byte, offset int64) error {
	err := m.files.ReadAt(m.name+suffix, dst, offset)
	if err != nil {
		return errors.Join(err, ErrCheckpoint)
	}
	return nil
}

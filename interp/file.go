package interp

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/safetensors"
	"github.com/gpupeft/gpupeft/transformer"
)

// The names in a file beside those of hooks. Gradients have TransformerLens' suffix.
const (
	tokensName = "tokens"
	logitsName = "logits"
	gradSuffix = "_grad"
)

// Write writes the trace as a safetensors file: activations under their hooks' names,
// gradients under those with "_grad" behind, "logits", and "tokens" [B, T].
func (t *Trace) Write(w io.Writer, metadata map[string]string) error {
	return safetensors.Write(w, metadata, t.tensors())
}

// tensors are those of the file; none is empty.
func (t *Trace) tensors() []safetensors.Tensor {
	var all []safetensors.Tensor
	add := func(name string, a Activation) {
		if a.size() > 0 {
			all = append(all, safetensors.Tensor{Name: name, DType: "F32", Shape: a.Shape, Stream: a.write})
		}
	}
	for name, a := range t.Activations {
		add(name, a)
	}
	for name, a := range t.Gradients {
		add(name+gradSuffix, a)
	}
	add(logitsName, t.Logits)
	if len(t.Tokens) > 0 {
		ids := slices.Concat(t.Tokens...)
		data := make([]byte, 0, 4*len(ids))
		for _, id := range ids {
			data = binary.LittleEndian.AppendUint32(data, uint32(id))
		}
		all = append(all, safetensors.Tensor{
			Name: tokensName, DType: "I32", Shape: []int{len(t.Tokens), len(t.Tokens[0])},
			Stream: func(w io.Writer) error { _, err := w.Write(data); return err },
		})
	}
	return all
}

// written is how many values are packed at a time.
const written = 1 << 16

// write writes the values as a file has them.
func (a Activation) write(w io.Writer) error {
	var data []byte
	for part := range slices.Chunk(a.Values, written) {
		data = tensor.Pack(data[:0], tensor.F32, part)
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
	return nil
}

// ReadTrace reads what Write, or a program that saves TransformerLens' cache under its
// own names, has written. Tensors may be F32, F16 or BF16, tokens I32 or I64.
func ReadTrace(r io.ReaderAt, size int64) (*Trace, error) {
	f, err := safetensors.New(r, size)
	if err != nil {
		return nil, err
	}
	t := &Trace{Activations: map[string]Activation{}, Gradients: map[string]Activation{}}
	for _, name := range f.Names() {
		data, e, err := f.Read(name)
		if err != nil {
			return nil, err
		}
		if name == tokensName {
			if t.Tokens, err = tokensOf(data, e); err != nil {
				return nil, err
			}
			continue
		}
		dt, err := tensor.ParseDType(strings.ToLower(e.DType))
		if err != nil || dt != tensor.F32 && dt != tensor.F16 && dt != tensor.BF16 {
			return nil, fmt.Errorf("tensor %q: type %s: %w", name, e.DType, transformer.ErrUnsupported)
		}
		a := Activation{e.Shape, tensor.Unpack(nil, dt, data)}
		hook, grad := strings.CutSuffix(name, gradSuffix)
		switch {
		case name == logitsName:
			t.Logits = a
		case grad:
			t.Gradients[hook] = a
		default:
			t.Activations[name] = a
		}
	}
	return t, nil
}

// tokensOf reads ids [B, T].
func tokensOf(data []byte, e safetensors.Entry) ([][]int32, error) {
	width := map[string]int{"I32": 4, "I64": 8}[e.DType]
	if width == 0 || len(e.Shape) != 2 || e.Shape[1] == 0 {
		return nil, fmt.Errorf("tokens: type %s, shape %v, want whole numbers [sequences, tokens]: %w", e.DType, e.Shape, transformer.ErrInput)
	}
	var ids []int32
	for ; len(data) > 0; data = data[width:] {
		ids = append(ids, int32(binary.LittleEndian.Uint32(data))) // the low half of an I64
	}
	return slices.Collect(slices.Chunk(ids, e.Shape[1])), nil
}

// Difference is between a tensor of two traces.
type Difference struct {
	Name     string
	Shape    []int
	Largest  float64 // |a−b|, of one value
	Relative float64 // the root of Σ(a−b)² over that of Σ b²
	Problem  string  // why they can't be compared, or ""
}

// Compare compares all that b has with a, in the order of names. Values that are −∞ in
// both, or less than −1e30, count as equal.
func Compare(a, b *Trace) []Difference {
	left, right := a.all(), b.all()
	var list []Difference
	for name, want := range right {
		d := Difference{Name: name, Shape: want.Shape}
		got, ok := left[name]
		switch {
		case !ok:
			d.Problem = "missing"
		case !slices.Equal(got.Shape, want.Shape):
			d.Problem = fmt.Sprintf("shape %v, not %v", got.Shape, want.Shape)
		default:
			d.Largest, d.Relative = difference(got.Values, want.Values)
		}
		list = append(list, d)
	}
	slices.SortFunc(list, func(a, b Difference) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// all returns activations, gradients and logits under their names in files.
func (t *Trace) all() map[string]Activation {
	all := map[string]Activation{}
	for name, a := range t.Activations {
		all[name] = a
	}
	for name, a := range t.Gradients {
		all[name+gradSuffix] = a
	}
	if len(t.Logits.Values) > 0 {
		all[logitsName] = t.Logits
	}
	return all
}

func difference(got, want []float32) (largest, relative float64) {
	const masked = -1e30
	num, den := 0.0, 0.0
	for i, w := range want {
		if w < masked && got[i] < masked {
			continue
		}
		d := math.Abs(float64(got[i]) - float64(w))
		largest, num, den = max(largest, d), num+d*d, den+float64(w)*float64(w)
	}
	if num == 0 {
		return largest, 0
	}
	return largest, math.Sqrt(num / den)
}

package optest

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"math"
	"math/rand/v2"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/internal/half"
)

// guardBytes lie before and behind every tensor. A multiple of what any backend
// asks of the start of a view.
const guardBytes = 256

// inputs makes the tensors of one case. The first error sticks.
type inputs struct {
	*rand.Rand
	backend tensor.Backend
	slots   map[*tensor.Tensor]*slot
	blank   bool // the tensors get no values
	err     error
}

// slot is the allocation around one tensor and what it holds.
type slot struct {
	base   *tensor.Tensor
	data   []byte // of base
	lo, hi int    // the tensor's own bytes
}

func newInputs(b tensor.Backend, name string) *inputs {
	h := fnv.New64a()
	h.Write([]byte(name)) // never fails
	return &inputs{Rand: rand.New(rand.NewPCG(h.Sum64(), 0)), backend: b, slots: map[*tensor.Tensor]*slot{}}
}

// normal makes an F32 tensor of normally distributed values.
func (in *inputs) normal(shape ...int) *tensor.Tensor { return in.weight(tensor.F32, shape...) }

// weight makes a tensor of normally distributed values in any float type. Quantized
// ones are random blocks with scales that give values around 1.
func (in *inputs) weight(dt tensor.DType, shape ...int) *tensor.Tensor {
	if dt.Quantized() {
		return in.make(dt, in.block(dt), shape...)
	}
	return in.values(dt, func(int) float32 { return float32(in.NormFloat64()) }, shape...)
}

// constant makes an F32 tensor of one value.
func (in *inputs) constant(v float32, shape ...int) *tensor.Tensor {
	return in.values(tensor.F32, func(int) float32 { return v }, shape...)
}

// values makes a tensor of any float type from its values.
func (in *inputs) values(dt tensor.DType, value func(i int) float32, shape ...int) *tensor.Tensor {
	return in.make(dt, func(data []byte, i int) {
		switch v := value(i); dt {
		case tensor.F16:
			binary.LittleEndian.PutUint16(data, half.ToF16(v))
		case tensor.BF16:
			binary.LittleEndian.PutUint16(data, half.ToBF16(v))
		default:
			binary.LittleEndian.PutUint32(data, math.Float32bits(v))
		}
	}, shape...)
}

// ints makes an I32 tensor of n values.
func (in *inputs) ints(n int, value func(i int) int) *tensor.Tensor {
	return in.make(tensor.I32, func(data []byte, i int) {
		binary.LittleEndian.PutUint32(data, uint32(int32(value(i))))
	}, n)
}

// below makes an I32 tensor of n values in [lo, hi).
func (in *inputs) below(n, lo, hi int) *tensor.Tensor {
	return in.ints(n, func(int) int { return lo + in.IntN(hi-lo) })
}

// block returns what makes random blocks of a quantized type: any bytes are such a
// block, but for the floats in it, which are set to magnitudes that fit.
func (in *inputs) block(dt tensor.DType) func(data []byte, i int) {
	floats := map[tensor.DType]struct {
		places []int   // of binary16 numbers
		size   float64 // of them
	}{
		tensor.Q8_0: {[]int{0}, 0.015}, tensor.Q4_0: {[]int{0}, 0.2}, tensor.Q4_1: {[]int{0, 2}, 0.2}, tensor.Q5_0: {[]int{0}, 0.1},
		tensor.Q5_1: {[]int{0, 2}, 0.1}, tensor.Q4_K: {[]int{0, 2}, 0.004}, tensor.Q5_K: {[]int{0, 2}, 0.002}, tensor.Q6_K: {[]int{208}, 0.0008},
	}[dt]
	return func(data []byte, _ int) {
		for i := range data {
			data[i] = byte(in.Uint32())
		}
		for _, at := range floats.places {
			binary.LittleEndian.PutUint16(data[at:], half.ToF16(float32(floats.size*(1+in.NormFloat64()/4))))
		}
		if floats.places == nil {
			binary.LittleEndian.PutUint32(data, math.Float32bits(float32(1+in.NormFloat64()/4)))
		}
	}
}

// make allocates a tensor between guards and encodes its blocks, which are single values
// in most types, one by one.
func (in *inputs) make(dt tensor.DType, put func(data []byte, i int), shape ...int) *tensor.Tensor {
	n := 1
	for _, d := range shape {
		n *= d
	}
	block := dt.Block()
	size := int(dt.Bytes(block))
	// The least number of blocks whose bytes are a multiple of guardBytes.
	guard := guardBytes / gcd(guardBytes, size)
	n /= block
	s := &slot{lo: guard * size, hi: (guard + n) * size}
	base, err := in.backend.New("case", dt, (2*guard+(n+guard-1)/guard*guard)*block)
	if err != nil {
		return in.fail(err)
	}
	s.base = base
	if !in.blank {
		s.data = make([]byte, base.Bytes())
		s.fill(0, len(s.data))
		for i := range n {
			put(s.data[s.lo+i*size:][:size], i)
		}
	}
	rows, err := base.Slice(guard*block, (guard+n)*block)
	if err != nil {
		return in.fail(err)
	}
	t, err := rows.Reshape(shape...)
	if err != nil {
		return in.fail(err)
	}
	in.slots[t] = s
	return t
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// fail keeps the first error and returns a tensor to go on with.
func (in *inputs) fail(err error) *tensor.Tensor {
	in.err = errors.Join(in.err, err)
	return &tensor.Tensor{Shape: []int{1}}
}

// fill sets bytes to what is NaN in each of the float types, and no sensible
// index.
func (s *slot) fill(lo, hi int) {
	poison := []byte{0xd5, 0x7f}
	for i := lo; i < hi; i++ {
		s.data[i] = poison[i%2]
	}
}

func (in *inputs) write(ctx context.Context) error {
	for _, s := range in.slots {
		if err := in.backend.Write(ctx, s.base, s.data); err != nil {
			return err
		}
	}
	return nil
}

func (in *inputs) close() error {
	var errs []error
	for _, s := range in.slots {
		errs = append(errs, s.base.Close())
	}
	return errors.Join(errs...)
}

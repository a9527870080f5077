package tensor

import (
	"context"
	"encoding/binary"
	"math"
	"runtime"
	"unsafe"

	"github.com/gpupeft/gpupeft/tensor/internal/gemm"
	"github.com/gpupeft/gpupeft/tensor/internal/half"
	"github.com/gpupeft/gpupeft/tensor/internal/vec"
)

// CPU is the backend that computes in float32 on the processor. It needs
// nothing but memory, and is the reference for the other backends.
type CPU struct{ host[float32] }

// NewCPU returns a CPU backend that uses up to so many goroutines at a time, or
// GOMAXPROCS of them if workers isn't positive. Results don't depend on the
// number: how work is divided never changes the order of a sum.
func NewCPU(workers int) *CPU {
	info := Info{Kind: "cpu", Name: runtime.GOARCH, Type: "cpu", Threads: workers}
	return &CPU{newHost(info, vectors[float32]{
		dot: vec.Dot, axpy: vec.Axpy, expSum: vec.ExpSum, widen: widen32, gemm: gemm32,
		scaleTo: vec.ScaleTo, sum: vec.Add, normalize: vec.Normalize, scoreGradient: vec.ScoreGradient,
		gate: vec.Gate, gateBackward: vec.GateBackward, maximum: vec.Max,
	})}
}

// Float64 is the CPU backend with float64 in place of float32: the oracle for
// tests of other backends and for gradients by finite differences. Tensors of
// type F32 are held as float64; Write widens and Read rounds.
type Float64 struct{ host[float64] }

// NewFloat64 returns a float64 backend with GOMAXPROCS goroutines.
func NewFloat64() *Float64 {
	info := Info{Kind: "cpu", Name: runtime.GOARCH + " float64", Type: "cpu"}
	return &Float64{newHost(info, vectors[float64]{
		dot: dot64, axpy: axpy64, expSum: expSum64, widen: widen64, gemm: gemm64,
		scaleTo: vec.PlainScaleTo[float64], sum: vec.PlainAdd[float64], normalize: vec.PlainNormalize[float64],
		scoreGradient: vec.PlainScoreGradient[float64], gate: vec.PlainGate[float64],
		gateBackward: vec.PlainGateBackward[float64], maximum: vec.PlainMax[float64],
	})}
}

// Write64 replaces all values of an F32 tensor, without rounding them.
func (f *Float64) Write64(ctx context.Context, t *Tensor, src []float64) error {
	if err := checkValues(t, F32, len(src)); err != nil {
		return err
	}
	return f.access(ctx, t, func(s span[float64]) { copy(s.values, src) })
}

// Read64 copies the values of an F32 tensor to dst, without rounding them.
func (f *Float64) Read64(ctx context.Context, t *Tensor, dst []float64) error {
	if err := checkValues(t, F32, len(dst)); err != nil {
		return err
	}
	return f.access(ctx, t, func(s span[float64]) { copy(dst, s.values) })
}

// real is what a host computes in.
type real interface{ float32 | float64 }

// vectors are the inner loops that have a faster form in float32.
type vectors[T real] struct {
	dot    func(x, y []T) T                                    // Σ x·y
	axpy   func(alpha T, x, y []T)                             // y += alpha·x
	expSum func(dst, src []T, shift T) T                       // dst = exp(src−shift); the sum of dst
	widen  func(dt DType, dst []T, stored span[T])             // dst = the values of stored weights
	gemm   func(each gemm.Parallel, p multiplication[T]) error // out = scale·A·B

	scaleTo       func(dst, src []T, alpha T)          // dst = alpha·src
	sum           func(dst, x, y []T)                  // dst = x + y
	normalize     func(dst, x, w []T, alpha, offset T) // dst = alpha·x·(offset+w)
	scoreGradient func(g, p []T, mean, scale T)        // g = p·(g−mean)·scale
	gate          func(out, gate, up []T)              // out = SiLU(gate)·up
	gateBackward  func(dgate, dup, dout, gate, up []T) // its gradient
	maximum       func(x []T) T                        // the largest value, or NaN if there is one
}

// dot64 has four sums, because each addition waits for the one before it.
func dot64(x, y []float64) float64 {
	var s [4]float64
	i := 0
	for ; i+4 <= len(x); i += 4 {
		s[0] += x[i] * y[i]
		s[1] += x[i+1] * y[i+1]
		s[2] += x[i+2] * y[i+2]
		s[3] += x[i+3] * y[i+3]
	}
	for ; i < len(x); i++ {
		s[0] += x[i] * y[i]
	}
	return s[0] + s[1] + (s[2] + s[3])
}

func axpy64(alpha float64, x, y []float64) {
	for i, v := range x {
		y[i] += alpha * v
	}
}

func expSum64(dst, src []float64, shift float64) (sum float64) {
	for i, v := range src {
		dst[i] = math.Exp(v - shift)
		sum += dst[i]
	}
	return sum
}

func widen32(dt DType, dst []float32, stored span[float32]) {
	switch dt {
	case F16:
		half.F16ToF32(dst, stored.halves)
	case BF16:
		half.BF16ToF32(dst, stored.halves)
	default:
		stored.quant.Unpack(dst, stored.blocks)
	}
}

func widen64(dt DType, dst []float64, stored span[float64]) {
	narrow := make([]float32, len(dst))
	widen32(dt, narrow, span[float32]{halves: stored.halves, blocks: stored.blocks, quant: stored.quant})
	for i, v := range narrow {
		dst[i] = float64(v)
	}
}

// raw returns the bytes of a piece of memory where they are what decode reads and encode writes, else nil.
func (s span[T]) raw() []byte {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		return nil
	}
	if values, ok := any(s.values).([]float32); ok && len(values) > 0 { // with T float64 they are converted
		return bytesOf(values)
	}
	if len(s.halves) > 0 {
		return bytesOf(s.halves)
	}
	if len(s.ints) > 0 {
		return bytesOf(s.ints)
	}
	return s.blocks
}

// bytesOf is the memory of values.
func bytesOf[E any](values []E) []byte {
	size := len(values) * int(unsafe.Sizeof(values[0]))
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), size) // #nosec G103 -- of values, and as long
}

// decode fills a piece of memory from little-endian bytes.
func (s span[T]) decode(data []byte) {
	if raw := s.raw(); raw != nil {
		copy(raw, data)
		return
	}
	for i := range s.values {
		s.values[i] = T(math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:])))
	}
	for i := range s.halves {
		s.halves[i] = binary.LittleEndian.Uint16(data[2*i:])
	}
	copy(s.blocks, data)
	for i := range s.ints {
		s.ints[i] = int32(binary.LittleEndian.Uint32(data[4*i:]))
	}
}

// encode writes a piece of memory as little-endian bytes.
func (s span[T]) encode(data []byte) {
	if raw := s.raw(); raw != nil {
		copy(data, raw)
		return
	}
	for i, v := range s.values {
		binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(float32(v)))
	}
	for i, v := range s.halves {
		binary.LittleEndian.PutUint16(data[2*i:], v)
	}
	copy(data, s.blocks)
	for i, v := range s.ints {
		binary.LittleEndian.PutUint32(data[4*i:], uint32(v))
	}
}

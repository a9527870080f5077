package transformer

import (
	"io"
	"iter"
	"runtime"
	"sync"

	"github.com/gpupeft/gpupeft/tensor"
)

// Stored is a tensor of a checkpoint. It is read a few rows at a time.
type Stored struct {
	DType tensor.DType
	Shape []int // as HF has it
	// Rows reads rows [lo, hi) of the first dimension as DType stores them; dst has
	// just as many bytes.
	Rows func(dst []byte, lo, hi int) error

	refuse error // why it can't be loaded
}

// cols returns the number of values in a row.
func (s Stored) cols() int {
	n := 1
	for _, d := range s.Shape[1:] {
		n *= d
	}
	return n
}

// Bytes returns the size of rows [lo, hi).
func (s Stored) Bytes(lo, hi int) int64 { return s.DType.Bytes((hi - lo) * s.cols()) }

// As returns the tensor in another type. Rows are converted when they are read.
func (s Stored) As(dt tensor.DType) Stored {
	if dt == s.DType {
		return s
	}
	return Stored{DType: dt, Shape: s.Shape, Rows: func(dst []byte, lo, hi int) error {
		buffer := make([]byte, s.Bytes(lo, hi)) // not kept: a checkpoint has hundreds of tensors
		if err := s.Rows(buffer, lo, hi); err != nil {
			return err
		}
		convert(dst, dt, buffer, s.DType, hi-lo)
		return nil
	}}
}

// What is read at once, in values; and the number of rows of which it is a multiple,
// so that each piece begins where any backend can write it.
const (
	pieceValues = 4 << 20
	pieceRows   = 64
)

// pieces cuts the rows into ranges [lo, hi) to be read at once.
func (s Stored) pieces() iter.Seq2[int, int] {
	step := max(1, pieceValues/pieceRows/s.cols()) * pieceRows
	return func(yield func(lo, hi int) bool) {
		for lo := 0; lo < s.Shape[0]; lo += step {
			if !yield(lo, min(lo+step, s.Shape[0])) {
				return
			}
		}
	}
}

// reordered reads the rows in another order: row r is the one that from(r) is in s.
func (s Stored) reordered(from func(r int) int) func([]byte, int, int) error {
	read, size := s.Rows, s.Bytes(0, 1)
	return func(dst []byte, lo, hi int) error {
		for r := lo; r < hi; r++ {
			if err := read(dst[int64(r-lo)*size:][:size], from(r), from(r)+1); err != nil {
				return err
			}
		}
		return nil
	}
}

// write writes all rows, each piece changed by f first.
func (s Stored) write(w io.Writer, f func(piece []byte) []byte) error {
	var buffer []byte
	for lo, hi := range s.pieces() {
		buffer = resize(buffer, s.Bytes(lo, hi))
		if err := s.Rows(buffer, lo, hi); err != nil {
			return err
		}
		if _, err := w.Write(f(buffer)); err != nil {
			return err
		}
	}
	return nil
}

func resize(buf []byte, n int64) []byte {
	if int64(cap(buf)) < n {
		return make([]byte, n)
	}
	return buf[:n]
}

// convert brings rows from one type into another, several at a time.
func convert(dst []byte, to tensor.DType, src []byte, from tensor.DType, rows int) {
	workers := min(rows, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			var values []float32
			var packed []byte
			for r := w; r < rows; r += workers {
				values = tensor.Unpack(values[:0], from, share(src, r, rows))
				packed = tensor.Pack(packed[:0], to, values)
				copy(share(dst, r, rows), packed)
			}
		})
	}
	wg.Wait()
}

// share returns part i of n equal parts.
func share(data []byte, i, n int) []byte {
	size := len(data) / n
	return data[i*size : (i+1)*size]
}

package quant

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestVectorsEqualPortableCode unpacks random bytes, infinities and NaN among the scales, in several lengths, and
// compares bits with the portable code's.
func TestVectorsEqualPortableCode(t *testing.T) {
	const guard = 12345
	random := rand.New(rand.NewPCG(1, 2))
	for name, f := range formats {
		for _, n := range []int{1, 2, 3, 7, 64} {
			for range 20 {
				data := make([]byte, n*f.Bytes)
				for i := range data {
					data[i] = byte(random.Uint32())
				}
				got, want := make([]float32, n*f.Block+1), make([]float32, n*f.Block)
				got[n*f.Block] = guard
				f.Unpack(got, data)
				for i := range n {
					f.unpackBlock(want[i*f.Block:][:f.Block], data[i*f.Bytes:][:f.Bytes])
				}
				for i, w := range want {
					bothNaN := w != w && got[i] != got[i] // their signs may differ
					if !bothNaN && math.Float32bits(got[i]) != math.Float32bits(w) {
						t.Fatalf("%s: value %d of block %d is %x, want %x", name, i%f.Block, i/f.Block, got[i], w)
					}
				}
				if got[n*f.Block] != guard {
					t.Fatalf("%s: the value behind %d blocks was changed", name, n)
				}
			}
		}
	}
}

func TestUnpackAllocatesNothing(t *testing.T) {
	data := make([]byte, 4*MaxBlock)
	for name, f := range formats {
		if n := testing.AllocsPerRun(10, func() {
			var buffer [MaxBlock]float32 // stays on the stack
			f.Unpack(buffer[:], data)
			f.unpackBlock(buffer[:f.Block], data[:f.Bytes])
		}); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkUnpack(b *testing.B) {
	const n = 4096
	values := make([]float32, n)
	for name, f := range formats {
		data := make([]byte, n/f.Block*f.Bytes)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(4 * n)
			for b.Loop() {
				f.Unpack(values, data)
			}
		})
	}
}

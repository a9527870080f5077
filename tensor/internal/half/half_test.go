package half

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// all16 holds every 16-bit pattern.
var all16 = func() []uint16 {
	all := make([]uint16, 1<<16)
	for i := range all {
		all[i] = uint16(i)
	}
	return all
}()

// exactF16 computes an f16 value from its definition in float64.
func exactF16(h uint16) float64 {
	exponent, mantissa := int(h>>10&0x1f), float64(h&0x3ff)
	var v float64
	switch exponent {
	case 0x1f:
		if mantissa != 0 {
			return math.NaN()
		}
		v = math.Inf(1)
	case 0:
		v = math.Ldexp(mantissa, -24)
	default:
		v = math.Ldexp(1024+mantissa, exponent-25)
	}
	if h>>15 != 0 {
		v = math.Copysign(v, -1)
	}
	return v
}

func sameFloat(a, b float64) bool {
	return math.IsNaN(a) && math.IsNaN(b) || a == b && math.Signbit(a) == math.Signbit(b)
}

func TestWideningIsExact(t *testing.T) {
	f16, bf16 := make([]float32, len(all16)), make([]float32, len(all16))
	F16ToF32(f16, all16)
	BF16ToF32(bf16, all16)
	for i, h := range all16 {
		if want := exactF16(h); !sameFloat(float64(f16[i]), want) {
			t.Fatalf("f16 %#04x: %g, want %g", h, f16[i], want)
		}
		if math.Float32bits(f16[i]) != math.Float32bits(FromF16(h)) {
			t.Fatalf("f16 %#04x: slice %#08x, scalar %#08x", h, math.Float32bits(f16[i]), math.Float32bits(FromF16(h)))
		}
		if math.Float32bits(bf16[i]) != uint32(h)<<16 || math.Float32bits(FromBF16(h)) != uint32(h)<<16 {
			t.Fatalf("bf16 %#04x: slice %#08x, scalar %#08x", h, math.Float32bits(bf16[i]), math.Float32bits(FromBF16(h)))
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for _, h := range all16 {
		if want := quieted(h, infinityF16, quietF16); ToF16(FromF16(h)) != want {
			t.Fatalf("f16 %#04x comes back as %#04x, want %#04x", h, ToF16(FromF16(h)), want)
		}
		if want := quieted(h, 0xff<<7, 1<<6); ToBF16(FromBF16(h)) != want {
			t.Fatalf("bf16 %#04x comes back as %#04x, want %#04x", h, ToBF16(FromBF16(h)), want)
		}
	}
}

func quieted(h, infinity, quiet uint16) uint16 {
	if h&^signF16 > infinity {
		return h | quiet
	}
	return h
}

// TestRoundsToNearestEven walks over all pairs of neighbouring finite values and rounds their midpoint and
// the float32 values next to it.
func TestRoundsToNearestEven(t *testing.T) {
	formats := []struct {
		name     string
		infinity uint16
		from     func(uint16) float32
		to       func(float32) uint16
	}{
		{"f16", infinityF16, FromF16, ToF16},
		{"bf16", 0xff << 7, FromBF16, ToBF16},
	}
	for _, f := range formats {
		t.Run(f.name, func(t *testing.T) {
			for low := range f.infinity - 1 {
				high := low + 1
				middle := float32((float64(f.from(low)) + float64(f.from(high))) / 2) // exact
				even := low + low&1
				checkRounding(t, f.to, middle, even)
				checkRounding(t, f.to, math.Nextafter32(middle, 0), low)
				checkRounding(t, f.to, math.Nextafter32(middle, math.MaxFloat32), high)
			}
		})
	}
	checkRounding(t, ToF16, 65519.996, infinityF16-1)
	checkRounding(t, ToF16, 65520, infinityF16)
	checkRounding(t, ToF16, float32(math.Inf(1)), infinityF16)
	checkRounding(t, ToF16, 0x1p-25, 0)
	checkRounding(t, ToBF16, math.MaxFloat32, 0xff<<7)
}

func checkRounding(t *testing.T, to func(float32) uint16, value float32, want uint16) {
	t.Helper()
	if got := to(value); got != want {
		t.Fatalf("%x rounds to %#04x, want %#04x", value, got, want)
	}
	if got := to(-value); got != want|signF16 {
		t.Fatalf("%x rounds to %#04x, want %#04x", -value, got, want|signF16)
	}
}

func TestSlicesRoundLikeScalars(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	src := make([]float32, 1<<20)
	for i := range src {
		src[i] = math.Float32frombits(random.Uint32()) // all exponents, NaN and infinities among them
	}
	f16, bf16 := make([]uint16, len(src)), make([]uint16, len(src))
	F32ToF16(f16, src)
	F32ToBF16(bf16, src)
	for i, v := range src {
		if f16[i] != ToF16(v) || bf16[i] != ToBF16(v) {
			t.Fatalf("%x (%#08x): f16 %#04x and %#04x, bf16 %#04x and %#04x",
				v, math.Float32bits(v), f16[i], ToF16(v), bf16[i], ToBF16(v))
		}
	}
}

func TestLengths(t *testing.T) {
	for n := range 40 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			const guard = 12345
			wide := make([]float32, n+1)
			wide[n] = guard
			F16ToF32(wide[:n], all16[15360:])
			for i, v := range wide[:n] {
				if v != FromF16(all16[15360+i]) {
					t.Fatalf("f16 element %d: %g", i, v)
				}
			}
			BF16ToF32(wide, all16[16256:16256+n])
			for i, v := range wide[:n] {
				if v != FromBF16(all16[16256+i]) {
					t.Fatalf("bf16 element %d: %g", i, v)
				}
			}
			if wide[n] != guard {
				t.Fatalf("element %d behind the end became %g", n, wide[n])
			}
			narrow := make([]uint16, n+1)
			narrow[n] = guard
			F32ToBF16(narrow[:n], wide)
			F32ToBF16(narrow, wide[:n])
			F32ToF16(narrow[:n], wide)
			for i, h := range narrow[:n] {
				if h != ToF16(wide[i]) {
					t.Fatalf("rounded element %d: %#04x", i, h)
				}
			}
			if narrow[n] != guard {
				t.Fatalf("element %d behind the end became %#04x", n, narrow[n])
			}
		})
	}
}

func BenchmarkConvert(b *testing.B) {
	const n = 4096
	wide, narrow := make([]float32, n), make([]uint16, n)
	run := func(name string, f func()) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(6 * n) // read and written
			for b.Loop() {
				f()
			}
		})
	}
	run("F16ToF32", func() { F16ToF32(wide, narrow) })
	run("F32ToF16", func() { F32ToF16(narrow, wide) })
	run("BF16ToF32", func() { BF16ToF32(wide, narrow) })
	run("F32ToBF16", func() { F32ToBF16(narrow, wide) })
}

package quant

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// anyValues draws values of two blocks of any format: of any magnitude that a scale of binary16 can have, around
// zero or not, with outliers and with runs of the same value.
var anyValues = rapid.Custom(func(t *rapid.T) []float32 {
	random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	deviation := math.Pow(10, rapid.Float64Range(-5, 3).Draw(t, "magnitude"))
	offset := deviation * rapid.SampledFrom([]float64{0, 0, 1, -3, 30}).Draw(t, "offset")
	rare, same := rapid.Float64Range(0, 0.1).Draw(t, "outliers"), rapid.Float64Range(0, 1).Draw(t, "same")
	values := make([]float32, 512)
	for i := range values {
		switch x := random.NormFloat64(); {
		case i > 0 && random.Float64() < same*same:
			values[i] = values[i-1]
		case random.Float64() < rare:
			values[i] = float32(offset + 20*deviation*x)
		default:
			values[i] = float32(offset + deviation*x)
		}
	}
	return values
})

// halfError is the most that a number moves when it is rounded to binary16.
func halfError(x float64) float64 { return max(math.Abs(x)*0x1p-11, 0x1p-25) }

// steps bound the error of each value of a block by half a step, and what rounding the scale to binary16 adds.
var steps = map[string]func(block []float32) func(x float64) float64{
	"q8_0": func(block []float32) func(x float64) float64 {
		d := float64(magnitude(largest(block))) / 127
		return func(float64) float64 { return d/2 + 127*halfError(d) }
	},
	"q4_0": func(block []float32) func(x float64) float64 { return oneSided(block, 8) },
	"q5_0": func(block []float32) func(x float64) float64 { return oneSided(block, 16) },
	"q4_1": func(block []float32) func(x float64) float64 { return affine(block, 15) },
	"q5_1": func(block []float32) func(x float64) float64 { return affine(block, 31) },
	"nf4":  func(block []float32) func(x float64) float64 { return nearest(block, &nf4) },
	"fp4":  func(block []float32) func(x float64) float64 { return nearest(block, &fp4) },
}

// oneSided has a level less on the side that the largest value is not on: there the error is up to a whole step.
func oneSided(block []float32, levels float64) func(x float64) float64 {
	d := float64(largest(block)) / -levels
	return func(x float64) float64 {
		return max(0.5, ratio(x, d)-(levels-1))*math.Abs(d) + levels*halfError(d)
	}
}

func affine(block []float32, top float64) func(x float64) float64 {
	low, high := extent(block)
	d := (float64(high) - float64(low)) / top
	return func(float64) float64 { return d/2 + top*halfError(d) + halfError(float64(low)) }
}

// nearest is how far the nearest value of a codebook is.
func nearest(block []float32, c *codebook) func(x float64) float64 {
	absmax := float64(magnitude(largest(block)))
	return func(x float64) float64 {
		least := math.Inf(1)
		for _, code := range c.code {
			least = min(least, math.Abs(x-float64(code)*absmax))
		}
		return least
	}
}

// TestAnyErrorIsHalfAStep: packed and unpacked again, no value is off by more than half a step of its block.
func TestAnyErrorIsHalfAStep(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := anyValues.Draw(t, "values")
		for name, bound := range steps {
			f := formats[name]
			got := throughPack(f, values)
			for i, block := range slices.Collect(slices.Chunk(values, f.Block)) {
				most, rounding := bound(block), 4e-7*float64(magnitude(largest(block))) // of float32, some units in the last place
				for j, x := range block {
					if e := math.Abs(float64(got[i*f.Block+j]) - float64(x)); !(e <= most(float64(x))+rounding) {
						t.Fatalf("%s, block %d: %v becomes %v, off by %v, want at most %v", name, i, x, got[i*f.Block+j], e, most(float64(x))+rounding)
					}
				}
			}
		}
	})
}

// TestAnyErrorOfKQuants: the weighted mean error of a block of a k-quant, which is what is minimised, is at most
// that of the plain code, whose levels divide each sub-block's range evenly and whose scales are rounded.
func TestAnyErrorOfKQuants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := anyValues.Draw(t, "values")
		for name, top := range map[string]float64{"q4_k": 15, "q5_k": 31, "q6_k": 32} {
			f := formats[name]
			got := throughPack(f, values)
			for i, block := range slices.Collect(slices.Chunk(values, f.Block)) {
				if e, most := weighted(got[i*f.Block:], block, name == "q6_k"), plain(block, top, name == "q6_k"); !(e <= most) {
					t.Fatalf("%s, block %d: a mean error of %v, want at most %v", name, i, e, most)
				}
			}
		}
	})
}

func subBlocks(block []float32, symmetric bool) (subs []sample) {
	size := 32
	if symmetric {
		size = 16
	}
	for sub := range slices.Chunk(block, size) {
		subs = append(subs, newSample(sub))
	}
	return subs
}

// weighted is the root of the mean squared error with the weights of sample.
func weighted(got, block []float32, symmetric bool) float64 {
	var sum, weights float64
	for _, x := range subBlocks(block, symmetric) {
		for i, v := range x.values {
			miss := float64(got[i]) - float64(v)
			sum += x.weights[i] * miss * miss
			weights += x.weights[i]
		}
		got = got[len(x.values):]
	}
	return math.Sqrt(ratio(sum, weights))
}

// plain bounds the error of the plain code: half a step, and half a unit of the scale and of the minimum in which
// they are stored.
func plain(block []float32, top float64, symmetric bool) float64 {
	var step, minimum float64
	for _, x := range subBlocks(block, symmetric) {
		if symmetric {
			step = max(step, max(-x.low, x.high)/top)
			continue
		}
		step, minimum = max(step, (x.high-x.low)/top), max(minimum, -x.low)
	}
	if symmetric { // and the level that is missing above
		return step + top*(step/256+128*halfError(step/128))
	}
	return step/2 + top*(step/126+63*halfError(step/63)) + minimum/126 + 63*halfError(minimum/63)
}

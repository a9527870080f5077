package quant

import "math"

// The encoders of the k-quants search for the scales that minimise the squared error of a sub-block, weighted by
// magnitude: large weights matter more to a product. Scales that suit each sub-block best are found first; rounded
// to multiples of the block's scale they are compared with their neighbours.

func packQ4_K(b []byte, v []float32) {
	clear(b)
	packAffine(b, v, 15, func(sub, i int, level byte) { b[16+sub/2*32+i] |= level << (sub % 2 * 4) })
}

func packQ5_K(b []byte, v []float32) {
	clear(b)
	packAffine(b, v, 31, func(sub, i int, level byte) {
		b[48+sub/2*32+i] |= level & 15 << (sub % 2 * 4)
		b[16+i] |= level >> 4 << sub
	})
}

func packQ6_K(b []byte, v []float32) {
	clear(b)
	var scales [16]float64
	most := 0.0 // the scale of largest magnitude, with its sign
	for sub := range scales {
		x := newSample(v[16*sub:][:16])
		scales[sub] = x.symmetric()
		if math.Abs(scales[sub]) > math.Abs(most) {
			most = scales[sub]
		}
	}
	d := float64(putF16(b[208:], float32(most/-128)))
	for sub, scale := range scales {
		x := newSample(v[16*sub:][:16])
		best := cheapest(math.Round(ratio(scale, d)), -128, 127, func(sc float64) float64 { return x.error(d*sc, 0, -32, 31) })
		b[192+sub] = byte(int8(best))
		n, k := sub/8, sub%8/2 // half, quarter of it
		for i, value := range x.values {
			l := sub%2*16 + i
			level := byte(quantize(value, ratio(1, d*best), 0, -32, 31) + 32)
			b[64*n+k%2*32+l] |= level & 15 << (k / 2 * 4)
			b[128+32*n+l] |= level >> 4 << (2 * k)
		}
	}
}

// packAffine stores the scales of Q4_K and Q5_K and hands over the levels, from 0 to top.
func packAffine(b []byte, v []float32, top float64, put func(sub, i int, level byte)) {
	var scales, minima [8]float64
	for sub := range scales {
		x := newSample(v[32*sub:][:32])
		scales[sub], minima[sub] = x.affine(top)
	}
	d := float64(putF16(b, float32(most(scales[:])/63)))
	dmin := float64(putF16(b[2:], float32(most(minima[:])/63)))
	for sub := range scales {
		x := newSample(v[32*sub:][:32])
		sc, mn := math.Round(ratio(scales[sub], d)), math.Round(ratio(minima[sub], dmin))
		sc = cheapest(sc, 0, 63, func(sc float64) float64 { return x.error(d*sc, dmin*mn, 0, top) })
		mn = cheapest(mn, 0, 63, func(mn float64) float64 { return x.error(d*sc, dmin*mn, 0, top) })
		putScaleMin(b[4:], sub, byte(sc), byte(mn))
		for i, value := range x.values {
			put(sub, i, byte(quantize(value, ratio(1, d*sc), dmin*mn, 0, top)))
		}
	}
}

// putScaleMin is the inverse of scaleMin on cleared bytes.
func putScaleMin(s []byte, j int, scale, minimum byte) {
	if j < 4 {
		s[j] |= scale
		s[j+4] |= minimum
		return
	}
	s[j+4] |= scale&15 | minimum&15<<4
	s[j-4] |= scale >> 4 << 6
	s[j] |= minimum >> 4 << 6
}

// sample is a sub-block and the weights of its errors.
type sample struct {
	values    []float32
	weights   [32]float64
	low, high float64 // of the values and 0
}

func newSample(v []float32) (x sample) {
	x.values = v
	var squares float64
	for _, value := range v {
		squares += float64(value) * float64(value)
		x.low, x.high = min(x.low, float64(value)), max(x.high, float64(value))
	}
	typical := math.Sqrt(squares / float64(len(v)))
	for i, value := range v {
		x.weights[i] = typical + math.Abs(float64(value))
	}
	return x
}

// stretches are how much more or fewer levels than there are the range of the values is divided into: cutting the
// ends off may pay.
var stretches = [...]float64{-0.9, -0.6, -0.3, 0, 0.3, 0.6, 0.9, 1.3, 1.8, 2.5}

// affine returns the scale and the minimum, neither negative, of the best code scale·level − minimum found.
func (x *sample) affine(top float64) (scale, minimum float64) {
	least := math.Inf(1)
	for _, stretch := range stretches {
		s, m := x.refit((top+stretch)/(x.high-x.low), top)
		if e := x.error(s, m, 0, top); e < least {
			least, scale, minimum = e, s, m
		}
	}
	return scale, minimum
}

// refit gives each value its level under a scale, counted from the lowest value, and returns the scale and minimum
// that fit these levels best.
func (x *sample) refit(inverse, top float64) (scale, minimum float64) {
	var one, l, ll, v, vl float64 // weighted sums
	for i, value := range x.values {
		w, level := x.weights[i], quantize(value, inverse, -x.low, 0, top)
		one += w
		l += w * level
		ll += w * level * level
		v += w * float64(value)
		vl += w * float64(value) * level
	}
	if determinant := one*ll - l*l; determinant > 0 {
		if minimum = (l*vl - ll*v) / determinant; minimum > 0 {
			return max((one*vl-l*v)/determinant, 0), minimum
		}
	} else if l == 0 { // the values are all the same, and not positive
		return 0, max(ratio(-v, one), 0)
	}
	return max(ratio(vl, ll), 0), 0
}

// symmetric returns the scale, of either sign, of the best code scale·level with levels from -32 to 31.
func (x *sample) symmetric() (scale float64) {
	most := x.high
	if -x.low > most {
		most = x.low
	}
	best := 0.0 // what the code explains of the squares
	for _, stretch := range stretches {
		inverse := ratio(-32-stretch, most)
		var ll, vl float64
		for i, value := range x.values {
			level := quantize(value, inverse, 0, -32, 31)
			ll += x.weights[i] * level * level
			vl += x.weights[i] * float64(value) * level
		}
		if explained := ratio(vl*vl, ll); explained > best {
			best, scale = explained, vl/ll
		}
	}
	return scale
}

// error is the weighted squared error of the code scale·level − minimum.
func (x *sample) error(scale, minimum, bottom, top float64) (sum float64) {
	inverse := ratio(1, scale)
	for i, value := range x.values {
		miss := scale*quantize(value, inverse, minimum, bottom, top) - minimum - float64(value)
		sum += x.weights[i] * miss * miss
	}
	return sum
}

// quantize returns the level nearest to (value + minimum)·inverse.
func quantize(value float32, inverse, minimum, bottom, top float64) float64 {
	return min(max(math.RoundToEven((float64(value)+minimum)*inverse), bottom), top)
}

// cheapest returns that of n and the two whole numbers next to it, within bounds, which costs least.
func cheapest(n, bottom, top float64, cost func(float64) float64) float64 {
	best, least := n, math.Inf(1)
	for at := max(n-1, bottom); at <= min(n+1, top); at++ {
		if c := cost(at); c < least {
			best, least = at, c
		}
	}
	return min(max(best, bottom), top)
}

// most returns the largest of values that aren't negative.
func most(values []float64) (m float64) {
	for _, v := range values {
		m = max(m, v)
	}
	return m
}

// ratio is a/b, or 0 where that is no number.
func ratio(a, b float64) float64 {
	q := a / b
	if math.IsNaN(q) || math.IsInf(q, 0) {
		return 0
	}
	return q
}

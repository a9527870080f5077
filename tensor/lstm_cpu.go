package tensor

import "math"

// steps calls f with the rows of a sequence in their order, or back, and with the
// row before: −1 for the first.
func steps(rows int, reverse bool, f func(t, before int)) {
	before := -1
	for i := range rows {
		t := i
		if reverse {
			t = rows - 1 - i
		}
		f(t, before)
		before = t
	}
}

func (k *task[T]) lstm(o LSTM) {
	hidden, cell, gates, x, w := k.floats(o.H), k.floats(o.C), k.floats(o.Gates), k.floats(o.X), k.floats(o.W)
	rows, h := lead(o.H)
	sigmoid := func(v T) T { return 1 / (1 + exp(-v)) }
	tanh := func(v T) T { return T(math.Tanh(float64(v))) }
	steps(rows, o.Reverse, func(t, before int) {
		k.parallel(h, grainFor(8*h), func(lo, hi int) {
			for j := lo; j < hi; j++ {
				var a [4]T
				for gate := range a {
					row := gate*h + j
					a[gate] = x[t*4*h+row]
					if before >= 0 {
						a[gate] += k.dot(w[row*h:(row+1)*h], hidden[before*h:(before+1)*h])
					}
				}
				a = [4]T{sigmoid(a[0]), sigmoid(a[1]), tanh(a[2]), sigmoid(a[3])}
				c := a[0] * a[2]
				if before >= 0 {
					c += a[1] * cell[before*h+j]
				}
				cell[t*h+j], hidden[t*h+j] = c, a[3]*tanh(c)
				for gate, v := range a {
					gates[t*4*h+gate*h+j] = v
				}
			}
		})
	})
}

func (k *task[T]) lstmBackward(o LSTMBackward) {
	dx, dcell, dhidden := k.floats(o.DX), k.floats(o.DC), k.floats(o.DH)
	cell, gates, w := k.floats(o.C), k.floats(o.Gates), k.floats(o.W)
	rows, h := lead(o.DH)
	back := func(t, before, after int) {
		dh := make([]T, h)
		copy(dh, dhidden[t*h:(t+1)*h])
		for row := 0; after >= 0 && row < 4*h; row++ {
			k.axpy(dx[after*4*h+row], w[row*h:(row+1)*h], dh)
		}
		for j := range h {
			at := t*4*h + j
			i, f, g, out := gates[at], gates[at+h], gates[at+2*h], gates[at+3*h]
			tanh := T(math.Tanh(float64(cell[t*h+j])))
			dc := dh[j] * out * (1 - tanh*tanh)
			if after >= 0 {
				dc += dcell[after*h+j]
			}
			var earlier T
			if before >= 0 {
				earlier = cell[before*h+j]
			}
			dcell[t*h+j] = f * dc
			dx[at], dx[at+h] = dc*g*i*(1-i), dc*earlier*f*(1-f)
			dx[at+2*h], dx[at+3*h] = dc*i*(1-g*g), dh[j]*tanh*out*(1-out)
		}
	}
	steps(rows, !o.Reverse, func(t, after int) {
		before := t - 1
		if o.Reverse {
			before = t + 1
		}
		if before == rows {
			before = -1
		}
		back(t, before, after)
	})
}

package tensor

import "math"

func (k *task[T]) adafactor(o Adafactor) {
	param, row, col, grad := k.floats(o.Param), k.floats(o.Row), k.floats(o.Col), k.floats(o.Grad)
	clip, fresh := k.floats(o.Clip)[1], T(o.Fresh())
	rows, cols := len(row)/max(1, o.Matrices), o.Param.Cols()
	average := func(old *T, sum T, n int) {
		*old = (1-fresh)**old + fresh*(clip*clip*sum/T(n)+adafactorEps)
	}
	k.parallel(len(row), grainFor(2*cols), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			g := grad[i*cols : (i+1)*cols]
			average(&row[i], k.dot(g, g), cols)
		}
	})
	k.parallel(len(col), max(16, grainFor(2*rows)), func(lo, hi int) {
		for c := lo; c < hi; c++ {
			sum, at := T(0), c/cols*rows*cols+c%cols
			for i := range rows {
				sum += grad[at+i*cols] * grad[at+i*cols]
			}
			average(&col[c], sum, rows)
		}
	})
	if k.cancelled() {
		return
	}
	means := make([]T, max(1, o.Matrices)) // of Row
	for i, r := range row {
		means[i/rows] += r / T(rows)
	}
	root := func(x T) T { return T(math.Sqrt(float64(x))) }
	update := func(i, j int) T {
		m := i / rows
		return clip * grad[i*cols+j] / (root(row[i]/means[m]) * root(col[m*cols+j]))
	}
	sums := make([]float64, len(row)) // of squares of updates
	k.parallel(len(row), grainFor(40*cols), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			for j := range cols {
				u := float64(update(i, j))
				sums[i] += u * u
			}
		}
	})
	total := 0.0
	for _, s := range sums {
		total += s
	}
	lr, decay := T(float64(o.LR)/max(1, math.Sqrt(total/float64(len(param))))), T(float64(o.LR)*float64(o.WeightDecay))
	k.parallel(len(row), grainFor(40*cols), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			for j := range cols {
				param[i*cols+j] -= decay*param[i*cols+j] + lr*update(i, j)
			}
		}
	})
}

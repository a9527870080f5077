package tensor

func (k *task[T]) rope(o RoPE) error {
	out, x, table, pos := k.floats(o.Out), k.floats(o.X), k.floats(o.Table), k.ints(o.Pos)
	positions, h := lead(o.Table)
	if err := checkRows("Pos", pos, 0, positions); err != nil {
		return err
	}
	d, half := len(x)/len(pos), h/2
	sign := T(1)
	if o.Inverse {
		sign = -1
	}
	k.parallel(len(pos), grainFor(3*d), func(lo, hi int) {
		for n := lo; n < hi; n++ {
			angles := table[int(pos[n])*h:][:h]
			for at := n * d; at < (n+1)*d; at += h {
				src, dst := x[at:at+h], out[at:at+h]
				for j := range half {
					c, s := angles[j], sign*angles[j+half]
					a, b := src[j], src[j+half]
					store(&dst[j], a*c-b*s, o.Add)
					store(&dst[j+half], b*c+a*s, o.Add)
				}
			}
		}
	})
	return nil
}

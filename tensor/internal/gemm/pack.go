package gemm

// layout is the form of packed panels: each holds, for every k, the values of width indices i, padded to slots.
type layout struct {
	width, slots int
}

// pack copies the elements [i0, i0+count) x [k0, k0+kc) of an operand to dst as panels of kc*slots values.
// The padding of panels holds arbitrary values of the operand.
func (s *scratch) pack(kern *kernels, dst []float32, x *side, l layout, i0, count, k0, kc int) {
	if x.alongK {
		s.packTransposed(kern, dst, x, l, i0, count, k0, kc)
		return
	}
	whole := 0 // panels whose padding can be copied along, from the values that follow
	if count >= l.slots {
		whole = (count-l.slots)/l.width + 1
	}
	for k := 0; k < kc; k += slots {
		n := min(slots, kc-k)
		for r := range n {
			s.group[r] = x.segment(s.unpacked[r*nBlock:][:nBlock], k0+k+r, i0, count)
		}
		if whole > 0 {
			kern.copy(dst[k*l.slots:], kc*l.slots, &s.group, n, l, whole)
		}
		for first := whole * l.width; first < count; first += l.width {
			panel := dst[first/l.width*kc*l.slots:]
			for r := range n {
				copy(panel[(k+r)*l.slots:], s.group[r][first:min(first+l.width, count)])
			}
		}
	}
}

// copyRows packs the elements of rows along k one behind the other, kc of each.
func (s *scratch) copyRows(dst []float32, x *side, i0, count, k0, kc int) {
	for i := range count {
		copy(dst[i*kc:], x.segment(s.unpacked[:], i0+i, k0, kc))
	}
}

// packTransposed packs an operand whose rows run along k, eight rows at a time. Rows beyond the last are
// replaced by the last.
func (s *scratch) packTransposed(kern *kernels, dst []float32, x *side, l layout, i0, count, k0, kc int) {
	for first := 0; first < count; first += l.width {
		panel := dst[first/l.width*kc*l.slots:]
		valid := min(l.width, count-first)
		for group := 0; group < l.slots; group += slots {
			for j := range s.group {
				if j > 0 && group+j >= valid {
					s.group[j] = s.group[j-1]
					continue
				}
				row := i0 + first + min(group+j, valid-1)
				s.group[j] = x.segment(s.unpacked[j*kBlock:][:kBlock], row, k0, kc)
			}
			kern.transpose(panel[group:], l.slots, &s.group, kc)
		}
	}
}

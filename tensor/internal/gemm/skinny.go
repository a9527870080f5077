package gemm

// maxSkinny is the size of the small dimension up to which inner products beat packing.
const maxSkinny = 16

// orientSkinny turns the product so that c has few columns and reports whether the rows of the left operand
// then run along k, as the method requires.
func (j *job) orientSkinny() bool {
	if j.c.cols > maxSkinny || !j.a.alongK && j.c.rows <= maxSkinny {
		j.transpose()
	}
	return j.a.alongK
}

// prepareSkinny brings the small operand into rows along k and divides the rows of the large one.
func (j *job) prepareSkinny() {
	const (
		wantTasks = 32
		leastWork = 1 << 17 // multiplications worth a task
	)
	perRow := j.c.cols * j.k
	j.share = max(ceilDiv(j.c.rows, wantTasks), ceilDiv(leastWork, perRow))
	j.share = ceilDiv(j.share, streamed) * streamed

	if j.b.alongK && j.b.source == nil {
		j.small, j.smallStep = j.b.f32, j.b.stride
		return
	}
	j.unpackSmall()
}

// unpackSmall makes rows of the small operand from its stored rows.
func (j *job) unpackSmall() {
	if need := j.c.cols * j.k; cap(j.buffer) < need {
		j.buffer = make([]float32, need)
	}
	j.small, j.smallStep = j.buffer, j.k
	if j.b.alongK {
		for i := range j.c.cols {
			j.b.source.Row(j.small[i*j.k:][:j.k], i, 0)
		}
		return
	}
	s := scratches.Get().(*scratch)
	for k := range j.k {
		for i, v := range j.b.segment(s.unpacked[:], k, 0, j.c.cols) {
			j.small[i*j.k+k] = v
		}
	}
	s.release()
}

func (j *job) skinnyTasks() int { return ceilDiv(j.c.rows, j.share) }

// skinny computes one task's rows of c, a few at a time.
func (j *job) skinny(task int) {
	s := scratches.Get().(*scratch)
	end := min((task+1)*j.share, j.c.rows)
	for row := task * j.share; row < end; row += streamed {
		rows := min(streamed, end-row)
		clear(s.sums[:])
		for k0 := 0; k0 < j.k; k0 += unpackedRun {
			j.addRuns(s, row, rows, k0, min(unpackedRun, j.k-k0))
		}
		j.storeSums(s, j.c.part(row, 0, rows, j.c.cols))
	}
	s.release()
}

// addRuns adds n terms from k0 on to the sums of the rows from row on with all rows of the small operand.
func (j *job) addRuns(s *scratch, row, rows, k0, n int) {
	words, dots16 := j.kernels.narrow(j.a.source)
	if n%8 != 0 {
		dots16 = nil
	}
	for i := range s.stream {
		at := row + min(i, rows-1) // rows beyond the last are computed in vain
		switch {
		case dots16 != nil:
			s.narrow[i] = words.Data[at*words.Stride+k0:][:n]
		case i < rows:
			s.stream[i] = j.a.segment(s.unpacked[i*unpackedRun:][:unpackedRun], at, k0, n)
		default:
			s.stream[i] = s.stream[i-1]
		}
	}
	for end := k0 + n; k0 < end; k0 += skinnyRun {
		n := min(skinnyRun, end-k0)
		group := ceilDiv(j.c.cols, ceilDiv(j.c.cols, maxDots)) // 4 make 2+2, not 3+1
		for i := 0; i < j.c.cols; i += group {
			small := min(group, j.c.cols-i)
			x := j.small[i*j.smallStep+k0:]
			if dots16 != nil {
				dots16(n, &s.narrow, x, j.smallStep, small, s.out[:])
			} else {
				j.kernels.dots(n, &s.stream, x, j.smallStep, small, s.out[:])
			}
			for at, v := range s.out[:small*streamed] {
				s.sums[i*streamed+at] += v
			}
		}
		s.advance(n, dots16 != nil)
	}
}

// advance moves on by n terms in the rows to multiply.
func (s *scratch) advance(n int, narrow bool) {
	for i := range s.stream {
		if narrow {
			s.narrow[i] = s.narrow[i][n:]
		} else {
			s.stream[i] = s.stream[i][n:]
		}
	}
}

// storeSums writes the rows of c from their sums.
func (j *job) storeSums(s *scratch, part target) {
	for c := range part.cols {
		for r := range part.rows {
			p := &part.data[r*part.rowStep+c*part.colStep]
			v := j.alpha * s.sums[c*streamed+r]
			if j.beta != 0 {
				v += j.beta * *p
			}
			*p = v
		}
	}
}

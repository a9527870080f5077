package gemm

import "slices"

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
	direct := j.readRows(s, row, rows, k0, n)
	run := skinnyRun
	if j.c.cols == 1 {
		run = unpackedRun
	}
	for end := k0 + n; k0 < end; k0 += run {
		n := min(run, end-k0)
		group := ceilDiv(j.c.cols, ceilDiv(j.c.cols, maxDots)) // 4 make 2+2, not 3+1
		for i := 0; i < j.c.cols; i += group {
			small := min(group, j.c.cols-i)
			j.dots(s, direct, n, j.small[i*j.smallStep+k0:], small)
			for at, v := range s.out[:small*streamed] {
				s.sums[i*streamed+at] += v
			}
		}
		s.advance(n, direct, &j.a)
	}
}

// stored is how rows of the large operand are multiplied.
type stored int

const (
	asFloats stored = iota // or unpacked to them
	asWords                // of 16 bits
	asBlocks
)

// readRows finds n terms from k0 on of the rows to multiply, and unpacks them if no kernel takes them as they are.
func (j *job) readRows(s *scratch, row, rows, k0, n int) stored {
	at := func(i int) int { return row + min(i, rows-1) } // rows beyond the last are computed in vain
	if words, dots := j.kernels.narrow(j.a.source); dots != nil && n%j.kernels.narrowUnit == 0 {
		for i := range s.narrow {
			s.narrow[i] = words.Data[at(i)*words.Stride+k0:][:n]
		}
		return asWords
	}
	if q, ok := j.a.source.(*QuantRows); ok && j.c.cols == 1 && n%q.Format.Block == 0 && slices.Contains(j.kernels.quantized, q.Format) {
		for i := range s.blocks {
			s.blocks[i] = q.Data[(at(i)*q.Cols+k0)/q.Format.Block*q.Format.Bytes:][:n/q.Format.Block*q.Format.Bytes]
		}
		return asBlocks
	}
	for i := range s.stream {
		if i < rows {
			s.stream[i] = j.a.segment(s.unpacked[i*unpackedRun:][:unpackedRun], row+i, k0, n)
		} else {
			s.stream[i] = s.stream[i-1]
		}
	}
	return asFloats
}

// dots multiplies n terms of the rows with so many rows of the small operand from x on.
func (j *job) dots(s *scratch, direct stored, n int, x []float32, small int) {
	switch direct {
	case asWords:
		words, dots := j.kernels.narrow(j.a.source)
		dots(n, &s.narrow, x, j.smallStep, small, s.out[:], streamed*words.Stride)
	case asBlocks:
		q := j.a.source.(*QuantRows)
		j.kernels.dotsQuant(q.Format, n, &s.blocks, x, s.out[:], streamed*q.Cols/q.Format.Block*q.Format.Bytes)
	default:
		j.kernels.dots(n, &s.stream, x, j.smallStep, small, s.out[:], streamed*j.a.stride)
	}
}

// advance moves on by n terms in the rows to multiply.
func (s *scratch) advance(n int, direct stored, a *side) {
	for i := range s.stream {
		switch direct {
		case asWords:
			s.narrow[i] = s.narrow[i][n:]
		case asBlocks:
			f := a.source.(*QuantRows).Format
			s.blocks[i] = s.blocks[i][n/f.Block*f.Bytes:]
		default:
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

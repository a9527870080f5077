package gemm

import (
	"runtime"

	"github.com/gpupeft/gpupeft/tensor/internal/quant"
)

// Rows of A are read where they lie if c has at most maxDirectCols columns, since they are then used too few times to
// pay for packing, or if they aren't a multiple of setBytes apart, which puts all of them into the same few lines of
// the nearest cache.
const (
	maxDirectCols = 64
	setBytes      = 4096
)

// chunk is the part of the product that is computed between two packings of A: rows [row, row+rows) of c and
// the terms [k0, end) of their sums.
type chunk struct {
	row, rows, k0, end int
	height             int  // rows of a panel of A
	direct             bool // A is read where it lies
	left               int  // rows of A per task of packing it
	packs              int  // these tasks
	tileRows, tileCols int  // the part of c that is a task
}

// multiplyPacked computes the product: one part of A after the other is packed, for all workers, and multiplied
// with panels of B, which the worker that needs them packs for itself.
func (j *job) multiplyPacked(par Parallel) {
	// A tile is as wide as it is whatever is used of it, while low tiles have kernels of their own.
	if j.c.cols < j.kernels.width && j.c.rows > j.c.cols {
		j.transpose()
	}
	j.kc = terms(j.k)
	rows := even(j.c.rows, mBlock, j.kernels.height)
	depth := max(1, leftBlock/(rows*j.kc)) * j.kc
	for row := 0; row < j.c.rows; row += rows {
		for k0 := 0; k0 < j.k; k0 += depth {
			j.chunk = chunk{row: row, rows: min(rows, j.c.rows-row), k0: k0, end: min(k0+depth, j.k)}
			j.prepare(par.workers())
			par.Run(j.packs+ceilDiv(j.rows, j.tileRows)*ceilDiv(j.c.cols, j.tileCols), j.packedTask)
		}
	}
}

// wholeBlocks is the size of the blocks that most quantized weights are stored in: parts of rows that begin and end with
// blocks are cheaper to unpack.
const wholeBlocks = 32

// terms returns how many of k terms are summed at a time, whatever the operands are: it decides how sums are rounded.
func terms(k int) int {
	if k%quant.MaxBlock == 0 {
		return quant.MaxBlock
	}
	return even(k, kBlock, wholeBlocks)
}

// prepare cuts the chunk into tasks. Columns are divided first, because each task packs its own part of B.
func (j *job) prepare(workers int) {
	const leastWork = 1 << 20 // multiplications worth a task
	kern := j.kernels
	j.height = ceilDiv(j.rows, ceilDiv(j.rows, kern.height)) // 8 rows make 4+4, not 6+2
	panels := ceilDiv(j.rows, j.height)
	j.direct = j.a.source == nil && j.a.alongK && (j.c.cols <= maxDirectCols || j.a.stride*4%setBytes != 0)
	if j.left = 4 * j.height; !j.a.alongK {
		j.left = nBlock / j.height * j.height
	}
	if !j.direct {
		j.packs = ceilDiv(j.rows, j.left)
		if need := panels * j.slots() * ceilDiv(j.end-j.k0, j.kc) * j.kc; cap(j.packedLeft) < need {
			j.packedLeft = make([]float32, need)
		}
	}
	j.unpacked.Store(int64(j.packs))

	tasks := 1
	if workers > 1 {
		tasks = max(1, min(4*workers, j.rows*j.c.cols*(j.end-j.k0)/leastWork))
	}
	unit := max(kern.width, j.b.block)
	down := ceilDiv(j.rows, mTile)
	across := min(ceilDiv(tasks, down), ceilDiv(j.c.cols, unit))
	j.tileCols = even(j.c.cols, ceilDiv(j.c.cols, across), unit)
	j.tileRows = j.height * ceilDiv(panels, max(down, min(ceilDiv(tasks, across), panels/4)))
}

// slots is the number of values that a panel of the packed A takes per k.
func (j *job) slots() int {
	if j.a.alongK {
		return j.height
	}
	return ceilDiv(j.height, slots) * slots
}

// even returns the size, a multiple of unit, of about equal parts of total that are at most about part long.
func even(total, part, unit int) int {
	return ceilDiv(ceilDiv(total, ceilDiv(total, part)), unit) * unit
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// block returns where the terms from k on begin in the packed A, and how many they are.
func (j *job) block(k int) (at []float32, kc int) {
	return j.packedLeft[ceilDiv(j.rows, j.height)*j.slots()*(k-j.k0):], min(j.kc, j.end-k)
}

// packLeft packs one task's rows of the chunk's part of A.
func (j *job) packLeft(task int) {
	s := scratches.Get().(*scratch)
	first := task * j.left
	rows := min(j.left, j.rows-first)
	for k := j.k0; k < j.end; k += j.kc {
		dst, kc := j.block(k)
		dst = dst[first/j.height*j.slots()*kc:]
		if j.a.alongK {
			s.copyRows(dst, &j.a, j.row+first, rows, k, kc)
		} else {
			s.pack(j.kernels, dst, &j.a, layout{j.height, j.slots()}, j.row+first, rows, k, kc)
		}
	}
	s.release()
}

// tilesAt returns where the kernel finds the rows of A from row on, counted from the chunk's first, and their
// terms from k on.
func (j *job) tilesAt(row, k int) tiles {
	if j.direct {
		a := &j.a
		return tiles{a: a.f32[(j.row+row)*a.stride+k:], aRow: a.stride, aStep: 1, aPanel: j.height * a.stride}
	}
	at, kc := j.block(k)
	t := tiles{a: at[row/j.height*j.slots()*kc:], aRow: kc, aStep: 1, aPanel: j.slots() * kc}
	if !j.a.alongK {
		t.aRow, t.aStep = 1, j.slots()
	}
	return t
}

// packed does one task: the first pack A, the others multiply as soon as all of it is packed. That costs less than to
// gather the goroutines in between.
func (j *job) packed(task int) {
	if task < j.packs {
		j.packLeft(task)
		j.unpacked.Add(-1)
		return
	}
	for j.unpacked.Load() > 0 {
		runtime.Gosched()
	}
	j.product(task - j.packs)
}

// product adds one task's products to c, or stores those of the first terms with beta 0.
func (j *job) product(task int) {
	s := scratches.Get().(*scratch)
	down := ceilDiv(j.rows, j.tileRows)
	row, left := task%down*j.tileRows, task/down*j.tileCols
	rows, right := min(j.tileRows, j.rows-row), min(left+j.tileCols, j.c.cols)
	if j.k0 == 0 && j.beta != 0 && j.beta != 1 {
		j.c.part(j.row+row, left, rows, right-left).scale(j.beta)
	}
	// The sums of as many panels stay in this worker's memory until they are whole, because rows of c that lie a power
	// of two apart displace each other from the caches.
	width := j.kernels.width
	group := max(1, len(s.parts)/(rows*width)) * width
	step := min(group, nBlock) // panels of B that are packed together, because their rows are read in longer pieces
	if j.b.source == nil && j.b.alongK {
		step = width // a panel is used while it is in the nearest cache
	}
	for first := left; first < right; first += group {
		last := min(first+group, right)
		for k := j.k0; k < j.end; k += j.kc {
			kc := min(j.kc, j.end-k)
			for col := first; col < last; col += step {
				cols := min(step, last-col)
				s.pack(j.kernels, s.b[:], &j.b, layout{width, width}, col, cols, k, kc)
				t := &s.tiles
				*t = j.tilesAt(row, k)
				t.kc, t.alpha = kc, j.alpha
				j.columns(s, s.parts[(col-first)*rows:], j.c.part(j.row+row, col, rows, cols), k)
			}
		}
	}
	s.release()
}

// columns computes the terms from k on of the part of c that belongs to the packed panels of B. Sums that aren't whole
// lie in parts.
func (j *job) columns(s *scratch, parts []float32, part target, k int) {
	kern, t := j.kernels, s.tiles
	for col := 0; col < part.cols; col += kern.width {
		s.tiles = t
		t := &s.tiles
		t.b, t.cols = s.b[col*t.kc:], min(kern.width, part.cols-col)
		tile, kept := part.part(0, col, part.rows, t.cols), parts[col*part.rows:]
		direct := tile.colStep == 1 && (tile.cols == kern.width || kern.masked)
		t.c, t.ldc, t.from, t.ldfrom = kept, kern.width, kept, kern.width
		switch {
		case k > j.k0:
		case j.k0 == 0 && j.beta == 0:
			t.from = nil
		case direct:
			t.from, t.ldfrom = tile.data, tile.rowStep
		default:
			tile.load(kept, kern.width)
		}
		whole := k+t.kc == j.end
		if whole && direct {
			t.c, t.ldc = tile.data, tile.rowStep
		}
		t.rows(kern.micro, tile.rows, j.height)
		if whole && !direct {
			tile.store(kept, kern.width)
		}
	}
}

package gemm

// maxDirectCols is the width of c up to which rows of A are read where they lie: they are then used too few
// times to pay for packing.
const maxDirectCols = 64

// preparePacked orients the product and cuts c into tasks.
func (j *job) preparePacked() {
	// A tile is tileWidth wide whatever is used of it, while low tiles have kernels of their own.
	if j.c.cols < tileWidth && j.c.rows > j.c.cols {
		j.transpose()
	}
	unit := max(tileWidth, min(j.b.block, wholeBlocks))
	j.tileRows, j.tileCols = cut(j.c.rows, j.c.cols, j.k, unit)
}

// wholeBlocks is a multiple of the blocks of 32 and 64 values that most quantized weights are stored in: parts of rows
// that begin and end with blocks are cheaper to unpack.
const wholeBlocks = 64

// cut returns the size of the part of an m x n result that is one task: cols is a multiple of unit. Every task
// packs its own blocks, so parts are as large as the caches allow unless that leaves few tasks.
func cut(m, n, k, unit int) (rows, cols int) {
	const (
		wantTasks = 16
		leastWork = 1 << 20 // multiplications worth a task
	)
	rows, cols = min(m, 5*mBlock), min(n, nBlock)
	for ceilDiv(m, rows)*ceilDiv(n, cols) < wantTasks && rows*cols*k >= 2*leastWork {
		switch {
		case cols >= rows && cols > 4*tileWidth:
			cols = ceilDiv(cols, 2)
		case rows > 2*tileHeight:
			rows = ceilDiv(rows, 2)
		default:
			return even(m, rows, tileHeight), even(n, cols, unit)
		}
	}
	return even(m, rows, tileHeight), even(n, cols, unit)
}

// even returns the size, a multiple of unit, of about equal parts of total that are at most about part long.
func even(total, part, unit int) int {
	return ceilDiv(ceilDiv(total, ceilDiv(total, part)), unit) * unit
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

func (j *job) packedTasks() int {
	return ceilDiv(j.c.rows, j.tileRows) * ceilDiv(j.c.cols, j.tileCols)
}

// packed computes one task's part of c.
func (j *job) packed(task int) {
	s := scratches.Get().(*scratch)
	down := ceilDiv(j.c.rows, j.tileRows)
	row, col := task%down*j.tileRows, task/down*j.tileCols
	rows, cols := min(j.tileRows, j.c.rows-row), min(j.tileCols, j.c.cols-col)
	if j.beta != 0 && j.beta != 1 {
		j.c.part(row, col, rows, cols).scale(j.beta)
	}

	kc := even(j.k, kBlock, wholeBlocks) // whatever the operands are: it decides how sums are rounded
	for k0 := 0; k0 < j.k; k0 += kc {
		kc := min(kc, j.k-k0)
		s.pack(j.kernels, s.b[:], &j.b, layout{tileWidth, tileWidth}, col, cols, k0, kc)
		for i := 0; i < rows; i += mBlock {
			part := j.c.part(row+i, col, min(mBlock, rows-i), cols)
			j.block(s, part, row+i, k0, kc)
		}
	}
	s.release()
}

// block adds (or, for the first terms with beta 0, stores) the product of a block of A and the packed block of
// B to the part of c that begins at the given row.
func (j *job) block(s *scratch, part target, row, k0, kc int) {
	height := ceilDiv(part.rows, ceilDiv(part.rows, tileHeight)) // 8 rows make 4+4, not 6+2
	a := j.leftBlock(s, part, row, k0, kc, height)
	a.kc, a.alpha = kc, j.alpha
	add := k0 > 0 || j.beta != 0
	for col := 0; col < part.cols; col += tileWidth {
		t := &s.tiles
		*t = a
		t.b = s.b[col*kc:]
		tile := part.part(0, col, part.rows, min(tileWidth, part.cols-col))
		if tile.cols == tileWidth && tile.colStep == 1 {
			t.c, t.ldc, t.add = tile.data, tile.rowStep, add
			t.rows(j.kernels.micro, part.rows, height)
			continue
		}
		t.c, t.ldc, t.add = s.edge[:], tileWidth, false
		t.rows(j.kernels.micro, part.rows, height)
		tile.store(s.edge[:], add)
	}
}

// leftBlock returns where the kernel finds the block of A: packed, or in place.
func (j *job) leftBlock(s *scratch, part target, row, k0, kc, height int) tiles {
	if a := &j.a; a.source == nil && a.alongK && part.cols <= maxDirectCols {
		return tiles{a: a.f32[row*a.stride+k0:], aRow: a.stride, aStep: 1, aPanel: height * a.stride}
	}
	s.pack(j.kernels, s.a[:], &j.a, layout{height, slots}, row, part.rows, k0, kc)
	return tiles{a: s.a[:], aRow: 1, aStep: slots, aPanel: slots * kc}
}

package gemm

import "sync"

const (
	kBlock      = 288                   // terms of the sum per packed block: a panel of B (36 KiB at most) and a row or two of A share the L1 cache
	mBlock      = 1024                  // rows of A that are packed at a time
	mTile       = 512                   // rows of A that a task goes over for each panel of B: a block takes 512 KiB of the L2 cache
	leftBlock   = 1 << 20               // values of A that are packed at a time
	nBlock      = 256                   // columns of B that are unpacked at a time: 256 KiB
	partsSize   = (mTile + 16) * nBlock // sums that one task keeps until they are whole: 528 KiB
	skinnyRun   = 512                   // terms of the sum per call of dots: the small operand (32 KiB at most) and four rows stay close
	unpackedRun = 2 * skinnyRun         // terms unpacked at a time: longer pieces of a row are read faster
	unpackedLen = max(slots*max(kBlock, nBlock), streamed*unpackedRun)
)

// scratch is the memory of one worker during one task.
type scratch struct {
	b        [nBlock * kBlock]float32
	unpacked [unpackedLen]float32 // a source's part of eight rows to pack or four to multiply
	parts    [partsSize]float32   // sums of the first terms, a panel of c after the other
	group    [slots][]float32     // rows to transpose
	stream   [streamed][]float32  // rows to multiply
	narrow   [streamed][]uint16   // the same in 16 bits
	blocks   [streamed][]byte     // the same as quantized blocks
	sums     [streamed * maxSkinny]float32
	out      [streamed * maxDots]float32
	tiles    tiles
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// release gives the memory back without references to the caller's data.
func (s *scratch) release() {
	clear(s.group[:])
	clear(s.stream[:])
	clear(s.narrow[:])
	clear(s.blocks[:])
	s.tiles = tiles{}
	scratches.Put(s)
}

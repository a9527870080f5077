package gemm

import "sync"

const (
	kBlock      = 256           // terms of the sum per packed block: a panel of B (16 KiB) and one of A (8 KiB) share the L1 cache
	mBlock      = 96            // rows of A per packed block: 128 KiB of the L2 cache
	nBlock      = 256           // columns of B per packed block: 256 KiB
	skinnyRun   = 512           // terms of the sum per call of dots: the small operand (32 KiB at most) and four rows stay close
	unpackedRun = 2 * skinnyRun // terms unpacked at a time: longer pieces of a row are read faster
	unpackedLen = max(slots*max(kBlock, nBlock), streamed*unpackedRun)
)

// scratch is the memory of one worker during one task.
type scratch struct {
	a        [(mBlock + tileHeight - 1) / tileHeight * slots * kBlock]float32
	b        [nBlock * kBlock]float32
	unpacked [unpackedLen]float32        // a source's part of eight rows to pack or four to multiply
	edge     [mBlock * tileWidth]float32 // tiles that don't go to c directly
	group    [slots][]float32            // rows to transpose
	stream   [streamed][]float32         // rows to multiply
	narrow   [streamed][]uint16          // the same in 16 bits
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
	s.tiles = tiles{}
	scratches.Put(s)
}

package gpu

import (
	"fmt"
	"math"

	"github.com/gpupeft/gpupeft/tensor"
)

// headsConsts are the constants of shaders/heads.wgsl.
type headsConsts struct {
	Elem         alias
	Cols, Height uint32
	Share        uint32
	Plain        bool
	Segmented    bool
}

// headsParams are Params of shaders/heads.wgsl.
type headsParams struct {
	Queries, Keys, First, Prefix, Window uint32
	KVHeads, Share, Segmented, Blocks    uint32
	Start, End                           uint32
	FromRow, ToRow                       uint32
	Accumulate                           uint32
	Scale, SoftCap                       float32
	Infinity                             float32
}

// A streaming is the geometry of the kernels that stream over tiles of keys or rows.
type streaming struct {
	tensor.Heads
	cols   int // Elems in a head, lanes side by side
	height int // lanes below each other, each for 4 rows or keys
	consts headsConsts
	staged bool // with shaders/staged.wgsl
	own    int  // rows or keys that one lane has to itself; 0: the lanes of a row share the work

	segmented bool
}

// attentionBytes are those in workgroup memory that attention has for a lane: its cells.
const attentionBytes = 4 * 16

// stage is STAGE of shaders/staged.wgsl.
const stage = 4

// stagedBytes are those in workgroup memory where attention is staged.
func (s streaming) stagedBytes() int {
	return s.cols*s.height*attentionBytes + 16*stage*(s.tile()+2+4*s.height+2) + 4*(s.tile()+4*s.height)
}

// maxHeadLanes bounds the Elems in a head, because a workgroup has a lane for each.
const maxHeadLanes = 256

func (r *recorder) streaming(h tensor.Heads, segment *tensor.Tensor) (streaming, error) {
	kind, width := elem(h.Dim)
	s := streaming{Heads: h, cols: h.Dim / width, segmented: segment != nil}
	if s.cols > maxHeadLanes {
		return s, fmt.Errorf("head size %d, at most %d, or %d in multiples of 4: %w",
			h.Dim, maxHeadLanes, 4*maxHeadLanes, tensor.ErrUnsupported)
	}
	if s.own = r.tune.streamRows(s); s.own > 0 {
		s.height = s.own * streamLanes / 4
		s.consts = headsConsts{
			Elem: kind, Cols: uint32(s.cols), Height: uint32(s.height), Share: uint32(h.Heads / h.KVHeads),
			Plain: h.Prefix == 0 && h.Window == 0 && h.SoftCap == 0, Segmented: s.segmented,
		}
		return s, nil
	}
	s.height = max(1, int(r.tune.rowThreads)/s.cols)
	s.consts = headsConsts{Elem: kind, Cols: uint32(s.cols), Height: uint32(s.height), Segmented: true}
	s.staged = r.tune.staged && width == 4 && s.cols%stage == 0 && s.stagedBytes() <= int(r.limits.WorkgroupMemory)
	return s, nil
}

// tile is the number of keys or rows that are in work together.
func (s streaming) tile() int { return 4 * s.cols }

// rows is the number of queries of all heads that share a key head.
func (s streaming) rows() int { return s.Queries * s.Heads.Heads / s.KVHeads }

// blocks is the number of workgroups for n rows or keys of a key head.
func (s streaming) blocks(n int) int { return ceilDiv(n, 4*s.height) }

func (s streaming) program(name, entry string) program {
	if s.own > 0 {
		return stream{name, entry, s.consts, s.cols, s.own}
	}
	products := "products+"
	if s.staged {
		products = "staged+"
	}
	return file{names: withElem(s.Dim, "heads+"+products+name), entry: entry, consts: s.consts}
}

// tileSteps are the loop iterations of a lane for a tile, in which so many products are
// formed and so many sums over the tile.
func (s streaming) tileSteps(products, sums int) int {
	if s.own > 0 {
		return s.tile()/4 + 1
	}
	return products*s.productSteps() + sums*s.tile() + 1
}

// productSteps are the loop iterations that a lane takes for the products of a tile.
func (s streaming) productSteps() int {
	if !s.staged {
		return s.cols
	}
	threads := s.cols * s.height
	return s.cols / stage * (1 + stage + ceilDiv(stage*s.tile(), threads) + ceilDiv(stage*4*s.height, threads))
}

func (s streaming) params(blocks int, start, end uint32) headsParams {
	return headsParams{
		Queries: uint32(s.Queries), Keys: uint32(s.Keys), First: uint32(s.First), Prefix: uint32(s.Prefix),
		Window: window(s.Heads), KVHeads: uint32(s.KVHeads), Share: uint32(s.Heads.Heads / s.KVHeads),
		Segmented: flag(s.segmented), Blocks: uint32(blocks), Start: start, End: end,
		Scale: s.Scale, SoftCap: s.SoftCap, Infinity: float32(math.Inf(1)),
	}
}

// window is the window for kernels, which have no sign for none.
func window(h tensor.Heads) uint32 {
	if h.Window == 0 {
		return math.MaxInt32
	}
	return uint32(min(h.Window, math.MaxInt32))
}

// keyTiles bounds the number of tiles that a block of rows passes through.
func (s streaming) keyTiles() int {
	keys := min(s.First+s.Queries, s.Keys)
	if s.Window > 0 {
		keys = min(keys, s.Window+4*s.height)
	}
	return ceilDiv(s.Prefix, s.tile()) + ceilDiv(keys, s.tile()) + 1
}

// overRows adds a kernel that goes through tiles of keys for blocks of rows, with so
// many loop iterations for each tile.
func (r *recorder) overRows(s streaming, l task, steps int) error {
	blocks := s.blocks(s.rows())
	l.steps = s.keyTiles()*steps + s.cols
	return r.inTurns(l, s.Batch*s.KVHeads*blocks, func(start, end uint32) any { return s.params(blocks, start, end) })
}

// segmentOr binds a tensor in the place of segments that there are none of. The
// kernel doesn't read it.
func segmentOr(segment, other *tensor.Tensor) operand {
	if segment == nil {
		return whole(other)
	}
	return whole(segment)
}

func (r *recorder) attention(o tensor.Attention) error {
	s, err := r.streaming(o.Heads, o.Segment)
	if err != nil {
		return err
	}
	return r.overRows(s, task{
		program:  s.program("attention", "forward"),
		operands: []operand{whole(o.Z), whole(o.Stats), whole(o.Q), whole(o.K), whole(o.V), segmentOr(o.Segment, o.Q)},
		cost:     o.Flops(),
	}, s.tileSteps(1, 1)+s.cols)
}

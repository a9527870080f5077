package gpu

import (
	"fmt"
	"slices"

	"github.com/gpupeft/gpupeft/tensor"
)

// Tiles names a family of matrix kernels.
type Tiles string

// The families of matrix kernels. All give the same results up to rounding.
const (
	// TilesAuto takes TilesRegister for software adapters, else TilesShared.
	TilesAuto Tiles = ""
	// TilesRegister has each invocation load what it needs from memory into a
	// large block of registers, in attention and for rows, too: best where there is no
	// real workgroup memory.
	TilesRegister Tiles = "register"
	// TilesShared has a workgroup load blocks into workgroup memory.
	TilesShared Tiles = "shared"
	// TilesPlain is TilesShared with one size of blocks, and without what makes that,
	// attention and decoding fast: to check the other kernels by, or to blame them.
	TilesPlain Tiles = "plain"
)

// tuning holds what depends on the kind of adapter and its limits, and on nothing else.
type tuning struct {
	tiles Tiles
	// rowThreads is the size of a workgroup that works on one row: a software
	// adapter runs the lanes of a workgroup on one core, 8 at a time, and pays for
	// every barrier.
	rowThreads uint32
	// longRowThreads is the same for the longest rows.
	longRowThreads uint32
	// dispatchFlops bounds the work of one dispatch to a fraction of a second on
	// the slowest adapters of the kind.
	dispatchFlops float64
	// cache bounds the bytes of w that one dispatch reads to multiply with its rows: its
	// columns are far apart, so that all workgroups should find them in a core's cache,
	// and their pages in what it remembers of the page table. 0: no bound.
	cache int64
	// fill is the number of invocations of a matrix kernel below which the inner
	// dimension is split, so that all cores have work.
	fill int
	// maxRows is the number of rows up to which a product with a weight is done by
	// the kernel that shares dot products among the lanes of a workgroup.
	maxRows int
	// shared are the geometries of that kind. The first whose conditions hold is taken.
	shared []choice
	// single is of kind rows; rows are as many as there are. packed is the same for
	// quantized weights, and blocked for a row or two and those types that are inBlocks.
	single, packed, blocked geometry
	// staged has attention bring queries and keys into workgroup memory.
	staged bool
}

// A choice is a geometry and what it is for.
type choice struct {
	m, n, k int // the most rows and columns of c, and the longest inner dimension; 0: any
	blocks  int // how many blocks of this geometry c must have, to keep a large GPU busy
	geometry
}

// plainShared are two sizes of tiles that every GPU can run, and two for narrow products.
var plainShared = []choice{
	{n: 16, geometry: geometry{rows: 4, cols: 4, lanesM: 16, lanesN: 4, sharing: plain}},
	{m: 16, geometry: geometry{rows: 4, cols: 4, lanesM: 4, lanesN: 16, sharing: plain}},
	{geometry: geometry{rows: 8, cols: 8, lanesM: 8, lanesN: 8, sharing: plain}},
	smallest,
}

// smallest runs within a quarter of what every WebGPU device grants.
var smallest = choice{geometry: geometry{rows: 4, cols: 4, lanesM: 8, lanesN: 8, sharing: plain}}

// fastShared was measured on an H100 (docs/BENCHMARKS.md): LoRA's products, which are
// bound by memory; those with a short inner dimension, likewise; large products; others.
var fastShared = []choice{
	{n: 8, geometry: geometry{rows: 4, cols: 4, lanesM: 16, lanesN: 2, sharing: deep}},
	{n: 16, geometry: geometry{rows: 4, cols: 4, lanesM: 16, lanesN: 4, sharing: deep}},
	{m: 8, geometry: geometry{rows: 4, cols: 4, lanesM: 2, lanesN: 16, sharing: deep}},
	{m: 16, geometry: geometry{rows: 4, cols: 4, lanesM: 4, lanesN: 16, sharing: deep}},
	{k: 32, geometry: geometry{rows: 4, cols: 4, lanesM: 16, lanesN: 16, sharing: sharing{depth: 8, unroll: 8, fused: true}}},
	{blocks: 192, geometry: geometry{rows: 16, cols: 8, lanesM: 8, lanesN: 16, sharing: ahead(4)}},
	{geometry: geometry{rows: 8, cols: 8, lanesM: 8, lanesN: 8, sharing: ahead(16)}},
	smallest,
}

// deep has many loads under way for little arithmetic.
var deep = sharing{depth: 32, unroll: 8, ahead: true, fused: true}

// ahead overlaps loads with arithmetic.
func ahead(unroll int) sharing {
	return sharing{depth: 16, unroll: unroll, ahead: true, swizzle: true, square: true, fused: true}
}

func tuningFor(t AdapterType, limits Limits, tiles Tiles) (tuning, error) {
	u := tuning{
		tiles: TilesShared, rowThreads: 128, longRowThreads: 512, dispatchFlops: 5e10, fill: 8192, maxRows: 8, shared: fastShared, staged: true,
		single:  geometry{rows: 1, cols: 4, lanesM: 1, lanesN: 256},
		packed:  geometry{rows: 1, cols: 4, lanesM: 1, lanesN: 256, unit: 2},
		blocked: geometry{rows: 1, cols: 4, lanesM: 1, lanesN: 64, unit: 8},
	}
	switch t {
	case SoftwareGPU:
		u.tiles, u.dispatchFlops, u.cache, u.fill, u.maxRows = TilesRegister, 2e9, 2<<20, 128, 4
		u.rowThreads, u.longRowThreads = 32, 32
		u.single = geometry{rows: 1, cols: 8, lanesM: 1, lanesN: 8}
		u.packed, u.blocked, u.staged = u.single, u.single, false
	case DiscreteGPU:
		u.dispatchFlops, u.fill = 5e11, 32768
	default: // whether they have registers for the largest tiles is not known
		u.shared = slices.DeleteFunc(slices.Clone(fastShared), func(c choice) bool { return c.blocks > 0 })
	}
	switch tiles {
	case TilesAuto:
	case TilesRegister, TilesShared:
		u.tiles = tiles
	case TilesPlain:
		u.tiles, u.shared, u.staged = TilesShared, plainShared, false
		u.single = geometry{rows: 1, cols: 4, lanesM: 1, lanesN: 64}
		u.packed, u.blocked = u.single, u.single
	default:
		return u, fmt.Errorf("tiles %q, want %q, %q or %q: %w", tiles, TilesRegister, TilesShared, TilesPlain, ErrArgument)
	}
	u.lower(limits)
	return u, nil
}

// lower keeps within the limits of a device.
func (u *tuning) lower(l Limits) {
	most := min(l.WorkgroupInvocations, l.WorkgroupSizeX)
	// Attention has a vec4 for each of four keys in workgroup memory for each lane.
	for u.rowThreads > min(most, l.WorkgroupMemory/attentionBytes) {
		u.rowThreads /= 2
	}
	for u.longRowThreads > min(most, l.WorkgroupMemory/4) {
		u.longRowThreads /= 2
	}
	for _, g := range []*geometry{&u.single, &u.packed, &u.blocked} {
		for g.lanesN > int(min(most, l.WorkgroupMemory/16)) {
			g.lanesN /= 2
		}
	}
	var fit []choice
	for _, c := range u.shared {
		if c.fits(l) {
			fit = append(fit, c)
		}
	}
	u.shared = fit
}

// fits says whether a shared geometry runs on a device.
func (g geometry) fits(l Limits) bool {
	t := tile{kind: sharedTile, geometry: g}
	return t.memory() <= int(l.WorkgroupMemory) && t.threads() <= int(min(l.WorkgroupInvocations, l.WorkgroupSizeX))
}

// sharedFor chooses the geometry for c [m, n], summed over k.
func (u *tuning) sharedFor(m, n, k int) geometry {
	for _, c := range u.shared {
		blocks := ceilDiv(m, c.rows*c.lanesM) * ceilDiv(n, c.cols*c.lanesN)
		if within(m, c.m) && within(n, c.n) && within(k, c.k) && blocks >= c.blocks {
			return c.geometry
		}
	}
	return smallest.geometry
}

func within(n, most int) bool { return most == 0 || n <= most }

// rowsFor chooses the geometry of kind rows for a number of rows: the more sums there
// are, the fewer lanes share one.
func (u *tuning) rowsFor(rows int, w tensor.DType) geometry {
	g := u.single
	switch {
	case inBlocks[w] && rows <= 2:
		g = u.blocked
	case w.Quantized():
		g = u.packed
	}
	for g.rows < rows {
		g.rows *= 2
		if g.lanesN > 32 {
			g.lanesN /= 2
		}
	}
	return g
}

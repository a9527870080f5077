package gpu

import "fmt"

// Tiles names a family of matrix kernels.
type Tiles string

// The families of matrix kernels. Both give the same results up to rounding.
const (
	// TilesAuto takes TilesRegister for software adapters, else TilesShared.
	TilesAuto Tiles = ""
	// TilesRegister has each invocation load what it needs from memory into a
	// large block of registers: best where there is no real workgroup memory.
	TilesRegister Tiles = "register"
	// TilesShared has a workgroup load blocks into workgroup memory.
	TilesShared Tiles = "shared"
)

// tuning holds what depends on the kind of adapter and on nothing else.
type tuning struct {
	tiles Tiles
	// rowThreads is the size of a workgroup that works on one row: a software
	// adapter runs the lanes of a workgroup on one core, 8 at a time, and pays for
	// every barrier.
	rowThreads uint32
	// dispatchFlops bounds the work of one dispatch to a fraction of a second on
	// the slowest adapters of the kind.
	dispatchFlops float64
	// fill is the number of invocations of a matrix kernel below which the inner
	// dimension is split, so that all cores have work.
	fill int
	// maxRows is the number of rows up to which a product with a weight is done by
	// the kernel that shares dot products among the lanes of a workgroup.
	maxRows int
}

func tuningFor(t AdapterType, tiles Tiles) (tuning, error) {
	u := tuning{tiles: TilesShared, rowThreads: 128, dispatchFlops: 5e10, fill: 8192, maxRows: 8}
	if t == SoftwareGPU {
		u = tuning{tiles: TilesRegister, rowThreads: 32, dispatchFlops: 2e9, fill: 128, maxRows: 4}
	}
	switch tiles {
	case TilesAuto:
	case TilesRegister, TilesShared:
		u.tiles = tiles
	default:
		return u, fmt.Errorf("tiles %q, want %q or %q: %w", tiles, TilesRegister, TilesShared, ErrArgument)
	}
	return u, nil
}

package gpu

import (
	"log/slog"
	"time"
)

// Config says which adapter to open and how. Its zero value opens the best
// adapter with all of its limits.
type Config struct {
	// Adapter chooses among Adapters: "" takes the best one, a number below their
	// count takes the adapter at that index, other text takes the best one whose name
	// contains it (upper and lower case are the same).
	Adapter string
	// Limits lowers the limits of the device below those of the adapter, to see
	// how code behaves on weaker GPUs. Nil, and fields that are zero, keep the
	// adapter's limits. Values above the adapter's give ErrLimit.
	Limits *Limits
	// MemoryLimit bounds the bytes in all buffers together; NewBuffer returns
	// ErrMemory above it. Zero means no bound but the GPU's own.
	MemoryLimit int64
	// SubmitBudget is the estimated GPU time that one submission may hold.
	// Zero means 500 ms.
	SubmitBudget time.Duration
	// HangTimeout is how long one submission may take before the device is given
	// up and every call returns ErrLost. Zero means two minutes, which leaves
	// room for drivers that compile a kernel at its first dispatch.
	HangTimeout time.Duration
	// Timing turns the measurement of every dispatch on from the start, see
	// [Device.SetTiming].
	Timing bool
	// Tiles chooses the kernels of the Backend that [Open] returns: TilesPlain turns all
	// off that are there for speed alone.
	Tiles Tiles
	// OnCPU names operations, see tensor.Op, that the Backend computes on the CPU: those whose kernels a
	// driver gets wrong, as gpu/selftest finds them. Their operands go there and back each time.
	OnCPU []string
	// Logger receives warnings, for instance of submissions that took much longer
	// than the budget. Nil is silent.
	Logger *slog.Logger
}

// Limits are the bounds of a device that compute kernels meet, in the words of
// https://www.w3.org/TR/webgpu/#limits.
type Limits struct {
	BufferSize           int64  // bytes of one buffer
	BindingSize          int64  // bytes of one storage binding
	StorageBuffers       uint32 // storage bindings of one kernel
	WorkgroupMemory      uint32 // bytes of var<workgroup> of one kernel
	WorkgroupInvocations uint32 // invocations of one workgroup
	WorkgroupSizeX       uint32 // invocations of one workgroup along x
	WorkgroupSizeY       uint32 // invocations of one workgroup along y
	WorkgroupSizeZ       uint32 // invocations of one workgroup along z
	WorkgroupsPerDim     uint32 // workgroups of one dispatch along each of x, y and z
}

// DefaultLimits are the limits that every WebGPU implementation grants. Kernels
// that stay within them run everywhere.
func DefaultLimits() Limits {
	return Limits{
		BufferSize:           256 << 20,
		BindingSize:          128 << 20,
		StorageBuffers:       8,
		WorkgroupMemory:      16 << 10,
		WorkgroupInvocations: 256,
		WorkgroupSizeX:       256,
		WorkgroupSizeY:       256,
		WorkgroupSizeZ:       64,
		WorkgroupsPerDim:     65535,
	}
}

// AdapterType tells what kind of hardware stands behind an adapter.
type AdapterType string

// The types of adapters.
const (
	DiscreteGPU   AdapterType = "discrete"
	IntegratedGPU AdapterType = "integrated"
	SoftwareGPU   AdapterType = "cpu" // WebGPU emulated on the CPU, for instance by lavapipe
	UnknownGPU    AdapterType = "unknown"
)

// AdapterInfo describes one adapter: a GPU as one native API shows it.
type AdapterInfo struct {
	Name    string      // for people, for instance "llvmpipe (LLVM 15.0.6, 256 bits)"
	Vendor  string      // "NVIDIA", "AMD", ...; the PCI id in hex where it is not known
	Type    AdapterType //
	Backend string      // "vulkan", "metal", "d3d12"
	Driver  string      // name and version of the driver, as far as it tells them
}

// Memory counts what the buffers of a device hold. A closed buffer counts until
// the GPU is done with it.
type Memory struct {
	Bytes   int64 // in buffers
	Buffers int   // number of buffers
	Peak    int64 // the largest Bytes so far
}

// Timing is the GPU time of all dispatches of the kernels with one label.
type Timing struct {
	Label string
	Calls int64
	Total time.Duration
}

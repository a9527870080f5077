package tensor

import (
	"context"
	"time"
)

// Backend owns memory and runs operations: the CPU ([NewCPU]), or a GPU (package
// gpu). It is safe for concurrent use.
type Backend interface {
	// Info says what does the work.
	Info() Info
	// Limits are the bounds that a user of the backend must plan with.
	Limits() Limits
	// Memory reports what the backend's tensors take.
	Memory() Memory
	// New makes a tensor of zeros. Errors wrap ErrShape, ErrMemory or ErrClosed.
	New(name string, dt DType, shape ...int) (*Tensor, error)
	// Write stores t's values, given as little-endian bytes of t's own type.
	Write(ctx context.Context, t *Tensor, data []byte) error
	// Read waits for all earlier work on t and copies its values, as
	// little-endian bytes of t's own type.
	Read(ctx context.Context, t *Tensor, data []byte) error
	// Run runs checked operations in order. It may return before they are done;
	// a later Read or Sync waits and reports what went wrong. Use a [Pass].
	Run(ctx context.Context, ops []Op) error
	// Sync waits until all work given to Run is done.
	Sync(ctx context.Context) error
	// Timings returns the time spent by kernel since profiling was switched on,
	// the slowest first.
	Timings() []Timing
	// Profile switches the collection of timings on or off, forgetting old ones.
	Profile(on bool)
	// Close waits for running work and frees everything. A second call does
	// nothing.
	Close() error
}

// Info describes a backend.
type Info struct {
	Kind    string `json:"kind"`              // "cpu" or "gpu"
	Name    string `json:"name"`              // the processor or adapter
	Driver  string `json:"driver,omitempty"`  // the driver and its version
	API     string `json:"api,omitempty"`     // "vulkan", "metal", "dx12"
	Type    string `json:"type"`              // "cpu", "discrete", "integrated", "virtual"
	Threads int    `json:"threads,omitempty"` // workers of the CPU backend
}

// Limits bound what one tensor or operation may need.
type Limits struct {
	MaxTensorBytes  int64 // the largest tensor; matrices of types that only weights have may be larger
	MaxBindingBytes int64 // the most that one kernel sees of a tensor at a time; 0: no bound
	Align           int   // views must start at a multiple of so many bytes
}

// Memory is a backend's use of memory, in bytes.
type Memory struct {
	InUse   int64 `json:"in_use"`
	Peak    int64 `json:"peak"`
	Tensors int   `json:"tensors"`
}

// Timing is the time spent in one kernel.
type Timing struct {
	Kernel string
	Calls  int
	Total  time.Duration
	Flops  float64 // by the operations' own estimates
}

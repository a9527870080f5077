package gpu

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/gpupeft/gpupeft/tensor"
)

// A Plan is a backend without a GPU. It cuts operations into dispatches and
// submissions as for a GPU of some kind and limits, checks all that a device checks,
// and counts. What is read from it are ones.
type Plan struct {
	*Backend
	driver *planDriver

	mu   sync.Mutex
	work Work
}

// Work is what a Plan was given to do.
type Work struct {
	Operations  int     `json:"operations"`
	Dispatches  int     `json:"dispatches"`
	Submissions int     `json:"submissions"` // where the GPU is done with each in less than Config.SubmitBudget
	Flops       float64 `json:"flops"`       // floating-point operations
	Moved       int64   `json:"moved"`       // bytes of the operands of operations, each counted once an operation
	Uploaded    int64   `json:"uploaded"`    // bytes from the host
	ReadBack    int64   `json:"read_back"`   // bytes to the host
}

// OpenPlan makes a Plan. Config.Adapter is not looked at.
func OpenPlan(info AdapterInfo, limits Limits, c Config) (*Plan, error) {
	limits, err := lowered(limits, c.Limits)
	if err != nil {
		return nil, err
	}
	drv := &planDriver{}
	dev, err := newDevice(drv, info, limits, c)
	if err != nil {
		return nil, err
	}
	b, err := newBackend(dev, c)
	if err != nil {
		return nil, err
	}
	return &Plan{Backend: b, driver: drv}, nil
}

// Work returns the work so far.
func (p *Plan) Work() Work {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.work
	p.dev.mu.Lock()
	defer p.dev.mu.Unlock()
	w.Dispatches, w.Submissions = p.driver.launches, p.driver.submissions
	return w
}

// Sub is the work since an earlier time.
func (w Work) Sub(earlier Work) Work {
	return Work{
		w.Operations - earlier.Operations, w.Dispatches - earlier.Dispatches, w.Submissions - earlier.Submissions,
		w.Flops - earlier.Flops, w.Moved - earlier.Moved, w.Uploaded - earlier.Uploaded, w.ReadBack - earlier.ReadBack,
	}
}

// Run implements tensor.Backend.
func (p *Plan) Run(ctx context.Context, ops []tensor.Op) error {
	p.mu.Lock()
	p.work.Operations += len(ops)
	for _, o := range ops {
		p.work.Flops += o.Flops()
		for _, x := range o.Operands() {
			p.work.Moved += x.Tensor.Bytes()
		}
	}
	p.mu.Unlock()
	return p.Backend.Run(ctx, ops)
}

// Write implements tensor.Backend.
func (p *Plan) Write(ctx context.Context, t *tensor.Tensor, data []byte) error {
	if _, _, err := p.place(t, data); err != nil {
		return fmt.Errorf("write %v: %w", t, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.work.Uploaded += int64(len(data))
	return ctx.Err()
}

// Read implements tensor.Backend.
func (p *Plan) Read(ctx context.Context, t *tensor.Tensor, data []byte) error {
	if _, _, err := p.place(t, data); err != nil {
		return fmt.Errorf("read %v: %w", t, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.work.ReadBack += int64(len(data))
	one := tensor.Pack(nil, tensor.F32, []float32{1})
	copy(data, slices.Repeat(one, len(data)/4+1))
	return ctx.Err()
}

// planDriver has no memory and is done at once.
type planDriver struct {
	launches, submissions int
	next                  uintptr
}

func (p *planDriver) id() uintptr { p.next++; return p.next }

func (p *planDriver) newBuffer(int64, bufferUse) (ref, error) { return ref(p.id()), nil }
func (p *planDriver) newKernel(string, string, []layoutEntry) (kernelRefs, error) {
	return kernelRefs{pipeline: ref(p.id())}, nil
}
func (p *planDriver) newGroup(ref, []groupEntry) (ref, error) { return ref(p.id()), nil }
func (p *planDriver) freeBuffer(ref)                          {}
func (p *planDriver) freeKernel(kernelRefs)                   {}
func (p *planDriver) freeGroup(ref)                           {}
func (p *planDriver) write(ref, int64, []byte) error          { return nil }
func (p *planDriver) submit(l []launch, _ []bufferCopy) (fence, error) {
	p.launches += len(l)
	p.submissions++
	return fence(p.id()), nil
}
func (p *planDriver) mapRead(ref, int64) (fence, error) { return fence(p.id()), nil }
func (p *planDriver) mapped(ref, int64, []byte) error   { return nil }
func (p *planDriver) unmap(ref) error                   { return nil }
func (p *planDriver) poll()                             {}
func (p *planDriver) done(fence) (bool, error)          { return true, nil }
func (p *planDriver) lost() error                       { return nil }
func (p *planDriver) close()                            {}
func (p *planDriver) live() liveObjects                 { return liveObjects{} }

// LargeLimits are those of a large discrete GPU.
func LargeLimits() Limits {
	return Limits{
		BufferSize: math.MaxInt32, BindingSize: math.MaxInt32, StorageBuffers: 32, WorkgroupMemory: 48 << 10,
		WorkgroupInvocations: 1024, WorkgroupSizeX: 1024, WorkgroupSizeY: 1024, WorkgroupSizeZ: 64, WorkgroupsPerDim: 65535,
	}
}

package gpu

// A driver is one open device of a WebGPU implementation, reduced to what this
// package needs of it. The package checks all arguments and keeps all lifetimes,
// so that a driver passes calls on and no more; a driver for browsers would stand
// beside the one in native_cgo.go. No call waits for the GPU. The device's lock is
// held around every call, so that there is no concurrency inside a driver.
type driver interface {
	newBuffer(size int64, use bufferUse) (ref, error)
	newKernel(wgsl, entry string, bindings []layoutEntry) (kernelRefs, error)
	newGroup(layout ref, entries []groupEntry) (ref, error)
	freeBuffer(ref)
	freeKernel(kernelRefs)
	freeGroup(ref)

	// write queues a copy of data, which takes effect before the next submission.
	write(b ref, offset int64, data []byte) error
	// submit queues launches, then copies, in order, after everything before.
	submit(launches []launch, copies []bufferCopy) (fence, error)
	// mapRead asks for the first size bytes of a readStaging buffer. When its fence
	// is done, mapped copies bytes out, and unmap gives the buffer back to the GPU.
	mapRead(b ref, size int64) (fence, error)
	mapped(b ref, offset int64, dst []byte) error
	unmap(b ref) error

	// poll lets the implementation notice finished work.
	poll()
	// done reports whether the work of a fence is finished, and how. After it
	// reported true, the fence must not be used again.
	done(f fence) (bool, error)
	// lost returns why the device no longer works, nil if it does.
	lost() error
	// close releases the device. All of its objects have been freed before.
	close()
	// live counts the objects that were made and not yet freed.
	live() liveObjects
}

// A ref is the native handle of an object; zero is none.
type ref uintptr

// A fence is the native word that tells when work is finished.
type fence uintptr

type bufferUse int

const (
	storageUse  bufferUse = iota // kernels, writes and copies from it
	uniformUse                   // parameters of kernels, and writes
	readStaging                  // copies to it, and reading by the CPU
)

type bindingType int

const (
	uniformBinding bindingType = iota // with a dynamic offset
	storageBinding
	readOnlyBinding
)

type layoutEntry struct {
	index uint32
	kind  bindingType
}

type groupEntry struct {
	index        uint32
	buffer       ref
	offset, size int64
}

type kernelRefs struct {
	module, groupLayout, pipelineLayout, pipeline ref
}

type launch struct {
	pipeline, group ref
	hasParams       bool
	paramsOffset    uint32 // in the buffer of the uniform binding
	groups          [3]uint32
}

type bufferCopy struct {
	from, to             ref
	fromOffset, toOffset int64
	size                 int64
}

type liveObjects struct {
	buffers, kernels, groups, fences int
}

// adapters are the GPUs that an implementation has found. They must be released.
type adapters interface {
	infos() []AdapterInfo
	limits(i int) Limits
	open(i int, l Limits) (driver, error)
	release()
}

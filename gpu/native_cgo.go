//go:build cgo && !nogpu && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && (amd64 || arm64)))

package gpu

/*
#include <stdlib.h>
#include "native.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"strings"
	"unsafe"

	// Only the static library in this module is used, through native.c. The calls of
	// its Go code lose error messages and hand C pointers to Go variables that the
	// garbage collector moves or frees.
	_ "github.com/cogentcore/webgpu/wgpu"
)

// native is the driver over wgpu-native.
type native struct {
	dev      *C.gpu_device
	launches []C.gpu_launch // reused by submit
	copies   []C.gpu_copy
	count    liveObjects
	gone     error // what a call has said of the device's loss
}

func (n *native) newBuffer(size int64, use bufferUse) (ref, error) {
	usage := C.uint32_t(C.WGPU_USAGE_COPY_DST)
	switch use {
	case storageUse:
		usage |= C.WGPU_USAGE_STORAGE | C.WGPU_USAGE_COPY_SRC
	case uniformUse:
		// Also a source of copies: it carries the stamps of reads.
		usage |= C.WGPU_USAGE_UNIFORM | C.WGPU_USAGE_COPY_SRC
	case readStaging:
		usage |= C.WGPU_USAGE_MAP_READ
	}
	b := C.gpu_buffer(n.dev, C.uint64_t(size), usage)
	if b == 0 {
		return 0, n.failure()
	}
	n.count.buffers++
	return ref(b), nil
}

func (n *native) freeBuffer(b ref) {
	C.wgpuBufferRelease(C.wgpu_handle(b))
	n.count.buffers--
}

func (n *native) newKernel(wgsl, entry string, bindings []layoutEntry) (kernelRefs, error) {
	code, name := C.CString(wgsl), C.CString(entry)
	defer C.free(unsafe.Pointer(code))
	defer C.free(unsafe.Pointer(name))
	list := make([]C.gpu_binding, len(bindings))
	for i, b := range bindings {
		kind := [...]C.uint32_t{
			uniformBinding: C.WGPU_BINDING_UNIFORM, storageBinding: C.WGPU_BINDING_STORAGE, readOnlyBinding: C.WGPU_BINDING_READ_ONLY,
		}[b.kind]
		list[i] = C.gpu_binding{index: C.uint32_t(b.index), _type: kind}
	}
	var k C.gpu_kernel
	if C.gpu_make_kernel(n.dev, code, name, unsafe.SliceData(list), C.size_t(len(list)), &k) == 0 {
		return kernelRefs{}, n.failure()
	}
	n.count.kernels++
	return kernelRefs{ref(k.module), ref(k.group_layout), ref(k.pipeline_layout), ref(k.pipeline)}, nil
}

func (n *native) freeKernel(k kernelRefs) {
	C.gpu_free_kernel(C.gpu_kernel{
		module:          C.wgpu_handle(k.module),
		group_layout:    C.wgpu_handle(k.groupLayout),
		pipeline_layout: C.wgpu_handle(k.pipelineLayout),
		pipeline:        C.wgpu_handle(k.pipeline),
	})
	n.count.kernels--
}

func (n *native) newGroup(layout ref, entries []groupEntry) (ref, error) {
	list := make([]C.wgpu_group_entry, len(entries))
	for i, e := range entries {
		list[i] = C.wgpu_group_entry{
			binding: C.uint32_t(e.index), buffer: C.wgpu_handle(e.buffer),
			offset: C.uint64_t(e.offset), size: C.uint64_t(e.size),
		}
	}
	g := C.gpu_group(n.dev, C.wgpu_handle(layout), unsafe.SliceData(list), C.size_t(len(list)))
	if g == 0 {
		return 0, n.failure()
	}
	n.count.groups++
	return ref(g), nil
}

func (n *native) freeGroup(g ref) {
	C.wgpuBindGroupRelease(C.wgpu_handle(g))
	n.count.groups--
}

func (n *native) write(b ref, offset int64, data []byte) error {
	if C.gpu_write(n.dev, C.wgpu_handle(b), C.uint64_t(offset), (*C.uint8_t)(unsafe.SliceData(data)), C.size_t(len(data))) == 0 {
		return n.failure()
	}
	return nil
}

func (n *native) submit(launches []launch, copies []bufferCopy) (fence, error) {
	n.launches, n.copies = n.launches[:0], n.copies[:0]
	for _, l := range launches {
		c := C.gpu_launch{
			pipeline: C.wgpu_handle(l.pipeline), group: C.wgpu_handle(l.group), offset: C.uint32_t(l.paramsOffset),
			x: C.uint32_t(l.groups[0]), y: C.uint32_t(l.groups[1]), z: C.uint32_t(l.groups[2]),
		}
		if l.hasParams {
			c.dynamic = 1
		}
		n.launches = append(n.launches, c)
	}
	for _, c := range copies {
		n.copies = append(n.copies, C.gpu_copy{
			from: C.wgpu_handle(c.from), to: C.wgpu_handle(c.to),
			from_offset: C.uint64_t(c.fromOffset), to_offset: C.uint64_t(c.toOffset), size: C.uint64_t(c.size),
		})
	}
	return n.newFence(C.gpu_submit(n.dev, unsafe.SliceData(n.launches), C.size_t(len(n.launches)), unsafe.SliceData(n.copies), C.size_t(len(n.copies))))
}

func (n *native) mapRead(b ref, size int64) (fence, error) {
	return n.newFence(C.gpu_map(n.dev, C.wgpu_handle(b), C.size_t(size)))
}

func (n *native) newFence(f *C.gpu_fence) (fence, error) {
	if f == nil {
		return 0, n.failure()
	}
	n.count.fences++
	return fence(uintptr(unsafe.Pointer(f))), nil
}

func (n *native) done(f fence) (bool, error) {
	c := *(**C.gpu_fence)(unsafe.Pointer(&f)) // C memory: the collector neither moves nor frees it
	if c.done == 0 {
		return false, nil
	}
	status := c.status
	C.free(unsafe.Pointer(c))
	n.count.fences--
	if status != 0 {
		return true, fmt.Errorf("%w: the driver reports status %d for finished work", ErrLost, status)
	}
	return true, nil
}

func (n *native) mapped(b ref, offset int64, dst []byte) error {
	if C.gpu_mapped(C.wgpu_handle(b), C.size_t(offset), (*C.uint8_t)(unsafe.SliceData(dst)), C.size_t(len(dst))) == 0 {
		return fmt.Errorf("%w: a finished read has no memory", ErrLost)
	}
	return nil
}

func (n *native) unmap(b ref) error {
	if C.gpu_unmap(n.dev, C.wgpu_handle(b)) == 0 {
		return n.failure()
	}
	return nil
}

// poll never waits: a waiting poll of this library gives up after five seconds,
// and reports work as finished that is not. A poll of a lost device ends the process.
func (n *native) poll() {
	if n.lost() == nil {
		C.wgpuDevicePoll(n.dev.handle, 0, nil)
	}
}

func (n *native) lost() error {
	if n.gone != nil {
		return n.gone
	}
	for _, e := range []*C.gpu_error{&n.dev.lost, &n.dev.uncaptured} {
		if e._type != C.WGPU_ERROR_NONE {
			return fmt.Errorf("%w: %s", ErrLost, C.GoString(&e.text[0]))
		}
	}
	return nil
}

func (n *native) close() { C.gpu_close(n.dev) }

func (n *native) live() liveObjects { return n.count }

// failure is the error of the call before.
func (n *native) failure() error {
	text := strings.TrimSpace(C.GoString(&n.dev.error.text[0]))
	switch {
	case n.dev.error._type == C.WGPU_ERROR_MEMORY, strings.Contains(text, "Not enough memory"):
		return fmt.Errorf("%w: %s", ErrMemory, text)
	case n.dev.error._type == C.WGPU_ERROR_LOST, strings.Contains(text, "device is lost"):
		n.gone = fmt.Errorf("%w: %s", ErrLost, text)
		return n.gone
	}
	return errors.New(text)
}

//go:build cgo && !nogpu && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && (amd64 || arm64)))

package gpu

/*
#include "native.h"
*/
import "C"

import (
	"fmt"
	"sync"
	"unsafe"
)

// instance makes the one native instance of the process. A second one brings
// nothing, and making them has been a source of crashes.
var instance = sync.OnceValue(func() C.wgpu_handle { return C.gpu_instance() })

type nativeAdapters struct{ handles []C.wgpu_handle }

func findAdapters() (adapters, error) {
	if instance() == 0 {
		return nil, fmt.Errorf("%w: the native WebGPU library does not start", ErrUnavailable)
	}
	n := C.gpu_adapters(instance(), nil)
	// Room for adapters that appear between the two calls: the library does not
	// take the length of the array.
	list := make([]C.wgpu_handle, n+16)
	n = C.gpu_adapters(instance(), unsafe.SliceData(list))
	if n == 0 {
		return nil, fmt.Errorf("%w: no adapter for Vulkan, Metal or Direct3D 12; install a driver for the GPU, or Mesa's lavapipe to emulate one", ErrUnavailable)
	}
	return &nativeAdapters{list[:n]}, nil
}

func (a *nativeAdapters) infos() []AdapterInfo {
	infos := make([]AdapterInfo, len(a.handles))
	for i, h := range a.handles {
		infos[i] = adapterInfo(h)
	}
	return infos
}

func adapterInfo(h C.wgpu_handle) AdapterInfo {
	var c C.wgpu_adapter_info
	C.wgpuAdapterGetInfo(h, &c)
	defer C.wgpuAdapterInfoFreeMembers(c)
	types := [...]AdapterType{DiscreteGPU, IntegratedGPU, SoftwareGPU}
	info := AdapterInfo{
		Name:    C.GoString(c.description), // the library puts the name there, and a number into device
		Vendor:  vendorName(uint32(c.vendor_id)),
		Type:    UnknownGPU,
		Backend: map[C.int32_t]string{4: "d3d12", 5: "metal", 6: "vulkan"}[c.backend],
		Driver:  C.GoString(c.architecture),
	}
	if c._type >= 0 && int(c._type) < len(types) {
		info.Type = types[c._type]
	}
	return info
}

// vendorName turns the PCI vendor id into a name.
func vendorName(id uint32) string {
	names := map[uint32]string{
		0x1002: "AMD", 0x106b: "Apple", 0x10005: "Mesa", 0x10de: "NVIDIA", 0x13b5: "ARM", 0x1414: "Microsoft", 0x14e4: "Broadcom", 0x5143: "Qualcomm", 0x8086: "Intel",
	}
	if name, ok := names[id]; ok {
		return name
	}
	return fmt.Sprintf("%#x", id)
}

func (a *nativeAdapters) nativeLimits(i int) C.wgpu_limits {
	var l C.wgpu_limits_desc
	C.wgpuAdapterGetLimits(a.handles[i], &l)
	return l.limits
}

func (a *nativeAdapters) limits(i int) Limits {
	l := a.nativeLimits(i)
	return Limits{
		BufferSize:           int64(min(l.buffer_size, 1<<62)),
		BindingSize:          int64(min(l.storage_binding_size, 1<<62)),
		StorageBuffers:       uint32(l.storage_buffers),
		WorkgroupMemory:      uint32(l.workgroup_memory),
		WorkgroupInvocations: uint32(l.workgroup_invocations),
		WorkgroupSizeX:       uint32(l.workgroup_size_x),
		WorkgroupSizeY:       uint32(l.workgroup_size_y),
		WorkgroupSizeZ:       uint32(l.workgroup_size_z),
		WorkgroupsPerDim:     uint32(l.workgroups_per_dim),
	}
}

func (a *nativeAdapters) open(i int, l Limits) (driver, error) {
	c := a.nativeLimits(i)
	c.buffer_size = C.uint64_t(l.BufferSize)
	c.storage_binding_size = C.uint64_t(l.BindingSize)
	c.storage_buffers = C.uint32_t(l.StorageBuffers)
	c.workgroup_memory = C.uint32_t(l.WorkgroupMemory)
	c.workgroup_invocations = C.uint32_t(l.WorkgroupInvocations)
	c.workgroup_size_x = C.uint32_t(l.WorkgroupSizeX)
	c.workgroup_size_y = C.uint32_t(l.WorkgroupSizeY)
	c.workgroup_size_z = C.uint32_t(l.WorkgroupSizeZ)
	c.workgroups_per_dim = C.uint32_t(l.WorkgroupsPerDim)
	var failure C.gpu_error
	dev := C.gpu_open(a.handles[i], &c, &failure)
	if dev == nil {
		return nil, fmt.Errorf("%w: the driver refuses to open a device: %s", ErrUnavailable, C.GoString(&failure.text[0]))
	}
	return &native{dev: dev}, nil
}

func (a *nativeAdapters) release() {
	for _, h := range a.handles {
		C.wgpuAdapterRelease(h)
	}
	a.handles = nil
}

// The calls that native_cgo.go makes: WebGPU, with every error caught.
#ifndef GPUPEFT_NATIVE_H
#define GPUPEFT_NATIVE_H

#include "webgpu.h"

enum { GPU_TEXT = 2048 };

// The first error of a call, or the reason why a device was lost.
typedef struct {
	uint32_t type; // WGPU_ERROR_*
	char text[GPU_TEXT];
} gpu_error;

typedef struct {
	wgpu_handle handle;
	wgpu_handle queue;
	gpu_error error;      // of the last call that returned 0
	gpu_error uncaptured; // outside all error scopes
	gpu_error lost;
} gpu_device;

// A word that a native callback sets once; it lives in C memory because the
// callback may come long after the call that asked for it.
typedef struct {
	uint32_t done;
	uint32_t status; // 0 is success
} gpu_fence;

typedef struct {
	uint32_t index;
	uint32_t type; // WGPU_BINDING_*
} gpu_binding;

typedef struct {
	wgpu_handle module, group_layout, pipeline_layout, pipeline;
} gpu_kernel;

typedef struct {
	wgpu_handle pipeline, group;
	uint32_t dynamic; // 1 if the group has a dynamic offset
	uint32_t offset;
	uint32_t x, y, z;
} gpu_launch;

typedef struct {
	wgpu_handle from, to;
	uint64_t from_offset, to_offset, size;
} gpu_copy;

wgpu_handle gpu_instance(void);
size_t gpu_adapters(wgpu_handle instance, wgpu_handle *adapters);
gpu_device *gpu_open(wgpu_handle adapter, const wgpu_limits *limits, gpu_error *error);
void gpu_close(gpu_device *d);

// These return 0 and set d->error when they go wrong.
wgpu_handle gpu_buffer(gpu_device *d, uint64_t size, uint32_t usage);
wgpu_handle gpu_group(gpu_device *d, wgpu_handle layout, const wgpu_group_entry *entries, size_t count);
int gpu_make_kernel(gpu_device *d, const char *code, const char *entry, const gpu_binding *bindings, size_t count, gpu_kernel *out);
void gpu_free_kernel(gpu_kernel k);
int gpu_write(gpu_device *d, wgpu_handle buffer, uint64_t offset, const uint8_t *data, size_t size);
gpu_fence *gpu_submit(gpu_device *d, const gpu_launch *launches, size_t launch_count, const gpu_copy *copies, size_t copy_count);
gpu_fence *gpu_map(gpu_device *d, wgpu_handle buffer, size_t size);
int gpu_mapped(wgpu_handle buffer, size_t offset, uint8_t *to, size_t size); // sets no error
int gpu_unmap(gpu_device *d, wgpu_handle buffer);

#endif

//go:build cgo && !nogpu && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && (amd64 || arm64)))

#include "native.h"

#include <stdlib.h>
#include <string.h>

static void record(gpu_error *e, uint32_t type, const char *message) {
	if (e->type != WGPU_ERROR_NONE || type == WGPU_ERROR_NONE) {
		return; // the first one tells most
	}
	e->type = type;
	strncpy(e->text, message ? message : "", GPU_TEXT - 1);
}

static void on_error(uint32_t type, const char *message, void *user) {
	record(user, type, message);
}

static void on_lost(uint32_t reason, const char *message, void *user) {
	(void)reason;
	record(user, WGPU_ERROR_LOST, message);
}

static void on_fence(uint32_t status, void *user) {
	gpu_fence *f = user;
	f->status = status;
	f->done = 1;
}

static void on_device(uint32_t status, wgpu_handle device, const char *message, void *user) {
	gpu_device *d = user;
	d->handle = status == 0 ? device : 0;
	if (status != 0) {
		record(&d->error, WGPU_ERROR_UNKNOWN, message);
	}
}

// Error scopes belong to the device, not to the thread: the caller's lock keeps
// the calls between begin and end together.
static void begin(gpu_device *d) {
	d->error.type = WGPU_ERROR_NONE;
	wgpuDevicePushErrorScope(d->handle, WGPU_FILTER_MEMORY);
	wgpuDevicePushErrorScope(d->handle, WGPU_FILTER_VALIDATION);
}

static int end(gpu_device *d) {
	wgpuDevicePopErrorScope(d->handle, on_error, &d->error);
	wgpuDevicePopErrorScope(d->handle, on_error, &d->error);
	// Internal errors, for which this library has no scope, arrive here.
	record(&d->error, d->uncaptured.type, d->uncaptured.text);
	d->uncaptured.type = WGPU_ERROR_NONE;
	return d->error.type == WGPU_ERROR_NONE;
}

wgpu_handle gpu_instance(void) {
	// The binding leaves these extras uninitialised, which aborts the process now
	// and then; zeroes are its defaults. OpenGL is left out: its compute support is
	// poor, and loading it prints to stderr.
	wgpu_instance_extras extras = {.chain.type = WGPU_CHAIN_INSTANCE_EXTRAS, .backends = WGPU_BACKENDS_PRIMARY};
	wgpu_instance_desc desc = {.next = &extras.chain};
	wgpuSetLogLevel(0);
	return wgpuCreateInstance(&desc);
}

size_t gpu_adapters(wgpu_handle instance, wgpu_handle *adapters) {
	wgpu_enumerate_options options = {.backends = WGPU_BACKENDS_PRIMARY};
	return wgpuInstanceEnumerateAdapters(instance, &options, adapters);
}

gpu_device *gpu_open(wgpu_handle adapter, const wgpu_limits *limits, gpu_error *error) {
	gpu_device *d = calloc(1, sizeof *d);
	if (!d) {
		record(error, WGPU_ERROR_MEMORY, "no memory");
		return NULL;
	}
	wgpu_limits_desc required = {.limits = *limits};
	wgpu_device_desc desc = {.limits = &required, .lost = on_lost, .lost_user = &d->lost};
	desc.uncaptured.callback = on_error;
	desc.uncaptured.user = &d->uncaptured;
	wgpuAdapterRequestDevice(adapter, &desc, on_device, d);
	if (!d->handle) {
		record(error, WGPU_ERROR_UNKNOWN, d->error.text);
		free(d);
		return NULL;
	}
	d->queue = wgpuDeviceGetQueue(d->handle);
	return d;
}

void gpu_close(gpu_device *d) {
	wgpuQueueRelease(d->queue);
	wgpuDeviceRelease(d->handle);
	// The library may still call the lost callback, so d itself is kept until the
	// process ends: 6 KiB for each device ever opened.
}

wgpu_handle gpu_buffer(gpu_device *d, uint64_t size, uint32_t usage) {
	wgpu_buffer_desc desc = {.usage = usage, .size = size};
	begin(d);
	wgpu_handle b = wgpuDeviceCreateBuffer(d->handle, &desc);
	if (end(d)) {
		return b;
	}
	if (b) {
		wgpuBufferRelease(b);
	}
	return 0;
}

wgpu_handle gpu_group(gpu_device *d, wgpu_handle layout, const wgpu_group_entry *entries, size_t count) {
	wgpu_group_desc desc = {.layout = layout, .entry_count = count, .entries = entries};
	begin(d);
	wgpu_handle g = wgpuDeviceCreateBindGroup(d->handle, &desc);
	if (end(d)) {
		return g;
	}
	if (g) {
		wgpuBindGroupRelease(g);
	}
	return 0;
}

static wgpu_handle group_layout(gpu_device *d, const gpu_binding *bindings, size_t count) {
	wgpu_layout_entry *entries = calloc(count + 1, sizeof *entries);
	if (!entries) {
		record(&d->error, WGPU_ERROR_MEMORY, "no memory");
		return 0;
	}
	for (size_t i = 0; i < count; i++) {
		entries[i].binding = bindings[i].index;
		entries[i].visibility = WGPU_STAGE_COMPUTE;
		entries[i].buffer.type = bindings[i].type;
		entries[i].buffer.dynamic = bindings[i].type == WGPU_BINDING_UNIFORM;
	}
	wgpu_group_layout_desc desc = {.entry_count = count, .entries = entries};
	wgpu_handle layout = wgpuDeviceCreateBindGroupLayout(d->handle, &desc);
	free(entries);
	return layout;
}

int gpu_make_kernel(gpu_device *d, const char *code, const char *entry, const gpu_binding *bindings, size_t count, gpu_kernel *out) {
	wgpu_wgsl_desc wgsl = {.chain.type = WGPU_CHAIN_WGSL, .code = code};
	wgpu_module_desc module = {.next = &wgsl.chain};
	gpu_kernel k = {0};

	begin(d);
	k.module = wgpuDeviceCreateShaderModule(d->handle, &module);
	int ok = end(d);
	if (ok) {
		begin(d);
		k.group_layout = group_layout(d, bindings, count);
		ok = end(d);
	}
	if (ok) {
		wgpu_pipeline_layout_desc desc = {.layout_count = 1, .layouts = &k.group_layout};
		begin(d);
		k.pipeline_layout = wgpuDeviceCreatePipelineLayout(d->handle, &desc);
		ok = end(d);
	}
	if (ok) {
		wgpu_pipeline_desc desc = {.layout = k.pipeline_layout};
		desc.compute.module = k.module;
		desc.compute.entry = entry;
		begin(d);
		k.pipeline = wgpuDeviceCreateComputePipeline(d->handle, &desc);
		ok = end(d);
	}
	if (!ok) {
		gpu_free_kernel(k);
		return 0;
	}
	*out = k;
	return 1;
}

void gpu_free_kernel(gpu_kernel k) {
	if (k.pipeline) {
		wgpuComputePipelineRelease(k.pipeline);
	}
	if (k.pipeline_layout) {
		wgpuPipelineLayoutRelease(k.pipeline_layout);
	}
	if (k.group_layout) {
		wgpuBindGroupLayoutRelease(k.group_layout);
	}
	if (k.module) {
		wgpuShaderModuleRelease(k.module);
	}
}

int gpu_write(gpu_device *d, wgpu_handle buffer, uint64_t offset, const uint8_t *data, size_t size) {
	begin(d);
	wgpuQueueWriteBuffer(d->queue, buffer, offset, data, size);
	return end(d);
}

static void encode(wgpu_handle encoder, const gpu_launch *launches, size_t launch_count, const gpu_copy *copies, size_t copy_count) {
	if (launch_count > 0) {
		wgpu_handle pass = wgpuCommandEncoderBeginComputePass(encoder, NULL);
		for (size_t i = 0; i < launch_count; i++) {
			const gpu_launch *l = &launches[i];
			wgpuComputePassEncoderSetPipeline(pass, l->pipeline);
			wgpuComputePassEncoderSetBindGroup(pass, 0, l->group, l->dynamic, &l->offset);
			wgpuComputePassEncoderDispatchWorkgroups(pass, l->x, l->y, l->z);
		}
		wgpuComputePassEncoderEnd(pass);
		wgpuComputePassEncoderRelease(pass);
	}
	for (size_t i = 0; i < copy_count; i++) {
		const gpu_copy *c = &copies[i];
		wgpuCommandEncoderCopyBufferToBuffer(encoder, c->from, c->from_offset, c->to, c->to_offset, c->size);
	}
}

gpu_fence *gpu_submit(gpu_device *d, const gpu_launch *launches, size_t launch_count, const gpu_copy *copies, size_t copy_count) {
	gpu_fence *fence = calloc(1, sizeof *fence);
	wgpu_handle commands = 0;
	begin(d);
	if (!fence) {
		record(&d->error, WGPU_ERROR_MEMORY, "no memory");
	} else if (launch_count + copy_count > 0) {
		wgpu_handle encoder = wgpuDeviceCreateCommandEncoder(d->handle, NULL);
		encode(encoder, launches, launch_count, copies, copy_count);
		commands = wgpuCommandEncoderFinish(encoder, NULL);
		wgpuCommandEncoderRelease(encoder);
	}
	// Without commands, a submission carries the writes made before it.
	int ok = end(d);
	if (ok) {
		wgpuQueueSubmit(d->queue, commands ? 1 : 0, &commands);
		wgpuQueueOnSubmittedWorkDone(d->queue, on_fence, fence);
	}
	if (commands) {
		wgpuCommandBufferRelease(commands);
	}
	if (!ok) {
		free(fence);
		return NULL;
	}
	return fence;
}

gpu_fence *gpu_map(gpu_device *d, wgpu_handle buffer, size_t size) {
	gpu_fence *fence = calloc(1, sizeof *fence);
	begin(d);
	if (!fence) {
		record(&d->error, WGPU_ERROR_MEMORY, "no memory");
	} else {
		wgpuBufferMapAsync(buffer, WGPU_MAP_READ, 0, size, on_fence, fence);
	}
	if (!end(d)) {
		// The callback has come already: a refused map calls it at once.
		free(fence);
		return NULL;
	}
	return fence;
}

int gpu_mapped(wgpu_handle buffer, size_t offset, uint8_t *to, size_t size) {
	const void *from = wgpuBufferGetConstMappedRange(buffer, offset, size);
	if (!from) {
		return 0;
	}
	memcpy(to, from, size);
	return 1;
}

int gpu_unmap(gpu_device *d, wgpu_handle buffer) {
	begin(d);
	wgpuBufferUnmap(buffer);
	return end(d);
}

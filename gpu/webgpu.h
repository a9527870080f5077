// Declarations of the part of the WebGPU C interface that native.c uses, as
// wgpu-native exports it from the static library in github.com/cogentcore/webgpu
// v0.23.0 (webgpu.h and wgpu.h there; wgpu-native v0.19.4.1). They stand here
// because a cgo package cannot include a header of another module. When that
// module changes, TestHeader compares the types and numbers below with its headers.
//
// Handles are uintptr_t, so that Go may keep them in ordinary memory.
#ifndef GPUPEFT_WEBGPU_H
#define GPUPEFT_WEBGPU_H

#include <stddef.h>
#include <stdint.h>

typedef uintptr_t wgpu_handle;

typedef struct wgpu_chain {
	const struct wgpu_chain *next;
	uint32_t type;
} wgpu_chain;

enum { WGPU_CHAIN_WGSL = 0x6, WGPU_CHAIN_INSTANCE_EXTRAS = 0x00030006 };

enum { WGPU_BACKENDS_PRIMARY = 1 << 0 | 1 << 2 | 1 << 3 }; // Vulkan, Metal, D3D12

typedef struct {
	wgpu_chain chain;
	uint32_t backends;
	uint32_t flags;
	int32_t dx12_compiler;
	int32_t gles3_minor;
	const char *dxil_path;
	const char *dxc_path;
} wgpu_instance_extras;

typedef struct {
	const wgpu_chain *next;
} wgpu_instance_desc;

typedef struct {
	const wgpu_chain *next;
	uint32_t backends;
} wgpu_enumerate_options;

typedef struct {
	const void *next;
	const char *vendor;
	const char *architecture;
	const char *device;
	const char *description;
	int32_t backend;
	int32_t type;
	uint32_t vendor_id;
	uint32_t device_id;
} wgpu_adapter_info;

typedef struct {
	uint32_t texture_1d, texture_2d, texture_3d, texture_layers;
	uint32_t bind_groups, bind_groups_plus_vertex_buffers, bindings_per_group;
	uint32_t dynamic_uniform_buffers, dynamic_storage_buffers;
	uint32_t sampled_textures, samplers, storage_buffers, storage_textures, uniform_buffers;
	uint64_t uniform_binding_size, storage_binding_size;
	uint32_t uniform_alignment, storage_alignment;
	uint32_t vertex_buffers;
	uint64_t buffer_size;
	uint32_t vertex_attributes, vertex_stride, inter_stage_components, inter_stage_variables;
	uint32_t color_attachments, color_attachment_bytes;
	uint32_t workgroup_memory, workgroup_invocations;
	uint32_t workgroup_size_x, workgroup_size_y, workgroup_size_z, workgroups_per_dim;
} wgpu_limits;

// Limits as asked for and as reported: a chain pointer and the limits.
typedef struct {
	const wgpu_chain *next;
	wgpu_limits limits;
} wgpu_limits_desc;

enum { WGPU_ERROR_NONE, WGPU_ERROR_VALIDATION, WGPU_ERROR_MEMORY, WGPU_ERROR_INTERNAL, WGPU_ERROR_UNKNOWN, WGPU_ERROR_LOST };
enum { WGPU_FILTER_VALIDATION, WGPU_FILTER_MEMORY }; // a third one, internal, makes this version abort

typedef void (*wgpu_error_callback)(uint32_t type, const char *message, void *user);
typedef void (*wgpu_lost_callback)(uint32_t reason, const char *message, void *user);
typedef void (*wgpu_device_callback)(uint32_t status, wgpu_handle device, const char *message, void *user);
typedef void (*wgpu_status_callback)(uint32_t status, void *user);

typedef struct {
	const wgpu_chain *next;
	const char *label;
	size_t feature_count;
	const uint32_t *features;
	const wgpu_limits_desc *limits;
	struct {
		const wgpu_chain *next;
		const char *label;
	} queue;
	wgpu_lost_callback lost;
	void *lost_user;
	struct {
		const wgpu_chain *next;
		wgpu_error_callback callback;
		void *user;
	} uncaptured;
} wgpu_device_desc;

enum {
	WGPU_USAGE_MAP_READ = 0x1,
	WGPU_USAGE_COPY_SRC = 0x4,
	WGPU_USAGE_COPY_DST = 0x8,
	WGPU_USAGE_UNIFORM = 0x40,
	WGPU_USAGE_STORAGE = 0x80,
};
enum { WGPU_MAP_READ = 1 };
enum { WGPU_STAGE_COMPUTE = 4 };
enum { WGPU_BINDING_UNIFORM = 1, WGPU_BINDING_STORAGE = 2, WGPU_BINDING_READ_ONLY = 3 };

typedef struct {
	const wgpu_chain *next;
	const char *label;
	uint32_t usage;
	uint64_t size;
	uint32_t mapped;
} wgpu_buffer_desc;

typedef struct {
	wgpu_chain chain;
	const char *code;
} wgpu_wgsl_desc;

typedef struct {
	const wgpu_chain *next;
	const char *label;
	size_t hint_count;
	const void *hints;
} wgpu_module_desc;

typedef struct {
	const wgpu_chain *next;
	uint32_t binding;
	uint32_t visibility;
	struct {
		const wgpu_chain *next;
		uint32_t type;
		uint32_t dynamic;
		uint64_t min_size;
	} buffer;
	struct {
		const wgpu_chain *next;
		uint32_t type;
	} sampler;
	struct {
		const wgpu_chain *next;
		uint32_t sample_type, dimension, multisampled;
	} texture;
	struct {
		const wgpu_chain *next;
		uint32_t access, format, dimension;
	} storage_texture;
} wgpu_layout_entry;

typedef struct {
	const wgpu_chain *next;
	const char *label;
	size_t entry_count;
	const wgpu_layout_entry *entries;
} wgpu_group_layout_desc;

typedef struct {
	const wgpu_chain *next;
	const char *label;
	size_t layout_count;
	const wgpu_handle *layouts;
} wgpu_pipeline_layout_desc;

typedef struct {
	const wgpu_chain *next;
	const char *label;
	wgpu_handle layout;
	struct {
		const wgpu_chain *next;
		wgpu_handle module;
		const char *entry;
		size_t constant_count;
		const void *constants;
	} compute;
} wgpu_pipeline_desc;

typedef struct {
	const wgpu_chain *next;
	uint32_t binding;
	wgpu_handle buffer;
	uint64_t offset;
	uint64_t size;
	wgpu_handle sampler;
	wgpu_handle texture_view;
} wgpu_group_entry;

typedef struct {
	const wgpu_chain *next;
	const char *label;
	wgpu_handle layout;
	size_t entry_count;
	const wgpu_group_entry *entries;
} wgpu_group_desc;

#ifndef GPUPEFT_TYPES_ONLY // testdata/abi.c compares the types with the real headers

wgpu_handle wgpuCreateInstance(const wgpu_instance_desc *);
void wgpuSetLogLevel(uint32_t level);
size_t wgpuInstanceEnumerateAdapters(wgpu_handle instance, const wgpu_enumerate_options *, wgpu_handle *adapters);
void wgpuAdapterGetInfo(wgpu_handle adapter, wgpu_adapter_info *);
void wgpuAdapterInfoFreeMembers(wgpu_adapter_info);
uint32_t wgpuAdapterGetLimits(wgpu_handle adapter, wgpu_limits_desc *);
void wgpuAdapterRequestDevice(wgpu_handle adapter, const wgpu_device_desc *, wgpu_device_callback, void *user);
void wgpuAdapterRelease(wgpu_handle);

wgpu_handle wgpuDeviceGetQueue(wgpu_handle device);
wgpu_handle wgpuDeviceCreateBuffer(wgpu_handle device, const wgpu_buffer_desc *);
wgpu_handle wgpuDeviceCreateShaderModule(wgpu_handle device, const wgpu_module_desc *);
wgpu_handle wgpuDeviceCreateBindGroupLayout(wgpu_handle device, const wgpu_group_layout_desc *);
wgpu_handle wgpuDeviceCreatePipelineLayout(wgpu_handle device, const wgpu_pipeline_layout_desc *);
wgpu_handle wgpuDeviceCreateComputePipeline(wgpu_handle device, const wgpu_pipeline_desc *);
wgpu_handle wgpuDeviceCreateBindGroup(wgpu_handle device, const wgpu_group_desc *);
wgpu_handle wgpuDeviceCreateCommandEncoder(wgpu_handle device, const void *desc);
void wgpuDevicePushErrorScope(wgpu_handle device, uint32_t filter);
void wgpuDevicePopErrorScope(wgpu_handle device, wgpu_error_callback, void *user);
uint32_t wgpuDevicePoll(wgpu_handle device, uint32_t wait, const void *submission);

void wgpuQueueWriteBuffer(wgpu_handle queue, wgpu_handle buffer, uint64_t offset, const void *data, size_t size);
void wgpuQueueSubmit(wgpu_handle queue, size_t count, const wgpu_handle *commands);
void wgpuQueueOnSubmittedWorkDone(wgpu_handle queue, wgpu_status_callback, void *user);

void wgpuBufferMapAsync(wgpu_handle buffer, uint32_t mode, size_t offset, size_t size, wgpu_status_callback, void *user);
const void *wgpuBufferGetConstMappedRange(wgpu_handle buffer, size_t offset, size_t size);
void wgpuBufferUnmap(wgpu_handle buffer);

void wgpuCommandEncoderCopyBufferToBuffer(wgpu_handle encoder, wgpu_handle from, uint64_t from_offset, wgpu_handle to, uint64_t to_offset, uint64_t size);
wgpu_handle wgpuCommandEncoderBeginComputePass(wgpu_handle encoder, const void *desc);
wgpu_handle wgpuCommandEncoderFinish(wgpu_handle encoder, const void *desc);
void wgpuComputePassEncoderSetPipeline(wgpu_handle pass, wgpu_handle pipeline);
void wgpuComputePassEncoderSetBindGroup(wgpu_handle pass, uint32_t index, wgpu_handle group, size_t offset_count, const uint32_t *offsets);
void wgpuComputePassEncoderDispatchWorkgroups(wgpu_handle pass, uint32_t x, uint32_t y, uint32_t z);
void wgpuComputePassEncoderEnd(wgpu_handle pass);

void wgpuComputePassEncoderRelease(wgpu_handle);
void wgpuCommandEncoderRelease(wgpu_handle);
void wgpuCommandBufferRelease(wgpu_handle);
void wgpuBufferRelease(wgpu_handle);
void wgpuBindGroupRelease(wgpu_handle);
void wgpuBindGroupLayoutRelease(wgpu_handle);
void wgpuPipelineLayoutRelease(wgpu_handle);
void wgpuComputePipelineRelease(wgpu_handle);
void wgpuShaderModuleRelease(wgpu_handle);
void wgpuQueueRelease(wgpu_handle);
void wgpuDeviceRelease(wgpu_handle);

#endif
#endif

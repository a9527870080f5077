// Compiled by TestHeader with the headers of the native library in the include
// path: it does not compile if ../webgpu.h disagrees with them.
#include "wgpu.h"

#define GPUPEFT_TYPES_ONLY
#include "../webgpu.h"

#define SAME_SIZE(ours, theirs) _Static_assert(sizeof(ours) == sizeof(theirs), #theirs)
#define SAME_PLACE(ours, field, theirs, their_field) \
	_Static_assert(offsetof(ours, field) == offsetof(theirs, their_field), #theirs "." #their_field); \
	_Static_assert(sizeof(((ours *)0)->field) == sizeof(((theirs *)0)->their_field), #theirs "." #their_field)
#define SAME_NUMBER(ours, theirs) _Static_assert((unsigned)(ours) == (unsigned)(theirs), #theirs)

SAME_SIZE(wgpu_handle, WGPUDevice);
SAME_SIZE(wgpu_chain, WGPUChainedStruct);
SAME_SIZE(wgpu_instance_desc, WGPUInstanceDescriptor);
SAME_SIZE(wgpu_enumerate_options, WGPUInstanceEnumerateAdapterOptions);
SAME_PLACE(wgpu_enumerate_options, backends, WGPUInstanceEnumerateAdapterOptions, backends);

SAME_SIZE(wgpu_instance_extras, WGPUInstanceExtras);
SAME_PLACE(wgpu_instance_extras, backends, WGPUInstanceExtras, backends);
SAME_PLACE(wgpu_instance_extras, flags, WGPUInstanceExtras, flags);
SAME_PLACE(wgpu_instance_extras, dx12_compiler, WGPUInstanceExtras, dx12ShaderCompiler);
SAME_PLACE(wgpu_instance_extras, gles3_minor, WGPUInstanceExtras, gles3MinorVersion);
SAME_PLACE(wgpu_instance_extras, dxc_path, WGPUInstanceExtras, dxcPath);

SAME_SIZE(wgpu_adapter_info, WGPUAdapterInfo);
SAME_PLACE(wgpu_adapter_info, vendor, WGPUAdapterInfo, vendor);
SAME_PLACE(wgpu_adapter_info, architecture, WGPUAdapterInfo, architecture);
SAME_PLACE(wgpu_adapter_info, device, WGPUAdapterInfo, device);
SAME_PLACE(wgpu_adapter_info, description, WGPUAdapterInfo, description);
SAME_PLACE(wgpu_adapter_info, backend, WGPUAdapterInfo, backendType);
SAME_PLACE(wgpu_adapter_info, type, WGPUAdapterInfo, adapterType);
SAME_PLACE(wgpu_adapter_info, vendor_id, WGPUAdapterInfo, vendorID);

SAME_SIZE(wgpu_limits, WGPULimits);
SAME_PLACE(wgpu_limits, bind_groups, WGPULimits, maxBindGroups);
SAME_PLACE(wgpu_limits, storage_buffers, WGPULimits, maxStorageBuffersPerShaderStage);
SAME_PLACE(wgpu_limits, storage_binding_size, WGPULimits, maxStorageBufferBindingSize);
SAME_PLACE(wgpu_limits, storage_alignment, WGPULimits, minStorageBufferOffsetAlignment);
SAME_PLACE(wgpu_limits, buffer_size, WGPULimits, maxBufferSize);
SAME_PLACE(wgpu_limits, workgroup_memory, WGPULimits, maxComputeWorkgroupStorageSize);
SAME_PLACE(wgpu_limits, workgroup_invocations, WGPULimits, maxComputeInvocationsPerWorkgroup);
SAME_PLACE(wgpu_limits, workgroup_size_x, WGPULimits, maxComputeWorkgroupSizeX);
SAME_PLACE(wgpu_limits, workgroup_size_y, WGPULimits, maxComputeWorkgroupSizeY);
SAME_PLACE(wgpu_limits, workgroup_size_z, WGPULimits, maxComputeWorkgroupSizeZ);
SAME_PLACE(wgpu_limits, workgroups_per_dim, WGPULimits, maxComputeWorkgroupsPerDimension);
SAME_SIZE(wgpu_limits_desc, WGPURequiredLimits);
SAME_SIZE(wgpu_limits_desc, WGPUSupportedLimits);
SAME_PLACE(wgpu_limits_desc, limits, WGPUSupportedLimits, limits);

SAME_SIZE(wgpu_device_desc, WGPUDeviceDescriptor);
SAME_PLACE(wgpu_device_desc, limits, WGPUDeviceDescriptor, requiredLimits);
SAME_PLACE(wgpu_device_desc, queue, WGPUDeviceDescriptor, defaultQueue);
SAME_PLACE(wgpu_device_desc, lost, WGPUDeviceDescriptor, deviceLostCallback);
SAME_PLACE(wgpu_device_desc, lost_user, WGPUDeviceDescriptor, deviceLostUserdata);
SAME_PLACE(wgpu_device_desc, uncaptured, WGPUDeviceDescriptor, uncapturedErrorCallbackInfo);
SAME_PLACE(wgpu_device_desc, uncaptured.user, WGPUDeviceDescriptor, uncapturedErrorCallbackInfo.userdata);

SAME_SIZE(wgpu_buffer_desc, WGPUBufferDescriptor);
SAME_PLACE(wgpu_buffer_desc, usage, WGPUBufferDescriptor, usage);
SAME_PLACE(wgpu_buffer_desc, size, WGPUBufferDescriptor, size);
SAME_PLACE(wgpu_buffer_desc, mapped, WGPUBufferDescriptor, mappedAtCreation);
SAME_SIZE(wgpu_wgsl_desc, WGPUShaderModuleWGSLDescriptor);
SAME_PLACE(wgpu_wgsl_desc, code, WGPUShaderModuleWGSLDescriptor, code);
SAME_SIZE(wgpu_module_desc, WGPUShaderModuleDescriptor);

SAME_SIZE(wgpu_layout_entry, WGPUBindGroupLayoutEntry);
SAME_PLACE(wgpu_layout_entry, binding, WGPUBindGroupLayoutEntry, binding);
SAME_PLACE(wgpu_layout_entry, visibility, WGPUBindGroupLayoutEntry, visibility);
SAME_PLACE(wgpu_layout_entry, buffer.type, WGPUBindGroupLayoutEntry, buffer.type);
SAME_PLACE(wgpu_layout_entry, buffer.dynamic, WGPUBindGroupLayoutEntry, buffer.hasDynamicOffset);
SAME_PLACE(wgpu_layout_entry, sampler, WGPUBindGroupLayoutEntry, sampler);
SAME_SIZE(wgpu_group_layout_desc, WGPUBindGroupLayoutDescriptor);
SAME_PLACE(wgpu_group_layout_desc, entries, WGPUBindGroupLayoutDescriptor, entries);
SAME_SIZE(wgpu_pipeline_layout_desc, WGPUPipelineLayoutDescriptor);
SAME_PLACE(wgpu_pipeline_layout_desc, layouts, WGPUPipelineLayoutDescriptor, bindGroupLayouts);
SAME_SIZE(wgpu_pipeline_desc, WGPUComputePipelineDescriptor);
SAME_PLACE(wgpu_pipeline_desc, layout, WGPUComputePipelineDescriptor, layout);
SAME_PLACE(wgpu_pipeline_desc, compute.module, WGPUComputePipelineDescriptor, compute.module);
SAME_PLACE(wgpu_pipeline_desc, compute.entry, WGPUComputePipelineDescriptor, compute.entryPoint);
SAME_SIZE(wgpu_group_entry, WGPUBindGroupEntry);
SAME_PLACE(wgpu_group_entry, binding, WGPUBindGroupEntry, binding);
SAME_PLACE(wgpu_group_entry, buffer, WGPUBindGroupEntry, buffer);
SAME_PLACE(wgpu_group_entry, offset, WGPUBindGroupEntry, offset);
SAME_PLACE(wgpu_group_entry, size, WGPUBindGroupEntry, size);
SAME_SIZE(wgpu_group_desc, WGPUBindGroupDescriptor);
SAME_PLACE(wgpu_group_desc, layout, WGPUBindGroupDescriptor, layout);
SAME_PLACE(wgpu_group_desc, entries, WGPUBindGroupDescriptor, entries);

SAME_NUMBER(WGPU_CHAIN_WGSL, WGPUSType_ShaderModuleWGSLDescriptor);
SAME_NUMBER(WGPU_CHAIN_INSTANCE_EXTRAS, WGPUSType_InstanceExtras);
SAME_NUMBER(WGPU_BACKENDS_PRIMARY, WGPUInstanceBackend_Vulkan | WGPUInstanceBackend_Metal | WGPUInstanceBackend_DX12);
SAME_NUMBER(WGPU_ERROR_NONE, WGPUErrorType_NoError);
SAME_NUMBER(WGPU_ERROR_VALIDATION, WGPUErrorType_Validation);
SAME_NUMBER(WGPU_ERROR_MEMORY, WGPUErrorType_OutOfMemory);
SAME_NUMBER(WGPU_ERROR_INTERNAL, WGPUErrorType_Internal);
SAME_NUMBER(WGPU_ERROR_UNKNOWN, WGPUErrorType_Unknown);
SAME_NUMBER(WGPU_ERROR_LOST, WGPUErrorType_DeviceLost);
SAME_NUMBER(WGPU_FILTER_VALIDATION, WGPUErrorFilter_Validation);
SAME_NUMBER(WGPU_FILTER_MEMORY, WGPUErrorFilter_OutOfMemory);
SAME_NUMBER(WGPU_USAGE_MAP_READ, WGPUBufferUsage_MapRead);
SAME_NUMBER(WGPU_USAGE_COPY_SRC, WGPUBufferUsage_CopySrc);
SAME_NUMBER(WGPU_USAGE_COPY_DST, WGPUBufferUsage_CopyDst);
SAME_NUMBER(WGPU_USAGE_UNIFORM, WGPUBufferUsage_Uniform);
SAME_NUMBER(WGPU_USAGE_STORAGE, WGPUBufferUsage_Storage);
SAME_NUMBER(WGPU_MAP_READ, WGPUMapMode_Read);
SAME_NUMBER(WGPU_STAGE_COMPUTE, WGPUShaderStage_Compute);
SAME_NUMBER(WGPU_BINDING_UNIFORM, WGPUBufferBindingType_Uniform);
SAME_NUMBER(WGPU_BINDING_STORAGE, WGPUBufferBindingType_Storage);
SAME_NUMBER(WGPU_BINDING_READ_ONLY, WGPUBufferBindingType_ReadOnlyStorage);
SAME_NUMBER(0, WGPUBufferMapAsyncStatus_Success);
SAME_NUMBER(0, WGPUQueueWorkDoneStatus_Success);
SAME_NUMBER(0, WGPURequestDeviceStatus_Success);
SAME_NUMBER(0, WGPUAdapterType_DiscreteGPU);
SAME_NUMBER(1, WGPUAdapterType_IntegratedGPU);
SAME_NUMBER(2, WGPUAdapterType_CPU);
SAME_NUMBER(4, WGPUBackendType_D3D12);
SAME_NUMBER(5, WGPUBackendType_Metal);
SAME_NUMBER(6, WGPUBackendType_Vulkan);

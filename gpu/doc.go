// Package gpu runs WGSL compute kernels on any GPU that WebGPU reaches: Vulkan,
// Metal or Direct3D 12.
//
// It is a dozen calls wide: open a device, make buffers, write them, compile
// kernels, run dispatches, read the results, close.
//
//	dev, err := gpu.OpenDevice(ctx, gpu.Config{})
//	x, err := dev.NewBuffer("x", 4*1024)
//	double, err := dev.Kernel(gpu.KernelSource{Label: "double", Entry: "double", WGSL: `
//		@group(0) @binding(0) var<storage, read_write> x: array<f32>;
//		@compute @workgroup_size(64)
//		fn double(@builtin(global_invocation_id) id: vec3<u32>) { x[id.x] = 2.0 * x[id.x]; }`})
//	err = dev.Write(ctx, x, 0, data)
//	err = dev.Run(ctx, gpu.Dispatch{Kernel: double, Bindings: []gpu.Binding{x.All()}, Groups: [3]uint32{16, 1, 1}})
//	err = dev.Read(ctx, x, 0, data)
//
// # Tensors
//
// On top of this stands [Backend], which [Open] returns: it runs the operations of
// package tensor, with the kernels of package shaders. Which kernels it chooses
// depends on the kind of adapter and on shapes alone, and their sums have a fixed
// order, so that the same operations on the same GPU give the same bits. Operands
// beyond one binding are worked on in parts, where the operation allows it; others
// give tensor.ErrUnsupported. Views of a tensor must start at a multiple of 256
// bytes.
//
// # Kernels and their bindings
//
// The layout of a kernel is read from its WGSL text: the variables of
// @group(0) that its entry point uses, directly or through the functions it
// calls. One of them may be `var<uniform>`; it takes Dispatch.Params. The others
// are `var<storage, read>` or `var<storage, read_write>`; Dispatch.Bindings lists
// their buffers in rising order of @binding. Variables that the entry point does
// not use take no place in the list, so that one module may hold several entry
// points that give the same binding numbers to different variables.
//
// # Order, waiting and time
//
// Writes, runs and reads of one goroutine take effect in the order of the calls.
// Write and Run return before the GPU is done; Read and Sync wait. Run cuts its
// dispatches into submissions that the device is expected to finish within
// Config.SubmitBudget, because drivers reset a GPU that does not answer for some
// seconds. A single dispatch is never cut: keep it short.
//
// Cancelling a context gives control back within a few milliseconds. Work that
// was submitted runs on, work that was not is dropped; the device stays usable,
// and the contents of buffers that the cancelled call writes are undefined.
//
// # Errors
//
// Arguments are checked before anything reaches the native library, because that
// library ends the process on some bad calls. Errors wrap one of the Err
// variables of this package. Some things cannot be turned into errors. A driver that
// loses the device (a crash or a reset of the GPU), or has no memory for a command
// buffer, ends the process in the native library, at the next submission or poll: long
// work must be saved from time to time, and a process that must not end lets another
// one compute (tune.Isolate of package peft/tune). A loop that never ends inside a
// shader blocks the device until Config.HangTimeout, after which every call returns
// ErrLost.
//
// # Concurrency and memory
//
// A Device, its Buffers and Kernels may be used by several goroutines at once;
// calls of different goroutines take effect in some order. Close releases a
// buffer once the work that uses it is done. A Device owns its buffers and
// kernels: closing it closes them.
//
// # Builds
//
// The native library comes with github.com/cogentcore/webgpu and needs cgo.
// Without cgo, with the build tag nogpu, or on a platform that the library is
// not built for, this package has the same functions, and OpenDevice and
// Adapters return ErrUnavailable.
//
// Two things are per process, not per Device: the native WebGPU instance, which
// is made at the first call of OpenDevice or Adapters and lives until the process
// ends, and the log of the native library, which this package turns off.
package gpu

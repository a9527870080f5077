package gpu

import "errors"

// The kinds of errors of this package, for errors.Is.
var (
	// ErrUnavailable says that there is no GPU to open: none in the machine, no
	// driver, or a build without GPU support.
	ErrUnavailable = errors.New("gpu: unavailable")
	// ErrClosed says that the device, buffer or kernel was closed before.
	ErrClosed = errors.New("gpu: closed")
	// ErrLost says that the device stopped working. It stays so: close it, and
	// open another one.
	ErrLost = errors.New("gpu: device lost")
	// ErrMemory says that the GPU, or Config.MemoryLimit, has no room.
	ErrMemory = errors.New("gpu: out of memory")
	// ErrLimit says that an argument is beyond the limits of the device.
	ErrLimit = errors.New("gpu: beyond a limit of the device")
	// ErrKernel says that a kernel does not compile or cannot be run by this package.
	ErrKernel = errors.New("gpu: kernel refused")
	// ErrArgument says that the arguments of a call do not fit together.
	ErrArgument = errors.New("gpu: invalid argument")
)

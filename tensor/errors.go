package tensor

import "errors"

// Kinds of failure, to be tested with errors.Is.
var (
	// ErrShape: operands whose shapes don't fit together, or an index out of range.
	ErrShape = errors.New("shape mismatch")
	// ErrType: an operand of an element type that the operation doesn't take.
	ErrType = errors.New("element type not supported here")
	// ErrMemory: an allocation beyond what the backend has or may use.
	ErrMemory = errors.New("out of memory")
	// ErrClosed: a tensor or backend was used after Close.
	ErrClosed = errors.New("already closed")
	// ErrUnsupported: the backend has no kernel for the operation.
	ErrUnsupported = errors.New("operation not supported by this backend")
	// ErrFormat: a file whose contents break its format.
	ErrFormat = errors.New("malformed file")
)

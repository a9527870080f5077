// Package tensor is a small compute library: tensors, the operations a
// transformer and its training need, and a CPU backend that runs them.
//
// An operation is a plain struct that names its operands, for example
//
//	tensor.MatMul{Out: y, X: x, W: w}
//
// Operations are recorded on a [Pass] and run, in order, when the pass is
// submitted to a [Backend]. The CPU backend of this package is the reference
// for every other backend: the formula of an operation is written down once,
// in the file that bears its name, next to its backward operations.
//
// # Errors
//
// Nothing here panics on bad shapes. [Pass.Do] checks each operation and keeps
// the first error; [Pass.Submit] returns it, wrapped around one of the sentinels
// [ErrShape], [ErrType], [ErrMemory], [ErrClosed] or [ErrUnsupported].
//
// # Memory and concurrency
//
// A tensor's memory belongs to its backend. [Tensor.Close] gives it back early,
// [Backend.Close] gives back all of it. A backend may be used by several
// goroutines; a Pass belongs to one.
package tensor

// Package optest is a conformance suite for the operations of package tensor: a
// fixed grid of cases that runs on any [tensor.Backend] and compares each result
// with the float64 oracle.
//
//	func TestOps(t *testing.T) { optest.Run(t, backend) }
//
// Every case makes its inputs from a seed that follows from its name. Every
// tensor is a view in the middle of a larger allocation whose other values are
// NaN, so that a read beyond an operand spoils the result; operands that are only
// written start as NaN, so that a missing write is seen. Afterwards the values
// around each tensor, and those of inputs, must be what they were, bit for bit.
package optest

// Package shaders holds the text of the compute kernels that package gpu runs, in
// WGSL (https://www.w3.org/TR/WGSL/), and nothing else.
//
// # Form of a file
//
// A file belongs to one operation and bears its name. It begins with a comment
// that says what it computes, in one sentence, followed by these five headings in
// this order, each with at least a line of text:
//
//	// RMSNorm over rows.
//	//
//	// Formula:  out[n,d] = x[n,d] / r[n] · (OFFSET + w[d])
//	// Shapes:   out, x [N, D]; w [D]; r [N]
//	// Bindings: 0 out, 1 r, 2 x, 3 w, 4 params
//	// Grid:     one workgroup per row
//	// Consts:   THREADS, the size of a workgroup; OFFSET, 0 or 1
//
// Letters in shapes are sizes: N tokens, D values of a row. Where a file has several
// entry points, a heading says which is meant ("backward: …").
//
// The body follows: structs, bindings, functions, entry points. Constants and
// type aliases that the headings list under Consts are not declared in the file:
// package gpu puts them in front of it, so that one text serves several shapes.
// Some files are only a part that others are put behind; their Grid is "none".
//
// # What the kernels keep to
//
// The limits that every WebGPU implementation grants (8 storage bindings, 16 KiB of
// workgroup memory, 256 invocations in a workgroup), and no extension. Sums are
// formed in an order that depends on nothing but shapes, without atomics, so that
// the same input gives the same bits. No invocation does more than 60,000 loop
// iterations, because one software implementation stops loops after 65,535.
package shaders

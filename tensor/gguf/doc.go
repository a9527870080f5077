// Package gguf reads and writes GGUF files, the format of llama.cpp and its relatives
// (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), versions 2 and 3, little-endian:
//
//	"GGUF", version u32, tensors u64, keys u64
//	key string, type u32, value                      for each key
//	name string, n u32, n dimensions u64, type u32, offset u64   for each tensor, the innermost dimension first
//	padding to general.alignment, then the tensors' data at their offsets
//
// A string is a length u64 and its bytes; an array is an element type u32, a count u64 and the elements.
//
// Files come from strangers. Every count and size is checked against what is left of the file before anything is
// allocated; tensors must lie in the file, aligned and apart; keys and names must be unique. Nothing is read of a
// tensor until it is asked for.
package gguf

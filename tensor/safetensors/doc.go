// Package safetensors reads and writes the safetensors format of Hugging Face:
// one file, or a checkpoint sharded over several with an index.
//
// The format (https://github.com/huggingface/safetensors, section "Format") is a
// little-endian u64 header length, a JSON header that gives each tensor's type,
// shape and byte range, and the data. Files are taken to come from strangers:
// every rule of the format is checked before anything is allocated, and errors
// wrap tensor.ErrFormat and name the tensor.
package safetensors

// Package formats reads and writes adapters as other programs keep them: HF PEFT,
// AdapterHub, mlx-lm, litgpt (reading only) and llama.cpp (GGUF). What they have in
// common is a peft.State; all of them are translated to it and from it.
//
//	state, format, err := formats.Read("adapter", formats.Options{})
//	err = formats.Write("adapter.gguf", state, formats.GGUF, formats.Options{Model: config})
//
// A format that can't express an adapter refuses it by name: nothing is lost in
// silence. Errors wrap the sentinels of packages peft, transformer and tensor.
package formats

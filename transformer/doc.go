// Package transformer runs and differentiates Llama, Mistral and Gemma models.
//
// A [Model] is a checkpoint's weights on a [tensor.Backend], in the types they
// are stored in. They are frozen: a model is only read, and any number of runs may
// share it. A [Run] owns the buffers for batches of up to a given size; it
// computes logits, losses and, through an explicit backward pass, gradients:
//
//	m, err := transformer.Load(ctx, backend, os.DirFS("llama-2-7b"), transformer.LoadOptions{})
//	r, err := m.NewRun(transformer.RunOptions{Batch: 1, Length: 512})
//	err = r.Forward(ctx, transformer.Batch{IDs: ids})
//	logits, err := r.Logits(ctx, r.LastRows())
//
// A [Checkpoint] is a model as it is stored: a Hugging Face directory, packed by
// bitsandbytes or not, or a GGUF file. Whatever the files are, its tensors have HF's
// names, shapes and order of rows, and are read a few rows at a time. What changes
// them, a conversion or a merged adapter, is put around the reading of rows, and
// the result can be loaded or written like any other.
//
// Besides the families that have names, there are toys ([Toy]): models small enough to be
// understood whole, of attention alone if wanted. [Random] makes a model of any kind with
// fresh weights, to be trained from the start.
//
// What is trained plugs in from outside: an [Adapter] adds soft prompts in front
// of the sequence and linear maps beside the projections. Every activation has
// the name that TransformerLens gives it, see [Site].
//
// Errors wrap [ErrCheckpoint], [ErrUnsupported] or the sentinels of package tensor.
// A Model is safe for concurrent use; a Run belongs to one goroutine. Close frees
// what each of them owns.
package transformer

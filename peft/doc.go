// Package peft trains small additions to a frozen model: soft prompts and LoRA
// matrices, in the file format of Hugging Face PEFT.
//
//	lora, err := peft.NewLoRA(ctx, model, peft.LoRAConfig{Rank: 8, Alpha: 16})
//	run, err := model.NewRun(transformer.RunOptions{Batch: 8, Length: 128, Train: true, Adapters: []transformer.Adapter{lora}})
//	for step, err := range peft.Train(ctx, run, lora, batches, peft.TrainConfig{Steps: 300, LR: 1e-3}) {
//		…
//	}
//	err = peft.Save(ctx, "out", lora, peft.SaveOptions{})
//
// A [Method] is one such addition. It plugs into a run as a transformer.Adapter and
// holds its parameters, gradients and optimizer state in flat tensors, so that an
// optimizer step is a handful of operations whatever the number of matrices.
//
// Training is an iterator: the caller's loop sees each step, logs, evaluates and
// stops by leaving it. Nothing is printed and no file is written but by Save.
// Errors wrap [ErrConfig], [ErrMismatch], [ErrDiverged] or the sentinels of packages
// transformer and tensor.
package peft

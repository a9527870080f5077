// Package circuits trains toys that can be understood whole, and shows how they do what they
// do: transformer circuits by example.
//
//	example := circuits.Max{Seed: 1}
//	task, err := example.Task()
//	training, err := task.Start(ctx, backend)
//	for step, err := range training.Steps(ctx) {
//		fmt.Println(step.Step, step.Loss)
//	}
//	checkpoint, err := training.Checkpoint(ctx)
//	model, err := checkpoint.Load(ctx, backend, transformer.LoadOptions{})
//	report, err := example.Inspect(ctx, model)
//	err = view.HTML(w, report.Page())
//
// [Max] is one attention head that finds the largest number of a list; [Induction] is two
// layers of attention heads that go on with what has been there before. Each is a [Task] for a
// toy (transformer.Toy), all of whose weights are trained on fresh random data, and an Inspect
// that takes it apart with package interp. Data, first weights and so, on the same backend, the
// whole report follow from a seed.
//
// Errors wrap [ErrConfig] or the sentinels of packages peft, transformer and tensor.
package circuits

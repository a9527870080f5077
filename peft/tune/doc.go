// Package tune carries a training run through: it evaluates and samples on the way, stops
// early, keeps the best, and saves checkpoints from which a run goes on bit for bit.
//
//	for step, err := range tune.Run(ctx, tune.Job{Run: run, Method: method, Data: data, Config: config}) {
//		…
//	}
//
// The caller prints and logs; the package writes nothing but checkpoints. The plain loop
// is peft.Train.
//
// A run is determined by its configuration, data and seeds: the batches of a step follow
// from its number, so do the seeds of dropout, and neither backend adds numbers in an
// order that varies. A checkpoint therefore holds the parameters, what the optimizer
// remembers, and the number of steps; see Checkpoint.
//
// Cancelling the context ends a run after the step that is going on, with a checkpoint.
//
// Isolate carries a run through in another process, which a GPU's driver may end without
// any loss but of time.
//
// Errors wrap ErrCheckpoint, or what peft.Trainer and the functions of a Job return.
package tune

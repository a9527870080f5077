// Package runlog keeps what is measured in each step of a training run: as JSON
// lines, as CSV, and as TensorBoard event files.
//
//	log, err := runlog.OpenJSONL("log.jsonl", 0)
//	err = log.Write(runlog.Record{Step: 1, Loss: 3.77, LR: 2e-4})
//	err = log.Close()
//	records, err := runlog.ReadFile("log.jsonl")
//
// # Going on
//
// A run that goes on from a checkpoint after step n opens its logs with n. Records of
// later steps, which the run that was broken off has left behind, are cut away, and so
// is a last line that is not whole: the log becomes the one of a run that was never
// broken off. TensorBoard's files are only ever added to; a new file says from which
// step on the older ones no longer count.
//
// Errors name the file and the line; they wrap [ErrFormat] or those of package os.
package runlog

package runlog

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// ErrFormat is wrapped by errors about a log that this package has not written.
var ErrFormat = errors.New("not a log of training steps")

// Record is what is measured in one step of training.
type Record struct {
	Step       int     // the first is 1
	Epoch      float64 // passes over the training data, after the step
	Loss       float64 // mean over the step's targets in nats, before the update
	LR         float64 // learning rate
	GradNorm   float64 // before clipping
	Tokens     int     // of the step, without virtual ones and padding
	TokensPerS float64
	StepMS     float64 // milliseconds
	PeakBytes  int64   // most memory of the device that was taken so far; 0: not known

	// What was measured after the step on examples that are held out; nil: nothing.
	ValLoss  *float64 // mean over the targets, in nats
	ValPPL   *float64 // perplexity: exp(ValLoss)
	Accuracy *float64 // targets that had the highest logit, 0 to 1
}

// column is a field of a record as files have it.
type column struct {
	name string // in JSON and CSV
	tag  string // in TensorBoard; "": not there
	get  func(*Record) *float64
	set  func(*Record, float64)
}

// always makes a column of a field that every record has.
func always[T int | int64 | float64](name, tag string, field func(*Record) *T) column {
	return column{
		name, tag,
		func(r *Record) *float64 { x := float64(*field(r)); return &x },
		func(r *Record, x float64) { *field(r) = T(x) },
	}
}

// sometimes makes a column of a field that may be nil.
func sometimes(name, tag string, field func(*Record) **float64) column {
	return column{
		name, tag,
		func(r *Record) *float64 { return *field(r) },
		func(r *Record, x float64) { *field(r) = &x },
	}
}

// columns are all fields, in the order of files. Step is the first.
var columns = []column{
	always("step", "", func(r *Record) *int { return &r.Step }),
	always("epoch", "train/epoch", func(r *Record) *float64 { return &r.Epoch }),
	always("loss", "train/loss", func(r *Record) *float64 { return &r.Loss }),
	always("lr", "train/lr", func(r *Record) *float64 { return &r.LR }),
	always("grad_norm", "train/grad_norm", func(r *Record) *float64 { return &r.GradNorm }),
	always("tokens", "train/tokens", func(r *Record) *int { return &r.Tokens }),
	always("tokens_per_s", "train/tokens_per_s", func(r *Record) *float64 { return &r.TokensPerS }),
	always("step_ms", "train/step_ms", func(r *Record) *float64 { return &r.StepMS }),
	always("peak_bytes", "train/peak_bytes", func(r *Record) *int64 { return &r.PeakBytes }),
	sometimes("val_loss", "eval/loss", func(r *Record) **float64 { return &r.ValLoss }),
	sometimes("val_ppl", "eval/perplexity", func(r *Record) **float64 { return &r.ValPPL }),
	sometimes("mean_token_accuracy", "eval/accuracy", func(r *Record) **float64 { return &r.Accuracy }),
}

// MarshalJSON writes an object. Numbers that JSON can't hold become null; what was not
// measured is left out.
func (r Record) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for _, c := range columns {
		x := c.get(&r)
		if x == nil {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, "%q:", c.name)
		if text := number(*x); text != "" {
			b = append(b, text...)
		} else {
			b = append(b, "null"...)
		}
	}
	return append(b, '}'), nil
}

// UnmarshalJSON reads what MarshalJSON writes; null becomes NaN. Names that are not
// known are passed over, names that are missing stay as they are. A step is needed.
func (r *Record) UnmarshalJSON(b []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if fields["step"] == nil {
		return fmt.Errorf("%w: no step", ErrFormat)
	}
	for _, c := range columns {
		text, ok := fields[c.name]
		if !ok {
			continue
		}
		x := math.NaN()
		if string(text) != "null" {
			if err := json.Unmarshal(text, &x); err != nil {
				return fmt.Errorf("%w: %s: %w", ErrFormat, c.name, err)
			}
		}
		c.set(r, x)
	}
	return nil
}

// number returns the shortest text that stands for a number, "" for NaN and ±Inf.
func number(x float64) string {
	text, err := json.Marshal(x)
	if err != nil {
		return ""
	}
	return string(text)
}

package peft

import (
	"fmt"
	"math"
)

// Schedule is how the learning rate changes over the steps.
type Schedule string

// The schedules, each with a linear warm-up, as transformers' get_scheduler
// defines them.
const (
	Constant Schedule = "constant"
	Linear   Schedule = "linear" // down to 0 after the last step
	Cosine   Schedule = "cosine" // half a cosine, down to 0
)

func (s Schedule) check() error {
	switch s {
	case Constant, Linear, Cosine, "":
		return nil
	}
	return fmt.Errorf("schedule %q (known: constant, linear, cosine): %w", s, ErrConfig)
}

// Factor returns what the learning rate is multiplied by at a step, counted from
// 0, of a run of so many steps. The first step of a warm-up has rate 0.
func (s Schedule) Factor(step, warmup, steps int) float64 {
	if step < warmup {
		return float64(step) / float64(warmup)
	}
	done := float64(step-warmup) / float64(max(1, steps-warmup))
	switch s {
	case Linear:
		return max(0, 1-done)
	case Cosine:
		return max(0, 0.5*(1+math.Cos(math.Pi*done)))
	}
	return 1
}

package peft

import (
	"fmt"
	"math"
	"slices"
)

// Schedule is how the learning rate changes over the steps.
type Schedule string

// The schedules, each with a linear warm-up, as transformers' get_scheduler
// defines them.
const (
	Constant    Schedule = "constant"
	Linear      Schedule = "linear"       // down to the least after the last step
	Cosine      Schedule = "cosine"       // half a cosine, down to the least
	InverseSqrt Schedule = "inverse-sqrt" // with 1/√step, not below the least
)

// inverseSqrtScale is the number of steps after which a rate without warm-up begins to
// fall noticeably: transformers' default.
const inverseSqrtScale = 10_000

// Schedules returns all schedules.
func Schedules() []Schedule { return []Schedule{Linear, Cosine, InverseSqrt, Constant} }

func (s Schedule) check() error {
	if s == "" || slices.Contains(Schedules(), s) {
		return nil
	}
	return fmt.Errorf("schedule %q (known: %v): %w", s, Schedules(), ErrConfig)
}

// Factor returns what the learning rate is multiplied by at a step, counted from 0, of a
// run of so many steps. The first step of a warm-up has rate 0. After it the factor falls
// from 1 to least, which a constant rate doesn't heed: with the factor f of a schedule
// that ends at 0, it is least + (1−least)·f, as transformers' cosine_with_min_lr has it.
func (s Schedule) Factor(step, warmup, steps int, least float64) float64 {
	if step < warmup {
		return float64(step) / float64(warmup)
	}
	done := min(float64(step-warmup)/float64(max(1, steps-warmup)), 1)
	switch s {
	case Linear:
		return least + (1-least)*(1-done)
	case Cosine:
		return least + (1-least)*max(0, 0.5*(1+math.Cos(math.Pi*done)))
	case InverseSqrt:
		scale := warmup
		if scale == 0 {
			scale = inverseSqrtScale
		}
		return max(least, math.Sqrt(float64(scale)/float64(step-warmup+scale)))
	}
	return 1
}

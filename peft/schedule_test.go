package peft_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/gpupeft/gpupeft/peft"
)

// TestAnySchedule: a learning rate is never negative or above the one that is given, rises evenly
// while it warms up, and never rises afterwards, nor falls below the least.
func TestAnySchedule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.SampledFrom(peft.Schedules()).Draw(t, "schedule")
		steps := rapid.IntRange(1, 300).Draw(t, "steps")
		warmup := rapid.IntRange(0, steps).Draw(t, "warmup")
		least := rapid.Float64Range(0, 1).Draw(t, "least")
		before := -1.0
		for step := range steps + 10 { // a run that goes on longer than was planned
			f := s.Factor(step, warmup, steps, least)
			switch {
			case !(f >= 0 && f <= 1):
				t.Fatalf("step %d: %v", step, f)
			case step < warmup && !(f > before):
				t.Fatalf("step %d of the warm-up: %v after %v", step, f, before)
			case step >= warmup && f < least:
				t.Fatalf("step %d: %v is less than %v", step, f, least)
			case step > warmup && f > before:
				t.Fatalf("step %d after the warm-up: %v after %v", step, f, before)
			case step == warmup && f != 1:
				t.Fatalf("after the warm-up: %v", f)
			}
			before = f
		}
	})
}

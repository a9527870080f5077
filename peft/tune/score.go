package tune

import (
	"fmt"
	"math"

	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/transformer"
)

// Score is how well a model predicts examples that are held out.
type Score struct {
	Loss     float64  `json:"loss"`                  // mean over the targets, in nats
	Accuracy float64  `json:"accuracy"`              // targets that had the highest logit, 0 to 1
	Exact    *float64 `json:"exact_match,omitempty"` // rows whose answer is right as a whole, 0 to 1; nil: not measured
	// Rows whose right answer was the likeliest of their choices, 0 to 1, as Chosen has
	// them; nil: not measured.
	Class           *float64 `json:"class_accuracy,omitempty"`
	ClassNormalized *float64 `json:"class_accuracy_norm,omitempty"`

	Targets int `json:"targets"`
}

// ScoreOf makes a score of a loss over all examples.
func ScoreOf(l transformer.Loss) Score {
	return Score{Loss: l.Mean(), Accuracy: float64(l.Correct) / float64(max(1, l.Tokens)), Targets: l.Tokens}
}

// Perplexity returns exp(Loss).
func (s Score) Perplexity() float64 { return math.Exp(s.Loss) }

// Metric is what makes one score better than another.
type Metric string

// The metrics.
const (
	Loss     Metric = "loss" // the lower, the better
	Accuracy Metric = "accuracy"
	Exact    Metric = "exact"
	Class    Metric = "class"
)

// Metrics returns all metrics.
func Metrics() []Metric { return []Metric{Loss, Accuracy, Exact, Class} }

// of returns the metric of a score such that more is better. Errors wrap peft.ErrConfig.
func (m Metric) of(s Score) (float64, error) {
	switch m {
	case Loss, "":
		return -s.Loss, nil
	case Accuracy:
		return s.Accuracy, nil
	case Exact:
		if s.Exact == nil {
			return 0, fmt.Errorf("metric exact: the held-out data has no answers to compare: %w", peft.ErrConfig)
		}
		return *s.Exact, nil
	case Class:
		if s.Class == nil {
			return 0, fmt.Errorf("metric class: the held-out data has no classes or choices: %w", peft.ErrConfig)
		}
		return *s.Class, nil
	}
	return 0, fmt.Errorf("metric %q (known: %v): %w", m, Metrics(), peft.ErrConfig)
}

// better says whether a score beats another.
func (m Metric) better(s, than Score) (bool, error) {
	x, err := m.of(s)
	if err != nil {
		return false, err
	}
	y, err := m.of(than)
	return x > y, err
}

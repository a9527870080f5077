package circuits

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/transformer"
)

// Max is the largest number of a list: one layer of attention with one head, without norms, MLP
// or biases, that is given K numbers and says the largest after the last. The sizes and the
// training are those of Gross et al. 2024 (Compact Proofs of Model Performance via Mechanistic
// Interpretability, arXiv 2406.11779); the example is from a post of Felix Hofstätter's (2023,
// LessWrong CJsxd8ofLjGFxkmAP). A zero field means what its comment says.
type Max struct {
	Numbers int    `json:"numbers"` // of a list, K; 0 means 4
	Vocab   int    `json:"vocab"`   // numbers are 0 … Vocab−1; 0 means 64
	Width   int    `json:"width"`   // of the stream and the head, even; 0 means 32
	Steps   int    `json:"steps"`   // of training; 0 means 3000
	Batch   int    `json:"batch"`   // lists of a step; 0 means 128
	Tests   int    `json:"tests"`   // lists that accuracies are measured on; 0 means 100,000
	Seed    uint64 `json:"seed"`
}

// withDefaults fills in the zero fields.
func (m Max) withDefaults() Max {
	sizes{{&m.Numbers, 4}, {&m.Vocab, 64}, {&m.Width, 32}, {&m.Steps, 3000}, {&m.Batch, 128}, {&m.Tests, 100_000}}.fill()
	return m
}

// check refuses what makes no list.
func (m Max) check() error {
	if m.Numbers < 2 || m.Numbers > 256 || m.Vocab < 4 || m.Vocab > 1024 || m.Width < 2 || m.Width > 1024 || m.Width%2 != 0 ||
		m.Steps < 1 || m.Batch < 1 || m.Tests < 1 {
		return fmt.Errorf("lists of %d numbers below %d (2 to 256, 4 to 1024), width %d (even, 2 to 1024), %d steps of %d, %d tests: %w",
			m.Numbers, m.Vocab, m.Width, m.Steps, m.Batch, m.Tests, ErrConfig)
	}
	return nil
}

// Task is the training: AdamW, cross-entropy of the answer alone.
func (m Max) Task() (Task, error) {
	m = m.withDefaults()
	if err := m.check(); err != nil {
		return Task{}, err
	}
	return Task{
		Toy:       attention(m.Vocab, m.Numbers, m.Width, 1, 1),
		Deviation: deviation(m.Width),
		Batch:     func(rng *rand.Rand) transformer.Batch { return m.lists(rng, m.Batch) },
		Size:      m.Batch, Length: m.Numbers,
		Train: peft.TrainConfig{Steps: m.Steps, LR: 1e-3, WeightDecay: 0.01, Schedule: peft.Cosine},
		Seed:  m.Seed,
	}, nil
}

// lists are random, and each is followed by its largest number.
func (m Max) lists(rng *rand.Rand, n int) transformer.Batch {
	var b transformer.Batch
	for range n {
		list := make([]int32, m.Numbers)
		for i := range list {
			list[i] = rng.Int32N(int32(m.Vocab))
		}
		labels := slices.Repeat([]int32{transformer.Masked}, m.Numbers)
		b.IDs, b.Labels = append(b.IDs, list), append(b.Labels, append(labels, slices.Max(list)))
	}
	return b
}

package circuits

import (
	"fmt"
	"math/rand/v2"

	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/transformer"
)

// Induction is going on with what was there before: two layers of attention heads, without norms
// or MLPs, that see a few random tokens, the same tokens again, then other tokens, and so on, and
// say in each second round what comes next. How many tokens make a round isn't said and differs,
// and rounds begin anywhere, so that places alone don't tell: the toy must find where the present
// token was before, and what followed it (Olsson et al. 2022, In-context Learning and Induction
// Heads, arXiv 2209.11895). A zero field means what its comment says.
type Induction struct {
	Vocab  int    `json:"vocab"`  // 0 means 64
	Length int    `json:"length"` // of a sequence; 0 means 32
	Width  int    `json:"width"`  // of the stream; 0 means 64
	Heads  int    `json:"heads"`  // of each layer, Width/Heads even; 0 means 2
	Steps  int    `json:"steps"`  // of training; 0 means 1500
	Batch  int    `json:"batch"`  // sequences of a step; 0 means 64
	Tests  int    `json:"tests"`  // sequences that accuracies are measured on; 0 means 2,000
	Seed   uint64 `json:"seed"`
}

func (n Induction) withDefaults() Induction {
	sizes{{&n.Vocab, 64}, {&n.Length, 32}, {&n.Width, 64}, {&n.Heads, 2}, {&n.Steps, 1500}, {&n.Batch, 64}, {&n.Tests, 2000}}.fill()
	return n
}

// check refuses what can't repeat.
func (n Induction) check() error {
	if n.Length < 8 || n.Length > 512 || n.Vocab < n.Length || n.Vocab > 1024 || n.Heads < 1 || n.Width < 2*n.Heads || n.Width > 1024 ||
		n.Width%(2*n.Heads) != 0 || n.Steps < 1 || n.Batch < 1 || n.Tests < 1 {
		return fmt.Errorf("sequences of %d tokens (8 to 512) out of %d (as many, to 1024), width %d (a multiple of twice the heads, to 1024), %d heads, %d steps of %d, %d tests: %w",
			n.Length, n.Vocab, n.Width, n.Heads, n.Steps, n.Batch, n.Tests, ErrConfig)
	}
	return nil
}

// Task is the training: AdamW, cross-entropy of what the first round tells.
func (n Induction) Task() (Task, error) {
	n = n.withDefaults()
	if err := n.check(); err != nil {
		return Task{}, err
	}
	return Task{
		Toy:       attention(n.Vocab, n.Length, n.Width, 2, n.Heads),
		Deviation: deviation(n.Width),
		Batch:     func(rng *rand.Rand) transformer.Batch { return n.rounds(rng, n.Batch) },
		Size:      n.Batch, Length: n.Length,
		Train: peft.TrainConfig{Steps: n.Steps, LR: 1e-3, WeightDecay: 0.01},
		Seed:  n.Seed,
	}, nil
}

// rounds makes sequences of tokens in two rounds each. Labels are the tokens of second rounds but
// for the first, which nothing tells.
func (n Induction) rounds(rng *rand.Rand, count int) transformer.Batch {
	var b transformer.Batch
	for range count {
		var ids, labels []int32
		fresh := rng.Perm(n.Vocab)
		for len(ids) < n.Length {
			period := n.Length/8 + rng.IntN(n.Length/8+1)
			for t := range 2 * period {
				id := int32(fresh[t%period])
				ids, labels = append(ids, id), append(labels, transformer.Masked)
				if t > period {
					labels[len(labels)-1] = id
				}
			}
			fresh = fresh[period:]
		}
		b.IDs, b.Labels = append(b.IDs, ids[:n.Length]), append(b.Labels, labels[:n.Length])
	}
	return b
}

package tune

import (
	"context"
	"math"
	"unicode/utf8"

	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/transformer"
)

// Chosen is how often a model finds the right answer the likeliest of those that a row
// could have, 0 to 1: by the probability of its tokens, and by that probability's
// logarithm divided by the characters of the answer, which doesn't favour short ones. They are
// the acc and acc_norm of EleutherAI's lm-evaluation-harness.
type Chosen struct{ Class, Normalized float64 }

// Choose scores a run by the choices of its rows, so many sequences at a time. Errors are
// those of the source and of the run.
func Choose(ctx context.Context, r *transformer.Run, choices *data.Choices, batch int) (Chosen, error) {
	var best [2]struct {
		loss   float64
		choice int
	}
	var right [2]int
	at, rows := 0, 0
	for l, err := range peft.Losses(ctx, r, data.Once(choices, batch)) {
		if err != nil {
			return Chosen{}, err
		}
		for each := l.Each; len(each) > 0; at++ {
			e, err := choices.Example(at)
			if err != nil {
				return Chosen{}, err
			}
			n, choice, loss := e.Targets(), choices.Choice(at), 0.0
			for _, x := range each[:n] {
				loss += float64(x)
			}
			each = each[n:]
			characters := utf8.RuneCountInString(e.Choices[choice].Name)
			for i, x := range []float64{loss, loss / float64(max(1, characters))} {
				if b := &best[i]; choice == 0 || x < b.loss || math.IsNaN(b.loss) {
					b.loss, b.choice = x, choice
				}
				if choice == len(e.Choices)-1 && best[i].choice == e.Class-1 {
					right[i]++
				}
			}
			if choice == 0 {
				rows++
			}
		}
	}
	return Chosen{float64(right[0]) / float64(max(1, rows)), float64(right[1]) / float64(max(1, rows))}, nil
}

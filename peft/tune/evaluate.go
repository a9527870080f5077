package tune

import (
	"context"

	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/transformer"
)

// Evaluate scores a run on examples, so many at a time, with exact matches; stop are the
// ids that end a text. Errors are those of the source and of the run.
func Evaluate(ctx context.Context, r *transformer.Run, s data.Source, batch int, stop []int32) (Score, error) {
	var total transformer.Loss
	var matches Matches
	at := 0 // in s
	for l, err := range peft.Losses(ctx, r, data.Once(s, batch)) {
		if err != nil {
			return Score{}, err
		}
		total = total.Add(l)
		for right := l.Right; len(right) > 0; at++ {
			e, err := s.Example(at)
			if err != nil {
				return Score{}, err
			}
			n := e.Targets()
			matches.Add(e, right[:n], stop)
			right = right[n:]
		}
	}
	sc := ScoreOf(total)
	sc.Exact = matches.Share()
	return sc, nil
}

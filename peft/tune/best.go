package tune

import (
	"context"

	"github.com/gpupeft/gpupeft/peft"
)

// kept is the best evaluation, with the parameters of that time if they are to be left.
type kept struct {
	Best
	values [][]float32 // in the order of Params.List; nil: not kept
}

// rank counts an evaluation after a step, and keeps it if it is the best.
func (s *session) rank(ctx context.Context, step int, score Score) error {
	better := s.best == nil
	if !better {
		var err error
		if better, err = s.Metric.better(score, s.best.Score); err != nil {
			return err
		}
	}
	if !better {
		s.waited++
		return nil
	}
	s.waited = 0
	s.best = &kept{Best: Best{step, score}}
	if !s.KeepBest {
		_, err := s.Metric.of(score)
		return err
	}
	var err error
	s.best.values, err = s.Method.Params().Read(context.WithoutCancel(ctx))
	return err
}

// restore gives the parameters the values of the best.
func (k *kept) restore(ctx context.Context, p *peft.Params) error { return p.Write(ctx, k.values) }

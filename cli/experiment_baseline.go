package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/peft/baseline"
	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/peft/experiment"
	"github.com/gpupeft/gpupeft/peft/results"
	"github.com/gpupeft/gpupeft/peft/tune"
)

// runBaseline scores a baseline on the data that the methods of its model and data set are
// evaluated on.
func (p *program) runBaseline(ctx context.Context, cell experiment.Cell) (t results.Trial, err error) {
	name, n, err := experiment.ParseBaseline(cell.Method)
	if err != nil {
		return t, err
	}
	err = p.asTune(ctx, io.Discard, io.Discard, cell.Settings, func(c *cli.Context) error {
		plan, err := newPlan(c)
		if err != nil {
			return err
		}
		j, err := newJob(c, plan, &output{result: io.Discard, talk: io.Discard, note: io.Discard})
		if err != nil {
			return err
		}
		defer j.close()
		if err := j.openData(c); err != nil {
			return err
		}
		if j.valid == nil {
			return errors.New("nothing is held out to evaluate on (val-split)")
		}
		t, err = j.baseline(c, name, n)
		return err
	})
	return t, err
}

// baseline scores one on the held-out data.
func (j *job) baseline(c *cli.Context, name string, n int) (results.Trial, error) {
	var s tune.Score
	switch name {
	case experiment.Majority:
		a, err := baseline.Majority(j.trainData, j.valid)
		if err == nil && a == nil {
			err = errors.New("the answers are too different from each other for a majority")
		}
		if err != nil {
			return results.Trial{}, err
		}
		m := map[string]float64{results.Exact.Name: a.Right}
		if j.plan.metric == tune.Class {
			m[results.Class.Name] = a.Right
		}
		return results.Trial{Metrics: m}, nil
	case experiment.NGram:
		var err error
		if s, err = baseline.NGram(c.Context, n, j.ckpt.Config.VocabSize, j.trainData, j.valid, j.stop); err != nil {
			return results.Trial{}, err
		}
		if !j.valid.Format.Answers() {
			s.Exact = nil
		}
	default:
		if err := j.loadModel(c); err != nil {
			return results.Trial{}, err
		}
		source, err := j.withShots(n)
		if err != nil {
			return results.Trial{}, err
		}
		choices, err := j.choicesOf(source)
		if err != nil {
			return results.Trial{}, err
		}
		if s, err = j.scoreBare(c.Context, source, choices); err != nil {
			return results.Trial{}, err
		}
	}
	return results.Trial{Metrics: scoreFrom(s).metrics()}, nil
}

// withShots puts n training rows before each held-out one. They are drawn once, by the
// seed.
func (j *job) withShots(n int) (data.Source, error) {
	if n == 0 {
		return j.valid, nil
	}
	if !j.valid.Format.Answers() {
		return nil, fmt.Errorf("few-shot: %s have no answers", j.valid.Format)
	}
	if n > j.trainData.Len() {
		return nil, fmt.Errorf("few-shot: %d rows of %d", n, j.trainData.Len())
	}
	f := data.FewShot{Source: j.valid, BOS: -1}
	for _, i := range rand.New(rand.NewPCG(j.plan.loader.Seed, 4)).Perm(j.trainData.Len())[:n] {
		e, err := j.trainData.Example(i)
		if err != nil {
			return nil, err
		}
		f.Shots = append(f.Shots, e)
	}
	tok, err := j.needTokens()
	if err != nil {
		return nil, err
	}
	if id, ok := tok.BOS(); ok {
		f.BOS = id
	}
	if j.chat.Template != nil { // which says itself how turns follow each other
		return f, nil
	}
	f.Stop = j.stop
	f.Between, err = tok.Encode("\n\n", false)
	return f, err
}

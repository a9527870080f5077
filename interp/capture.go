package interp

import (
	"context"
	"errors"
	"fmt"

	"github.com/bits-and-blooms/bitset"

	"github.com/gpupeft/gpupeft/transformer"
)

// Options says what to run, to change and to capture.
type Options struct {
	// Hooks are the names wanted, with the wildcards of path.Match: "*" stands for
	// any text, dots included. A pattern that matches nothing is an error. What is
	// captured is what an edit of the same hook has left.
	Hooks []string
	// Positions are the tokens whose values and logits are kept (of a pattern, the
	// queries); nil: all. Those of a soft prompt count, and come first.
	Positions *bitset.BitSet
	// StopAtLayer ends the run before a layer, so that there are no logits; −1 is the
	// last layer, 0 stops nowhere.
	StopAtLayer int
	// Edits change activations, in this order where they meet.
	Edits []Edit
	// Metric, if set, is differentiated: its gradient is captured at the same hooks.
	// Adapters get the gradients of their parameters, too.
	Metric Metric
	// Adapters are in place during the run, a soft prompt in front of each sequence.
	Adapters []transformer.Adapter
	// Task says which of a soft prompt's tasks it is of.
	Task int

	noLogits bool // the stream behind the last layer is wanted, and nothing after it
}

// Trace is what a run left behind.
type Trace struct {
	Tokens      [][]int32             // with those of a soft prompt, which are negative
	Activations map[string]Activation // by hook name
	Gradients   map[string]Activation // of Metric, by hook name; nil without one
	Logits      Activation            // [B, T, V]; empty after StopAtLayer
	Value       float64               // of Metric
}

// Capture runs sequences of equal length, with edits if there are any, and returns the
// wanted activations and the logits: run_with_cache and run_with_hooks in one.
func Capture(ctx context.Context, m *transformer.Model, ids [][]int32, o Options) (*Trace, error) {
	s, err := newSession(ctx, m, ids, o)
	if err != nil {
		return nil, err
	}
	batch := withPrompt(s.run, ids, o.Task)
	t := newTrace(batch.IDs, o)
	t.Value, err = s.capture(batch, func(c captured, a Activation) error {
		t.keep(c, a)
		return nil
	}, func(a Activation) error {
		t.Logits = a
		return nil
	})
	if err = errors.Join(err, s.close()); err != nil {
		return nil, err
	}
	return t, nil
}

// newTrace is a trace of a run that is to come.
func newTrace(tokens [][]int32, o Options) *Trace {
	t := &Trace{Tokens: tokens, Activations: map[string]Activation{}}
	if o.Metric != nil {
		t.Gradients = map[string]Activation{}
	}
	return t
}

// keep adds what has been captured.
func (t *Trace) keep(c captured, a Activation) {
	if c.grad {
		t.Gradients[c.site.String()] = a
	} else {
		t.Activations[c.site.String()] = a
	}
}

// checkSequences makes sure that all are equally long.
func checkSequences(ids [][]int32) error {
	if len(ids) == 0 {
		return fmt.Errorf("no sequences: %w", transformer.ErrInput)
	}
	for _, s := range ids {
		if len(s) != len(ids[0]) {
			return fmt.Errorf("sequences of %d and %d tokens: %w", len(ids[0]), len(s), transformer.ErrInput)
		}
	}
	return nil
}

// virtualTokens is what adapters put in front of each sequence.
func virtualTokens(adapters []transformer.Adapter) int {
	n := 0
	for _, a := range adapters {
		if v, ok := a.(interface{ VirtualTokens() int }); ok {
			n += v.VirtualTokens()
		}
	}
	return n
}

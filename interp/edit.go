package interp

import (
	"fmt"
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/gpupeft/gpupeft/transformer"
)

// Edit changes activations during a run, as TransformerLens' run_with_hooks does. All
// later activations follow from the changed ones, and so do gradients.
type Edit struct {
	Hook      string         // a name, or a pattern as in Options.Hooks
	Sequences *bitset.BitSet // which sequences of the batch; nil: all
	Positions *bitset.BitSet // which tokens (the queries of a pattern); nil: all
	Heads     *bitset.BitSet // which heads; nil: all. hook_k, hook_rot_k and hook_v have key heads: see KVHead
	Keys      *bitset.BitSet // which keys of a pattern or of scores; nil: all
	Change    Change
}

// KVHead returns the key head that a query head reads.
func KVHead(c *transformer.Config, head int) int { return head / (c.Heads / c.KVHeads) }

// Change says what becomes of an edit's values x: factor·x + shift. Scores that are
// masked stay so, whatever the change.
type Change struct {
	factor float32
	shift  func(h hooked) ([]float32, error) // of all values of the hook; nil: none
}

// hooked is an activation that is about to be changed.
type hooked struct {
	layout
	name string
	edit Edit
	read func() ([]float32, error) // its values
}

// Zero removes values (zero ablation).
func Zero() Change { return Scale(0) }

// Scale multiplies values.
func Scale(factor float32) Change { return Change{factor: factor} }

// Set puts the given values in. There may be fewer than the hook has, if they are as
// many as its last dimension, last two, and so on: then they repeat.
func Set(values ...float32) Change {
	return Change{0, func(h hooked) ([]float32, error) { return repeated(h, values) }}
}

// Add adds the given values, which repeat as those of Set: a steering vector.
func Add(values ...float32) Change {
	return Change{1, func(h hooked) ([]float32, error) { return repeated(h, values) }}
}

// Patch puts in what another run had there (activation patching).
func Patch(from *Trace) Change {
	return Change{0, func(h hooked) ([]float32, error) {
		a, err := h.from(from)
		if err == nil && !slices.Equal(a.Shape, h.shape) {
			err = fmt.Errorf("patch %s: shape %v into %v: %w", h.name, a.Shape, h.shape, transformer.ErrInput)
		}
		return a.Values, err
	}}
}

// Mean puts in the mean over all sequences and tokens of a run (mean ablation); of this
// run itself, if from is nil. It counts as a constant: no gradient passes through it.
func Mean(from *Trace) Change {
	return Change{0, func(h hooked) ([]float32, error) {
		source := h.layout
		var values []float32
		var err error
		if from == nil {
			values, err = h.read()
		} else {
			var a Activation
			a, err = h.from(from)
			values, source.shape = a.Values, a.Shape
		}
		if err != nil {
			return nil, err
		}
		return meanOver(h, source, values)
	}}
}

// Func lets f change a copy of the hook's values on the host. What it makes of those
// that the edit is for counts as constant: no gradient passes through it.
func Func(f func(hook string, x Activation) error) Change {
	return Change{0, func(h hooked) ([]float32, error) {
		values, err := h.read()
		if err != nil {
			return nil, err
		}
		return values, f(h.name, Activation{h.shape, values})
	}}
}

// from finds the hook in another run.
func (h hooked) from(t *Trace) (Activation, error) {
	a, ok := t.Activations[h.name]
	if !ok {
		return a, fmt.Errorf("the run to take %s from hasn't captured it: %w", h.name, transformer.ErrInput)
	}
	return a, nil
}

// repeated fills the hook with values.
func repeated(h hooked, values []float32) ([]float32, error) {
	fits := len(values) == 1
	for d, n := len(h.shape)-1, 1; d >= 0; d-- {
		n *= h.shape[d]
		fits = fits || n == len(values)
	}
	if !fits {
		return nil, fmt.Errorf("%d values for %s of shape %v: %w", len(values), h.name, h.shape, transformer.ErrInput)
	}
	return slices.Repeat(values, h.size()/len(values)), nil
}

// meanOver averages values over sequences and tokens and lays the means out for h.
func meanOver(h hooked, source layout, values []float32) ([]float32, error) {
	same := slices.Clone(source.shape)
	same[0], same[source.position] = h.shape[0], h.shape[h.position]
	if !slices.Equal(same, h.shape) {
		return nil, fmt.Errorf("mean of %s: shape %v for %v: %w", h.name, source.shape, h.shape, transformer.ErrInput)
	}
	place := func(l layout, at []int) int { // along the other axes
		i := 0
		for d, x := range at {
			if d != 0 && d != l.position {
				i = i*l.shape[d] + x
			}
		}
		return i
	}
	rows := source.shape[0] * source.shape[source.position]
	sums := make([]float64, source.size()/rows)
	source.each(func(i int, at []int) { sums[place(source, at)] += float64(values[i]) })
	out := make([]float32, h.size())
	h.each(func(i int, at []int) { out[i] = float32(sums[place(h.layout, at)] / float64(rows)) })
	return out, nil
}

// check makes sure that the edit's sets fit the hook.
func (e Edit) check(hook string, l layout, length int) error {
	axis := func(what string, set *bitset.BitSet, axis int) error {
		if axis >= 0 {
			return check(what, hook, set, l.shape[axis])
		}
		if set != nil {
			return fmt.Errorf("%ss of %s, which has none: %w", what, hook, transformer.ErrInput)
		}
		return nil
	}
	for _, err := range []error{
		check("sequence", hook, e.Sequences, l.shape[0]), check("position", hook, e.Positions, length),
		axis("head", e.Heads, l.head), axis("key", e.Keys, l.key),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// operands returns the factor of every value, and the shift, or nil.
func (h hooked) operands() (factor, shift []float32, err error) {
	factor = make([]float32, h.size())
	var values []float32
	if h.edit.Change.shift != nil {
		if values, err = h.edit.Change.shift(h); err != nil {
			return nil, nil, err
		}
		if len(values) != h.size() {
			return nil, nil, fmt.Errorf("edit of %s: %d values, want %d: %w", h.name, len(values), h.size(), transformer.ErrInput)
		}
		shift = make([]float32, h.size())
	}
	e := h.edit
	h.each(func(i int, at []int) {
		factor[i] = 1
		if !has(e.Sequences, at[0]) || !has(e.Positions, h.tokens[at[h.position]]) || h.head >= 0 && !has(e.Heads, at[h.head]) ||
			h.key >= 0 && !has(e.Keys, at[h.key]) {
			return
		}
		if factor[i] = e.Change.factor; shift != nil {
			shift[i] = values[i]
		}
	})
	return factor, shift, nil
}

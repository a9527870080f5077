package transformer

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/gpupeft/gpupeft/tensor"
)

// Masked is the label of a token that isn't to be predicted, as in PyTorch.
const Masked = -100

// Batch is what goes into a run: sequences of token ids. Shorter ones are padded
// on the right, which changes nothing for the real tokens.
type Batch struct {
	// IDs are the tokens. Id −1−i stands for row i of the soft prompt.
	IDs [][]int32
	// Labels, if there is a loss, are in HF's convention: Labels[b][t] is what
	// token t itself is (predicted from the tokens before it), or Masked. Without
	// Documents there may be one more: what comes after the last token.
	Labels [][]int32
	// Documents, if a sequence is several texts one after the other ("packing"), gives
	// the lengths of each sequence's, which sum to its own. A document sees nothing of
	// the others: its positions begin anew, its tokens attend only to each other and to
	// a prefix, and its first token has no loss. Nil: each sequence is one.
	Documents [][]int
	// Dropout seeds the dropout of adapters; 0 switches it off.
	Dropout uint64
	// Tasks, if there is a soft prompt for several, says which is whose: one of each
	// document. WithPrompt reads it. Without it, all are of task 0.
	Tasks []int
}

// documents returns the lengths of a sequence's documents; the sequence has n tokens.
func (b Batch) documents(s, n int) []int {
	if b.Documents == nil {
		return []int{n}
	}
	return b.Documents[s]
}

// targets returns sequence and position of each token that has a loss, in order.
func (b Batch) targets() iter.Seq2[int, int] {
	return func(yield func(int, int) bool) {
		for s, labels := range b.Labels {
			first := 0
			for _, n := range b.documents(s, len(labels)) {
				for t := first + 1; t < min(first+n, len(labels)); t++ {
					if labels[t] != Masked && !yield(s, t) {
						return
					}
				}
				first += n
			}
		}
	}
}

// Targets counts the tokens that have a loss.
func (b Batch) Targets() int {
	n := 0
	for range b.targets() {
		n++
	}
	return n
}

// input holds the token ids and what goes with them, for each of N tokens.
type input struct {
	ids, positions *tensor.Tensor // [N] I32
	segments       *tensor.Tensor // [all keys] I32
	learned        *tensor.Tensor // [N, D] the positions' own vectors; nil without
	ropesReady     bool           // the tables of angles are written
}

func newInput(a *arena, c *Config, n, keys int) input {
	in := input{
		ids: a.new("ids", tensor.I32, n), positions: a.new("positions", tensor.I32, n), segments: a.new("segments", tensor.I32, keys),
	}
	if c.LearnedPositions {
		in.learned = a.new(PosEmbed.String(), tensor.F32, n, c.Hidden)
	}
	return in
}

// state says how far a run is with its batch.
type state uint8

const (
	empty state = iota
	forwarded
	hasLoss
)

// batch is what a run remembers of the last Forward.
type batch struct {
	sequences, length int   // padded
	lengths           []int // of each sequence
	packed            bool  // some are several documents
	segmented         bool  // some are that, or shorter than others
	given             Batch // with virtual tokens
	targets           int   // set by Loss
	state             state
}

// prepare checks a batch, uploads it, and lays out the activations for its shape.
func (r *Run) prepare(ctx context.Context, b Batch) error {
	if r.closed {
		return fmt.Errorf("run: %w", tensor.ErrClosed)
	}
	next, err := r.measure(b)
	if err != nil {
		return err
	}
	same := next.sequences == r.batch.sequences && next.length == r.batch.length
	if err := r.uploadRoPE(ctx); err != nil {
		return err
	}
	r.batch = next
	if !same {
		r.plan = r.newPlan(next.sequences, next.length, r.keys(next.length), func(k slotKey, shape []int) *tensor.Tensor {
			return view(r.slots[k], shape...)
		})
	}
	return r.upload(ctx, b)
}

// measure checks ids, labels and lengths.
func (r *Run) measure(b Batch) (batch, error) {
	next := batch{sequences: len(b.IDs), given: b}
	virtual := 0
	if r.adapters.prompt != nil {
		virtual = r.adapters.prompt.Rows.Rows()
	}
	for i, ids := range b.IDs {
		if err := r.model.checkIDs(ids, virtual); err != nil {
			return next, fmt.Errorf("sequence %d: %w", i, err)
		}
		next.lengths = append(next.lengths, len(ids))
		next.length = max(next.length, len(ids))
	}
	if err := b.checkDocuments(); err != nil {
		return next, err
	}
	next.packed = slices.ContainsFunc(b.Documents, func(lengths []int) bool { return len(lengths) > 1 })
	next.segmented = next.packed || len(next.lengths) > 0 && slices.Min(next.lengths) < next.length
	switch {
	case len(b.IDs) == 0 || len(b.IDs) > r.options.Batch || next.length > r.options.Length:
		return next, fmt.Errorf("%d sequences of up to %d tokens in a run for %d×%d: %w",
			len(b.IDs), next.length, r.options.Batch, r.options.Length, ErrInput)
	case r.model.Config.LearnedPositions && r.filled()+next.length > r.model.Config.MaxPositions:
		return next, fmt.Errorf("%d tokens after %d in a model of %d positions: %w", next.length, r.filled(), r.model.Config.MaxPositions, ErrInput)
	case r.cache != nil && next.segmented:
		return next, fmt.Errorf("sequences of different length or of several documents in a run with a cache: %w", ErrInput)
	case r.cache != nil && r.cache.filled+next.length > r.cache.keys:
		return next, fmt.Errorf("%d tokens after %d in a context of %d: %w", next.length, r.Cached(), r.options.Context, ErrInput)
	case r.Cached() > 0 && len(b.IDs) != r.batch.sequences:
		return next, fmt.Errorf("%d sequences go on, %d are cached: %w", len(b.IDs), r.batch.sequences, ErrInput)
	}
	if err := r.checkWindow(b, next.packed); err != nil {
		return next, err
	}
	return next, r.checkLabels(b)
}

// checkWindow refuses documents behind a prefix that reach beyond a layer's window: in a
// row of its own, the end of such a document wouldn't see all of the prefix, and which
// part it sees follows from where it stands in a row.
func (r *Run) checkWindow(b Batch, packed bool) error {
	prefix := r.adapters.prefixTokens()
	if !packed || prefix == 0 {
		return nil
	}
	for _, l := range r.model.Config.Layers {
		for s, lengths := range b.Documents {
			if n := slices.Max(lengths); l.Window > 0 && prefix+n > l.Window {
				return fmt.Errorf("sequence %d: a document of %d tokens behind a prefix of %d in a row with others, under a window of %d: %w", s, n, prefix, l.Window, ErrInput)
			}
		}
	}
	return nil
}

// checkDocuments makes sure that documents make up their sequences.
func (b Batch) checkDocuments() error {
	if b.Documents == nil {
		return nil
	}
	if len(b.Documents) != len(b.IDs) {
		return fmt.Errorf("documents of %d sequences for %d: %w", len(b.Documents), len(b.IDs), ErrInput)
	}
	for s, lengths := range b.Documents {
		sum := 0
		for _, n := range lengths {
			if n < 1 {
				return fmt.Errorf("sequence %d: a document of %d tokens: %w", s, n, ErrInput)
			}
			sum += n
		}
		if sum != len(b.IDs[s]) {
			return fmt.Errorf("sequence %d: %d tokens, documents of %d: %w", s, len(b.IDs[s]), sum, ErrInput)
		}
	}
	return nil
}

func (r *Run) checkLabels(b Batch) error {
	if b.Labels != nil && len(b.Labels) != len(b.IDs) {
		return fmt.Errorf("%d rows of labels for %d sequences: %w", len(b.Labels), len(b.IDs), ErrInput)
	}
	for i, labels := range b.Labels {
		if n := len(b.IDs[i]); len(labels) != n && (b.Documents != nil || len(labels) != n+1) {
			return fmt.Errorf("sequence %d: %d labels for %d tokens: %w", i, len(labels), len(b.IDs[i]), ErrInput)
		}
		for t, y := range labels {
			if y != Masked && (y < 0 || int(y) >= r.model.Config.VocabSize) {
				return fmt.Errorf("sequence %d: label %d at position %d is outside the vocabulary of %d: %w", i, y, t, r.model.Config.VocabSize, ErrInput)
			}
		}
	}
	return nil
}

// upload writes ids, positions and, where sequences differ in length or are several
// documents, segments.
func (r *Run) upload(ctx context.Context, b Batch) error {
	n, first, keys := r.tokens(), r.filled(), r.keys(r.batch.length)
	ids, positions := make([]int32, n), make([]int32, n)
	segments := slices.Repeat([]int32{-1}, r.batch.sequences*keys)
	for s, seq := range b.IDs {
		clear(segments[s*keys:][:first]) // what was there before is of the first document
		copy(ids[s*r.batch.length:], seq)
		at := 0
		for d, length := range b.documents(s, len(seq)) {
			for t := range length {
				positions[s*r.batch.length+at] = int32(first + t)
				segments[s*keys+first+at] = int32(d)
				at++
			}
		}
	}
	be := r.model.backend
	if err := tensor.WriteInts(ctx, be, view(r.input.ids, n), ids); err != nil {
		return err
	}
	if err := tensor.WriteInts(ctx, be, view(r.input.positions, n), positions); err != nil {
		return err
	}
	if !r.batch.segmented {
		return nil
	}
	return tensor.WriteInts(ctx, be, r.segments(), segments)
}

// uploadRoPE fills the angle tables, once.
func (r *Run) uploadRoPE(ctx context.Context) error {
	if r.input.ropesReady {
		return nil
	}
	for rope, t := range r.ropes {
		if err := tensor.WriteFloats(ctx, r.model.backend, t, rope.table(t.Rows(), t.Cols())); err != nil {
			return err
		}
	}
	r.input.ropesReady = true
	return nil
}

// WithPrompt returns b with the run's virtual tokens in front of each sequence, or of
// each of its documents. They have no labels, but the last of them predicts the first
// real token, if that has one, as in HF PEFT.
func (r *Run) WithPrompt(b Batch) Batch {
	prompt := r.adapters.prompt
	if prompt == nil {
		return b
	}
	out := Batch{Dropout: b.Dropout, Tasks: b.Tasks}
	document := 0 // over all sequences
	for s, ids := range b.IDs {
		var prompted, labels []int32
		var lengths []int
		at := 0
		for _, n := range b.documents(s, len(ids)) {
			end := min(at+n, len(ids))
			task := 0
			if document < len(b.Tasks) && prompt.Rows.Rows() > prompt.Tokens { // one of several
				task = b.Tasks[document]
			}
			for i := range prompt.Tokens {
				prompted = append(prompted, int32(-1-task*prompt.Tokens-i))
			}
			prompted = append(prompted, ids[at:end]...)
			if b.Labels != nil {
				labels = append(append(labels, slices.Repeat([]int32{Masked}, prompt.Tokens)...), b.Labels[s][at:end]...)
			}
			lengths = append(lengths, prompt.Tokens+n)
			document, at = document+1, at+n
		}
		out.IDs = append(out.IDs, prompted)
		if b.Labels != nil {
			out.Labels = append(out.Labels, append(labels, b.Labels[s][len(ids):]...)) // and what comes after the last token
		}
		if b.Documents != nil {
			out.Documents = append(out.Documents, lengths)
		}
	}
	return out
}

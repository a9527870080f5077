package data

import (
	"cmp"
	"fmt"
	"iter"

	"github.com/gpupeft/gpupeft/transformer"
)

// Loader makes batches of examples. They come in epochs, each of which has every
// example once; as with PyTorch's DataLoader (drop_last=False) and HF's Trainer, its
// last batch and its last step may be smaller than the others.
type Loader struct {
	Batch      int    // rows of a batch, 0 means 1
	Accumulate int    // batches of a step, 0 means 1
	Micro      int    // rows that are computed together, 0 means Batch
	InOrder    bool   // keep the file's order; else each epoch is shuffled
	Seed       uint64 // the same seed gives the same order

	// ByLength puts rows of similar length into the same step, as HF's
	// LengthGroupedSampler does: the shuffled order is cut into pieces of 50 steps, and
	// each is sorted, the longest first.
	ByLength bool

	// Pack, if positive, puts several examples into a row, of up to so many tokens; each
	// is a document of its own (transformer.Batch.Documents), so that it sees the same as
	// in a row of its own. Without it a row is an example.
	Pack int
	// Virtual is the number of virtual tokens that will stand in front of each example of
	// a packed row.
	Virtual int
}

func (l Loader) batch() int   { return max(1, l.Batch) }
func (l Loader) micro() int   { return cmp.Or(max(0, l.Micro), l.batch()) }
func (l Loader) perStep() int { return l.batch() * max(1, l.Accumulate) }

// State is where a Loader is: all that it takes to go on, and what a checkpoint
// stores.
type State struct {
	Seed  uint64 `json:"seed"`
	Epoch uint64 `json:"epoch"` // from 0
	Step  int    `json:"step"`  // how many steps of the epoch have been taken
}

// Cursor hands out a Loader's steps, from a State on. It belongs to one goroutine.
type Cursor struct {
	loader Loader
	source Source
	packs  [][]int // the examples of each row; nil: row i is example i
	rows   int
	order  []int // of the rows in this epoch
	state  State
}

// Start begins where a state says, which is the zero one for the first step, or what
// Cursor.State returned earlier, for the same examples and settings. Errors wrap
// ErrTooFew or ErrOptions.
func (l Loader) Start(s Source, from State) (*Cursor, error) {
	c := &Cursor{loader: l, source: s, rows: s.Len(), state: from}
	if l.Pack > 0 {
		var err error
		if c.packs, err = l.pack(s); err != nil {
			return nil, err
		}
		c.rows = len(c.packs)
	}
	if c.rows < l.batch() {
		what := "examples"
		if l.Pack > 0 {
			what = "packed rows"
		}
		return nil, fmt.Errorf("%d %s are less than one batch of %d: %w", c.rows, what, l.batch(), ErrTooFew)
	}
	if from == (State{}) {
		c.state.Seed = l.Seed
	}
	if c.state.Seed != l.Seed || from.Step < 0 || from.Step > c.PerEpoch() {
		return nil, fmt.Errorf("position %+v in data with %d steps an epoch and seed %d: %w", from, c.PerEpoch(), l.Seed, ErrOptions)
	}
	c.order = c.epoch()
	return c, nil
}

// PerEpoch returns the number of steps of an epoch.
func (c *Cursor) PerEpoch() int { return (c.rows + c.loader.perStep() - 1) / c.loader.perStep() }

// Rows returns the number of rows of an epoch: of examples, or with Pack of packs.
func (c *Cursor) Rows() int { return c.rows }

// State returns the position behind the steps that were handed out.
func (c *Cursor) State() State { return c.state }

// Next returns the batches of the next step. There is no last one: another epoch
// follows. Errors are those of the source.
func (c *Cursor) Next() ([]transformer.Batch, error) {
	if c.state.Step == c.PerEpoch() {
		c.state.Epoch, c.state.Step = c.state.Epoch+1, 0
		c.order = c.epoch()
	}
	first, size := c.state.Step*c.loader.perStep(), c.loader.perStep()
	var batches []transformer.Batch
	for end := min(first+size, c.rows); first < end; first += c.loader.micro() {
		b, err := c.gather(c.order[first:min(first+c.loader.micro(), end)])
		if err != nil {
			return nil, err
		}
		batches = append(batches, b)
	}
	c.state.Step++
	return batches, nil
}

// Steps hands out one step after the other, without end. Inside a loop over it,
// State is the position behind the step that the loop has got.
func (c *Cursor) Steps() iter.Seq2[[]transformer.Batch, error] {
	return func(yield func([]transformer.Batch, error) bool) {
		for {
			step, err := c.Next()
			if !yield(step, err) || err != nil {
				return
			}
		}
	}
}

// gather makes a batch of some rows.
func (c *Cursor) gather(rows []int) (transformer.Batch, error) {
	var b builder
	for _, row := range rows {
		documents := []int{row}
		if c.packs != nil {
			documents = c.packs[row]
		}
		if err := b.row(c.source, documents); err != nil {
			return transformer.Batch{}, err
		}
	}
	return b.batch(), nil
}

// StepsPerEpoch returns how many steps a source makes. Errors are those of Start.
func (l Loader) StepsPerEpoch(s Source) (int, error) {
	c, err := l.Start(s, State{})
	if err != nil {
		return 0, err
	}
	return c.PerEpoch(), nil
}

// Steps returns the batches of one step after the other, epoch after epoch, without
// end. Errors are those of Start and of the source.
func (l Loader) Steps(s Source) iter.Seq2[[]transformer.Batch, error] {
	c, err := l.Start(s, State{})
	if err != nil {
		return func(yield func([]transformer.Batch, error) bool) { yield(nil, err) }
	}
	return c.Steps()
}

// builder puts a batch together.
type builder struct{ transformer.Batch }

// row adds a row of one example, or of several documents.
func (b *builder) row(s Source, documents []int) error {
	var ids, labels []int32
	var lengths []int
	for _, i := range documents {
		e, err := s.Example(i)
		if err != nil {
			return err
		}
		ids, labels, lengths = append(ids, e.IDs...), append(labels, e.Labels...), append(lengths, len(e.IDs))
		b.Tasks = append(b.Tasks, e.Task)
	}
	b.IDs, b.Labels, b.Documents = append(b.IDs, ids), append(b.Labels, labels), append(b.Documents, lengths)
	return nil
}

// batch returns it; Documents are left out where each row is one.
func (b *builder) batch() transformer.Batch {
	for _, lengths := range b.Documents {
		if len(lengths) > 1 {
			return b.Batch
		}
	}
	b.Documents = nil
	return b.Batch
}

// Once returns batches of all examples in order, for evaluation.
func Once(s Source, batch int) iter.Seq2[transformer.Batch, error] {
	return func(yield func(transformer.Batch, error) bool) {
		for first := 0; first < s.Len(); first += max(1, batch) {
			var b builder
			for i := first; i < min(first+max(1, batch), s.Len()); i++ {
				if err := b.row(s, []int{i}); err != nil {
					yield(transformer.Batch{}, err)
					return
				}
			}
			if !yield(b.batch(), nil) {
				return
			}
		}
	}
}

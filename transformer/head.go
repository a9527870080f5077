package transformer

import (
	"context"
	"fmt"

	"github.com/gpupeft/gpupeft/tensor"
)

// The end of the model: final norm and output matrix, for chosen rows of the
// stream only, and for a part of the vocabulary or of the rows at a time, so that the
// matrix [tokens, vocabulary] never exists.

// maxLogits is the size of the buffer for one part of the logits, in values:
// 32 MiB. A part's width is a multiple of partAlign, so that it starts at an
// offset that GPUs can bind. A run that trains has room for the logits of so many rows
// at least, of which a part is a multiple of rowAlign for the same reason.
const (
	maxLogits = 8 << 20
	partAlign = 128
	trainRows = 128
	rowAlign  = 64
)

// head holds the buffers for up to N rows.
type head struct {
	rows, inverse  *tensor.Tensor // [N] I32: which tokens, and for each token its row or −1
	targets        *tensor.Tensor // [N] I32
	resid, norm    *tensor.Tensor // [N, D]
	normalized     *tensor.Tensor // [N, D]; nil unless the norm is in steps
	scale          *tensor.Tensor // [N]
	stats          *tensor.Tensor // [N, StatsWidth]
	logits, capped *tensor.Tensor // one part; capped only where there is a soft-cap
	dlogits        *tensor.Tensor // one part; nil before BackwardFrom
	dresid, dnorm  *tensor.Tensor // [N, D]; nil without Train
	dnormalized    *tensor.Tensor // [N, D]; nil unless Train and in steps
	dscale         *tensor.Tensor // [N]; likewise
}

// LogitsSize returns the most values of a part of the logits.
func (r *Run) LogitsSize() int {
	n, vocab := r.Capacity(), r.model.Config.VocabSize
	if r.wants(0, UnembedOut) {
		return n * vocab
	}
	size := max(maxLogits, n*partAlign, vocab)
	if r.options.Train {
		size = max(size, trainRows*vocab)
	}
	return min(n*vocab, size)
}

func (r *Run) newHead() head {
	a, c, n := &r.memory, r.model.Config, r.Capacity()
	room := func(name string, shape ...int) *tensor.Tensor { return a.new(name, tensor.F32, shape...) }
	h := head{
		rows: a.new("rows", tensor.I32, n), inverse: a.new("inverse", tensor.I32, n), targets: a.new("targets", tensor.I32, n),
		resid: room("unembed.resid", n, c.Hidden), norm: room("unembed.hook_in", n, c.Hidden),
		scale: room("ln_final.hook_scale", n), stats: room("stats", n, tensor.StatsWidth), logits: room("unembed.hook_out", r.LogitsSize()),
	}
	steps := r.showsNorm(0, UnembedIn)
	if steps {
		h.normalized = room("ln_final.hook_normalized", n, c.Hidden)
	}
	if c.FinalSoftCap > 0 {
		h.capped = room("unembed.capped", r.LogitsSize())
	}
	if r.options.Train {
		h.dresid, h.dnorm = room("unembed.resid.grad", n, c.Hidden), room("unembed.hook_in.grad", n, c.Hidden)
		if steps {
			h.dnormalized, h.dscale = room("ln_final.hook_normalized.grad", n, c.Hidden), room("ln_final.hook_scale.grad", n)
		}
	}
	return h
}

// values and gradients are the last norm, for m rows.
func (r *Run) values(m int) norm {
	h, d := &r.head, r.model.Config.Hidden
	n := norm{in: view(h.resid, m, d), out: view(h.norm, m, d), rms: view(h.scale, m), w: r.adapters.weights.Norm, dw: r.adapters.grads.Norm}
	if h.normalized != nil {
		n.normalized = view(h.normalized, m, d)
	}
	return n
}

func (r *Run) gradients(m int) norm {
	h, d := &r.head, r.model.Config.Hidden
	n := norm{in: view(h.dresid, m, d), out: view(h.dnorm, m, d)}
	if h.dnormalized != nil {
		n.normalized, n.rms = view(h.dnormalized, m, d), view(h.dscale, m)
	}
	return n
}

// part is a range of the vocabulary.
type part struct {
	first, size int
	w           Linear         // D to size values
	logits      *tensor.Tensor // [M, size]
}

// parts splits the vocabulary so that the logits of m rows fit the buffer.
func (r *Run) parts(m int) ([]part, error) {
	vocab := r.model.Config.VocabSize
	width := vocab
	if m*vocab > r.head.logits.Len() {
		width = r.head.logits.Len() / m / partAlign * partAlign
	}
	var parts []part
	for first := 0; first < vocab; first += width {
		size := min(width, vocab-first)
		w, err := r.unembedding(first, first+size)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part{first, size, w, view(r.head.logits, m, size)})
	}
	return parts, nil
}

// unembedding is the output matrix for ids [lo, hi), as adapters have changed it.
func (r *Run) unembedding(lo, hi int) (Linear, error) {
	var own matrix
	var err error
	if own.w, err = r.adapters.weights.Unembed.Slice(lo, hi); err != nil {
		return nil, err
	}
	if dw := r.adapters.grads.Unembed; dw != nil {
		if own.dw, err = dw.Slice(lo, hi); err != nil {
			return nil, err
		}
	}
	var w Linear = own
	for _, at := range r.adapters.attached {
		if at.Unembed != nil {
			if w, err = at.Unembed(lo, hi, w); err != nil {
				return nil, err
			}
		}
	}
	return w, nil
}

// unembed records the final norm of the chosen rows.
func (r *Run) unembed(p *tensor.Pass, m int) {
	n := r.values(m)
	stream := r.plan.layers[len(r.plan.layers)-1][ResidPost]
	p.Do(tensor.Gather{Out: n.in, X: stream, Rows: view(r.head.rows, m)})
	r.normalize(p, n, Site{Point: FinalScale}, Site{Point: FinalNormalized})
	r.tap(p, Site{Point: UnembedIn}, n.out)
}

// project records a part of the logits.
func (pt part) project(r *Run, p *tensor.Pass, norm *tensor.Tensor) {
	pt.w.Forward(p, pt.logits, norm)
	r.tap(p, Site{Point: UnembedOut}, pt.logits)
}

// LastRows returns the row of each sequence's last token, for Logits.
func (r *Run) LastRows() []int32 {
	rows := make([]int32, r.batch.sequences)
	for s, length := range r.batch.lengths {
		rows[s] = int32(s*r.batch.length + length - 1)
	}
	return rows
}

// Rows returns the rows of all real tokens of the last Forward in order, for
// Logits. Token t of sequence s has row s·L+t, L being the longest sequence.
func (r *Run) Rows() []int32 {
	var rows []int32
	for s, length := range r.batch.lengths {
		for t := range length {
			rows = append(rows, int32(s*r.batch.length+t))
		}
	}
	return rows
}

// Logits returns the logits of some rows of the last Forward, after the soft-cap:
// [len(rows), V].
func (r *Run) Logits(ctx context.Context, rows []int32) ([]float32, error) {
	if err := r.checkRows(rows); err != nil {
		return nil, err
	}
	if err := tensor.WriteInts(ctx, r.model.backend, view(r.head.rows, len(rows)), rows); err != nil {
		return nil, err
	}
	p := tensor.Begin(r.model.backend)
	r.unembed(p, len(rows))
	out, err := r.readLogits(ctx, p, len(rows))
	if err == nil && r.batch.state == hasLoss {
		r.batch.state = forwarded // the rows of the loss are gone
	}
	return out, err
}

// LogitsOf returns the logits of any values of the stream [n, D], at most Capacity rows of
// them, as if they came from the last layer. Taps aren't called: it is not a part of what
// the run computes.
func (r *Run) LogitsOf(ctx context.Context, stream []float32) ([]float32, error) {
	m := len(stream) / r.model.Config.Hidden
	if r.closed || !r.options.reads() || m < 1 || m > r.Capacity() || len(stream) != m*r.model.Config.Hidden {
		return nil, fmt.Errorf("logits of %d values in a run for %d×%d: %w", len(stream), r.Capacity(), r.model.Config.Hidden, ErrInput)
	}
	tap := r.options.Tap
	r.options.Tap = nil
	defer func() { r.options.Tap = tap }()
	n := r.values(m)
	if err := tensor.WriteFloats(ctx, r.model.backend, n.in, stream); err != nil {
		return nil, err
	}
	p := tensor.Begin(r.model.backend)
	r.normalize(p, n, Site{Point: FinalScale}, Site{Point: FinalNormalized})
	out, err := r.readLogits(ctx, p, m)
	if err == nil && r.batch.state == hasLoss {
		r.batch.state = forwarded
	}
	return out, err
}

// readLogits computes the logits of what the last norm has made of m rows.
func (r *Run) readLogits(ctx context.Context, p *tensor.Pass, m int) ([]float32, error) {
	c, be := r.model.Config, r.model.backend
	parts, err := r.parts(m)
	if err != nil {
		return nil, err
	}
	var out []float32
	for _, pt := range parts {
		pt.project(r, p, view(r.head.norm, m, c.Hidden))
		result := pt.logits
		if c.FinalSoftCap > 0 {
			result = view(r.head.capped, m, pt.size)
			p.Do(tensor.SoftCap{Out: result, X: pt.logits, Cap: c.FinalSoftCap})
		}
		if err := p.Submit(ctx); err != nil {
			return nil, err
		}
		values, err := tensor.Floats(ctx, be, result)
		if err != nil {
			return nil, err
		}
		if len(parts) == 1 {
			return values, nil
		}
		if out == nil {
			out = make([]float32, m*c.VocabSize)
		}
		for i := range m {
			copy(out[i*c.VocabSize+pt.first:], values[i*pt.size:(i+1)*pt.size])
		}
	}
	return out, nil
}

func (r *Run) checkRows(rows []int32) error {
	if r.closed || r.batch.state == empty {
		return fmt.Errorf("logits need an open run, after Forward: %w", ErrInput)
	}
	if !r.whole() {
		return fmt.Errorf("logits behind layer %d of %d, of a run with them %v: %w", r.layers(), len(r.model.Config.Layers), r.options.reads(), ErrInput)
	}
	if len(rows) == 0 || len(rows) > r.Capacity() {
		return fmt.Errorf("%d rows of logits in a run for %d: %w", len(rows), r.Capacity(), ErrInput)
	}
	for _, row := range rows {
		if row < 0 || int(row) >= r.tokens() {
			return fmt.Errorf("row %d of %d: %w", row, r.tokens(), ErrInput)
		}
	}
	return nil
}

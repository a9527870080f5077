package transformer

import (
	"context"
	"fmt"
	"math"

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
	if r.closed || m < 1 || m > r.Capacity() || len(stream) != m*r.model.Config.Hidden {
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
	out := make([]float32, m*c.VocabSize)
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
	if r.layers() < len(r.model.Config.Layers) {
		return fmt.Errorf("logits behind layer %d of %d: %w", r.layers(), len(r.model.Config.Layers), ErrInput)
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

// Loss is the cross-entropy over a batch's targets.
type Loss struct {
	Sum     float64   // in nats
	Tokens  int       // targets
	Correct int       // targets that have the highest logit
	Each    []float32 // by target, in the order of sequences and positions
	Right   []bool    // likewise, whether it has the highest logit
}

// Mean is the loss per target; 0 if there are none.
func (l Loss) Mean() float64 {
	if l.Tokens == 0 {
		return 0
	}
	return l.Sum / float64(l.Tokens)
}

// Add returns the losses of two batches together, without Each and Right.
func (l Loss) Add(o Loss) Loss {
	return Loss{Sum: l.Sum + o.Sum, Tokens: l.Tokens + o.Tokens, Correct: l.Correct + o.Correct}
}

// Loss computes the cross-entropy of the last Forward's labels.
func (r *Run) Loss(ctx context.Context) (Loss, error) {
	if r.closed || r.batch.state == empty || r.batch.given.Labels == nil || r.layers() < len(r.model.Config.Layers) {
		return Loss{}, fmt.Errorf("loss needs an open run, after Forward with labels: %w", ErrInput)
	}
	m, err := r.uploadTargets(ctx)
	if err != nil || m == 0 {
		r.batch.targets, r.batch.state = m, hasLoss
		return Loss{}, err
	}
	parts, err := r.parts(m)
	if err != nil {
		return Loss{}, err
	}
	p, c, h := tensor.Begin(r.model.backend), r.model.Config, &r.head
	r.unembed(p, m)
	for _, pt := range parts {
		pt.project(r, p, view(h.norm, m, c.Hidden))
		p.Do(tensor.CrossEntropy{Stats: view(h.stats, m, tensor.StatsWidth), Logits: pt.logits, Targets: view(h.targets, m),
			First: pt.first, SoftCap: c.FinalSoftCap})
	}
	if err := p.Submit(ctx); err != nil {
		return Loss{}, err
	}
	r.batch.targets, r.batch.state = m, hasLoss
	return r.readLoss(ctx, m)
}

// uploadTargets writes which rows have a target, and which.
func (r *Run) uploadTargets(ctx context.Context) (m int, err error) {
	var rows, targets []int32
	inverse := make([]int32, r.tokens())
	for i := range inverse {
		inverse[i] = -1
	}
	for s, t := range r.batch.given.targets() {
		row := s*r.batch.length + t - 1
		inverse[row] = int32(len(rows))
		rows, targets = append(rows, int32(row)), append(targets, r.batch.given.Labels[s][t])
	}
	if m = len(rows); m == 0 {
		return 0, nil
	}
	be := r.model.backend
	for _, w := range []struct {
		to     *tensor.Tensor
		values []int32
	}{{r.head.rows, rows}, {r.head.targets, targets}, {r.head.inverse, inverse}} {
		if err := tensor.WriteInts(ctx, be, view(w.to, len(w.values)), w.values); err != nil {
			return 0, err
		}
	}
	return m, nil
}

// readLoss sums the rows' losses, in double precision.
func (r *Run) readLoss(ctx context.Context, m int) (Loss, error) {
	stats, err := tensor.Floats(ctx, r.model.backend, view(r.head.stats, m, tensor.StatsWidth))
	if err != nil {
		return Loss{}, err
	}
	l := Loss{Tokens: m, Each: make([]float32, m), Right: make([]bool, m)}
	i := 0
	for s, t := range r.batch.given.targets() {
		row := stats[i*tensor.StatsWidth:][:tensor.StatsWidth]
		loss := math.Log(float64(row[1])) + float64(row[0]) - float64(row[2])
		l.Each[i] = float32(loss)
		l.Sum += loss
		if l.Right[i] = int32(row[3]) == r.batch.given.Labels[s][t]; l.Right[i] {
			l.Correct++
		}
		i++
	}
	return l, nil
}

// LossAndBackward is Loss and then Backward, without a wait between them, and with each
// row's logits computed once: the gradient of one part of the rows is taken before the
// next part.
func (r *Run) LossAndBackward(ctx context.Context, scale float32) (Loss, error) {
	if !r.options.Train || r.closed || r.batch.state == empty || r.batch.given.Labels == nil {
		return Loss{}, fmt.Errorf("backward needs an open run with Train, after Forward with labels: %w", ErrInput)
	}
	per := r.head.logits.Len() / r.model.Config.VocabSize
	if n := r.batch.given.Targets(); n == 0 || per < min(n, rowAlign) || r.wants(0, UnembedOut) {
		loss, err := r.Loss(ctx)
		if err != nil {
			return loss, err
		}
		return loss, r.Backward(ctx, scale)
	}
	m, err := r.uploadTargets(ctx)
	if err != nil {
		return Loss{}, err
	}
	if per < m {
		per = per / rowAlign * rowAlign
	}
	p := tensor.Begin(r.model.backend)
	if err := r.lossByRows(p, m, per, scale); err != nil {
		return Loss{}, err
	}
	r.backward(p)
	r.batch.state = forwarded // the logits have become their gradient
	if err := p.Submit(ctx); err != nil {
		return Loss{}, err
	}
	return r.readLoss(ctx, m)
}

// lossByRows records loss and gradient of m rows, of which so many at a time.
func (r *Run) lossByRows(p *tensor.Pass, m, per int, scale float32) error {
	c, h := r.model.Config, &r.head
	w, err := r.unembedding(0, c.VocabSize)
	if err != nil {
		return err
	}
	r.unembed(p, m)
	for lo := 0; lo < m; lo += per {
		hi := min(lo+per, m)
		rows := func(t *tensor.Tensor, width ...int) *tensor.Tensor { return rowsOf(t, lo, hi, width...) }
		logits, norm := view(h.logits, hi-lo, c.VocabSize), rows(h.norm, c.Hidden)
		stats, targets := rows(h.stats, tensor.StatsWidth), rows(h.targets)
		part{0, c.VocabSize, w, logits}.project(r, p, norm)
		p.Do(tensor.CrossEntropy{Stats: stats, Logits: logits, Targets: targets, SoftCap: c.FinalSoftCap},
			tensor.CrossEntropyBackward{Logits: logits, Stats: stats, Targets: targets, SoftCap: c.FinalSoftCap, Scale: scale})
		r.gradTap(p, Site{Point: UnembedOut}, logits)
		w.Backward(p, rows(h.dnorm, c.Hidden), logits, norm, false)
	}
	r.finalNormBackward(p, m)
	return nil
}

// rowsOf is rows [lo, hi) of a buffer for rows of the given width.
func rowsOf(t *tensor.Tensor, lo, hi int, width ...int) *tensor.Tensor {
	part, err := view(t, append([]int{hi}, width...)...).Slice(lo, hi)
	if err != nil { // beyond the capacity, which prepare has checked
		return nil
	}
	return part
}

// lossBackward records the gradient of the stream behind the last layer. With more
// than one part, logits are computed again: only one part is ever held.
func (r *Run) lossBackward(p *tensor.Pass, scale float32) {
	c, h, m := r.model.Config, &r.head, r.batch.targets
	if m == 0 {
		p.Do(tensor.Fill{Out: r.plan.grads[ResidPost]})
		return
	}
	parts, err := r.parts(m)
	if err != nil {
		p.Fail(err)
		return
	}
	norm := view(h.norm, m, c.Hidden)
	for _, pt := range parts {
		if len(parts) > 1 {
			pt.project(r, p, norm)
		}
		p.Do(tensor.CrossEntropyBackward{Logits: pt.logits, Stats: view(h.stats, m, tensor.StatsWidth), Targets: view(h.targets, m),
			First: pt.first, SoftCap: c.FinalSoftCap, Scale: scale})
		r.unembedBackward(p, pt, pt.logits, m)
	}
	r.finalNormBackward(p, m)
}

// unembedBackward adds a part's share to the gradient of what the output matrix reads.
func (r *Run) unembedBackward(p *tensor.Pass, pt part, dlogits *tensor.Tensor, m int) {
	r.gradTap(p, Site{Point: UnembedOut}, dlogits)
	d := r.model.Config.Hidden
	pt.w.Backward(p, view(r.head.dnorm, m, d), dlogits, view(r.head.norm, m, d), pt.first > 0)
}

// finalNormBackward takes the gradient on to the stream, whose other rows have none.
func (r *Run) finalNormBackward(p *tensor.Pass, m int) {
	n, d := r.values(m), r.gradients(m)
	r.gradTap(p, Site{Point: UnembedIn}, d.out)
	r.normalizeBackward(p, n, d, Site{Point: FinalScale}, Site{Point: FinalNormalized}, false)
	p.Do(tensor.Gather{Out: r.plan.grads[ResidPost], X: d.in, Rows: view(r.head.inverse, r.tokens())})
}

package transformer

import (
	"context"
	"fmt"
	"math"

	"github.com/gpupeft/gpupeft/tensor"
)

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
	if r.closed || r.batch.state == empty || r.batch.given.Labels == nil || !r.whole() {
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
		p.Do(tensor.CrossEntropy{
			Stats: view(h.stats, m, tensor.StatsWidth), Logits: pt.logits, Targets: view(h.targets, m),
			First: pt.first, SoftCap: c.FinalSoftCap,
		})
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
		p.Do(tensor.CrossEntropyBackward{
			Logits: pt.logits, Stats: view(h.stats, m, tensor.StatsWidth), Targets: view(h.targets, m),
			First: pt.first, SoftCap: c.FinalSoftCap, Scale: scale,
		})
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

package gpu

import (
	"context"
	"fmt"
	"runtime"
	"time"
)

// maxFlight is how many submissions may be unfinished: one that runs, one that
// follows at once, and one that waits.
const maxFlight = 3

// room reports whether the GPU can take another submission. Software adapters take
// one at a time: lavapipe blocks in the submission of a second one until the first
// is done, and a caller whose context ends could not get out.
func (d *Device) room() bool {
	if d.info.Type == SoftwareGPU {
		return len(d.queue.flight) == 0
	}
	return len(d.queue.flight) < maxFlight
}

// queue is the work that was handed to the GPU. Submissions are counted from 1 and
// finish in order.
type queue struct {
	flight      []submission // unfinished, oldest first
	submitted   uint64       // number of the last one made
	completed   uint64       // number of the last one finished
	unsubmitted int64        // bytes of writes since the last one
	bytes       int64        // bytes of writes in flight
	polled      time.Time    // last look at the GPU
}

// submission is a piece of work on the GPU.
type submission struct {
	number uint64
	fence  fence
	made   time.Time
	// The GPU began between these two times, as far as that is known.
	notBefore, notAfter time.Time
	bytes               int64
	shares              []share // kernels to learn from
	timed               string  // label, if the submission is one dispatch to be timed
}

// submit hands launches, copies and all writes before them to the GPU.
func (d *Device) submit(launches []launch, copies []bufferCopy, shares []share, timed string) error {
	now := time.Now()
	f, err := d.drv.submit(launches, copies)
	if err != nil {
		return err
	}
	q := &d.queue
	q.submitted++
	s := submission{number: q.submitted, fence: f, made: now, notBefore: now, notAfter: now, bytes: q.unsubmitted, shares: shares, timed: timed}
	q.flight = append(q.flight, s)
	q.bytes += s.bytes
	q.unsubmitted = 0
	return nil
}

// flush submits the writes made so far.
func (d *Device) flush() error { return d.submit(nil, nil, nil, "") }

// poll takes note of the work that is done, and releases what was kept for it.
func (d *Device) poll() {
	if d.lost != nil {
		return
	}
	d.drv.poll()
	if err := d.drv.lost(); err != nil {
		d.fail(err)
		return
	}
	now := time.Now()
	q := &d.queue
	for len(q.flight) > 0 {
		s := &q.flight[0]
		done, err := d.drv.done(s.fence)
		if err != nil {
			d.fail(err)
			return
		}
		if !done {
			break
		}
		d.finish(s, now)
		q.flight = append(q.flight[:0], q.flight[1:]...)
	}
	q.polled = now
	if len(q.flight) > 0 && now.Sub(q.flight[0].notAfter) > d.hang {
		d.fail(fmt.Errorf("%w: a submission has run for more than %v", ErrLost, d.hang))
		return
	}
	d.reclaim()
}

// finish notes that a submission was seen to be done at the time now.
func (d *Device) finish(s *submission, now time.Time) {
	q := &d.queue
	q.completed = s.number
	q.bytes -= s.bytes
	d.wake()
	// It was not done at the poll before, so it ended between that one and now.
	earliest := s.notBefore
	if q.polled.After(earliest) {
		earliest = q.polled
	}
	atLeast, atMost := max(earliest.Sub(s.notAfter), 0), now.Sub(s.notBefore)
	if len(q.flight) > 1 {
		next := &q.flight[1]
		if earliest.After(next.made) {
			next.notBefore = earliest
		}
		next.notAfter = now
	}
	learn(s.shares, atLeast, atMost)
	if s.timed != "" {
		d.timing.add(s.timed, atMost)
	}
	if atLeast > 4*d.budget && len(s.shares) > 0 {
		d.log.Warn("gpu: submission took much longer than its budget", "took", atLeast, "budget", d.budget, "kernel", s.shares[0].kernel.label)
	}
}

// reclaim releases closed buffers and abandoned reads that the GPU is done with.
func (d *Device) reclaim() {
	kept := d.retired[:0]
	for _, b := range d.retired {
		if b.lastUse <= d.queue.completed {
			d.release(b)
		} else {
			kept = append(kept, b)
		}
	}
	clear(d.retired[len(kept):])
	d.retired = kept
	if err := d.reclaimReads(); err != nil {
		d.fail(err)
	}
}

// wait returns when ready, which is called with the lock held, returns true or an
// error, or the context ends. Of all goroutines that wait, one at a time watches the
// GPU; the others sleep until it has seen something, so that neither the lock nor the
// processor is taken up by many that look for the same.
func (d *Device) wait(ctx context.Context, ready func() (bool, error)) error {
	for first := true; ; first = false {
		progress, ok, err := d.attempt(ctx, first, ready)
		if ok || err != nil {
			return err
		}
		select {
		case d.watch <- struct{}{}:
			d.watchUntil(ctx, progress)
			<-d.watch
		case <-progress:
		case <-ctx.Done(): // the lock says so
		}
	}
}

// attempt calls ready, the first time after a poll: every call looks at the GPU once. What
// is not ready may be so when progress is closed.
func (d *Device) attempt(ctx context.Context, first bool, ready func() (bool, error)) (progress <-chan struct{}, ok bool, err error) {
	if err := d.mu.LockUntil(ctx); err != nil {
		return nil, false, err
	}
	defer d.mu.Unlock()
	if first && !d.closed {
		d.poll()
	}
	if err := d.usable(); err != nil {
		return nil, false, err
	}
	ok, err = ready()
	return d.progress, ok, err
}

// watchUntil polls until progress is closed, or the context ends.
func (d *Device) watchUntil(ctx context.Context, progress <-chan struct{}) {
	for pause := newBackoff(); d.look(ctx); pause.sleep() {
		select {
		case <-progress:
			return
		default:
		}
	}
}

// look polls once. It returns false when there is no use in going on.
func (d *Device) look(ctx context.Context) bool {
	if d.mu.LockUntil(ctx) != nil {
		return false
	}
	defer d.mu.Unlock()
	if d.usable() != nil {
		return false
	}
	d.poll()
	return true
}

// wake lets all that wait look again: work was finished, or the device can't be used any more.
func (d *Device) wake() {
	close(d.progress)
	d.progress = make(chan struct{})
}

// whenRoom calls do, with the lock held, as soon as the GPU can take another
// submission.
func (d *Device) whenRoom(ctx context.Context, do func() error) error {
	return d.wait(ctx, func() (bool, error) {
		if !d.room() {
			return false, nil
		}
		return true, do()
	})
}

// backoff spaces polls: at first they follow one another, since short work is done
// within microseconds and a sleep costs up to a millisecond on a busy machine; then
// they come at a fraction of the time waited so far.
type backoff struct {
	start time.Time
	spins int
}

const (
	maxSpins = 1000
	spinTime = 200 * time.Microsecond
	minPause = 20 * time.Microsecond
	maxPause = 2 * time.Millisecond
)

func newBackoff() *backoff { return &backoff{start: time.Now()} }

func (b *backoff) sleep() {
	waited := time.Since(b.start)
	if b.spins++; b.spins <= maxSpins && waited < spinTime {
		runtime.Gosched()
		return
	}
	time.Sleep(min(max(waited/32, minPause), maxPause))
}

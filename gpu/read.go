package gpu

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"
	"sync/atomic"
)

const (
	readPiece    = 8 << 20  // bytes of one read, longer ones go in pieces
	minStaging   = 64 << 10 // bytes of the smallest staging buffer
	maxIdle      = 4        // staging buffers kept for later reads
	stampSize    = 4        // bytes of a stamp
	stampSpacing = 8        // parts of a mapped buffer begin at multiples of it
)

// reads moves bytes from the GPU to the CPU. Each read copies the bytes into a
// staging buffer, and behind them a stamp, a number that no other read has. A read
// whose stamp is not there was reported as finished before it was: that has been
// seen to happen, and would give old bytes without any error.
type reads struct {
	open []*read
	idle []staging
	last uint32 // stamp
}

type staging struct {
	ref  ref
	size int64
}

// read is a copy from a buffer to the CPU that is under way.
type read struct {
	staging
	submission uint64 // number of the one that copies
	fence      fence  // of the mapping, 0 if that was refused
	stamp      uint32
	length     int64
	done       bool
	abandoned  atomic.Bool // nobody waits for it any more
}

// Read waits for the work submitted so far and copies the bytes of the buffer from
// offset on into dst. Both offset and length must be multiples of 4. If it returns
// an error, the contents of dst are undefined. Errors are ErrArgument, ErrMemory,
// ErrClosed, ErrLost or that of the context.
func (d *Device) Read(ctx context.Context, b *Buffer, offset int64, dst []byte) error {
	// A staging buffer holds a stamp, too, and its size is rounded up.
	most := int(min(readPiece, d.limits.BufferSize/4/stampSpacing*stampSpacing))
	for first := true; first || len(dst) > 0; first = false {
		n := min(len(dst), most)
		if err := d.readPiece(ctx, b, offset, dst[:n], int64(len(dst))); err != nil {
			return fmt.Errorf("read: %w", err)
		}
		dst, offset = dst[n:], offset+int64(n)
	}
	return nil
}

// readPiece reads one piece; total is how many bytes are still to be read.
func (d *Device) readPiece(ctx context.Context, b *Buffer, offset int64, dst []byte, total int64) error {
	var r *read
	err := d.whenRoom(ctx, func() (err error) {
		if err := d.span(b, offset, total); err != nil || len(dst) == 0 {
			return err
		}
		r, err = d.startRead(b, offset, int64(len(dst)))
		return err
	})
	if err != nil || r == nil {
		return err
	}
	err = d.wait(ctx, func() (bool, error) {
		if !r.done {
			return false, nil
		}
		return true, d.finishRead(r, dst)
	})
	if err != nil {
		r.abandoned.Store(true)
	}
	return err
}

// startRead submits the copy of length bytes and asks for the staging buffer.
func (d *Device) startRead(b *Buffer, offset, length int64) (*read, error) {
	stampAt := roundUp(length, stampSpacing)
	s, err := d.reads.take(d.drv, stampAt+stampSize)
	if err != nil {
		return nil, fmt.Errorf("buffer %q: %w", b.label, err)
	}
	d.reads.last++
	r := &read{staging: s, stamp: d.reads.last, length: length}
	err = d.params.stamp(d.drv, r.stamp)
	if err == nil {
		err = d.submit(nil, []bufferCopy{
			{from: b.ref, fromOffset: offset, to: s.ref, size: length},
			{from: d.params.ref, fromOffset: stampOffset, to: s.ref, toOffset: stampAt, size: stampSize},
		}, nil, "")
	}
	if err != nil {
		d.reads.giveBack(d.drv, s)
		return nil, fmt.Errorf("buffer %q: %w", b.label, err)
	}
	b.lastUse = d.queue.submitted
	r.submission = d.queue.submitted
	r.fence, err = d.drv.mapRead(s.ref, stampAt+stampSize)
	d.reads.open = append(d.reads.open, r)
	if err != nil {
		r.abandoned.Store(true)
		return nil, fmt.Errorf("buffer %q: %w", b.label, err)
	}
	return r, nil
}

// finishRead copies the bytes of a finished read.
func (d *Device) finishRead(r *read, dst []byte) error {
	var stamp [stampSize]byte
	err := d.drv.mapped(r.ref, roundUp(r.length, stampSpacing), stamp[:])
	if err == nil {
		err = d.drv.mapped(r.ref, 0, dst)
	}
	if got := binary.LittleEndian.Uint32(stamp[:]); err == nil && got != r.stamp {
		err = fmt.Errorf("%w: the driver reports read %d as finished, but its memory holds read %d", ErrLost, r.stamp, got)
	}
	if err == nil {
		r.abandoned.Store(true) // nothing to do but give the staging buffer back
		err = d.reclaimReads()
	}
	if err != nil {
		d.fail(err)
	}
	return err
}

// take returns a staging buffer of at least size bytes.
func (r *reads) take(drv driver, size int64) (staging, error) {
	for i, s := range r.idle {
		if s.size >= size {
			r.idle = append(r.idle[:i], r.idle[i+1:]...)
			return s, nil
		}
	}
	size = max(int64(1)<<bits.Len64(uint64(size-1)), minStaging)
	ref, err := drv.newBuffer(size, readStaging)
	return staging{ref, size}, err
}

// giveBack keeps a staging buffer for later reads, or frees it.
func (r *reads) giveBack(drv driver, s staging) {
	if len(r.idle) < maxIdle {
		r.idle = append(r.idle, s)
	} else {
		drv.freeBuffer(s.ref)
	}
}

// reclaimReads looks which reads are done, and takes back the staging buffers of those
// that nobody waits for.
func (d *Device) reclaimReads() error {
	news, err := d.reads.reclaim(d.drv, d.queue.completed)
	if news {
		d.wake()
	}
	return err
}

// reclaim says whether there are reads that have been done since the last call. The
// submissions up to number completed are done.
func (r *reads) reclaim(drv driver, completed uint64) (news bool, err error) {
	open := r.open[:0]
	for i, read := range r.open {
		before, abandoned := read.done, read.abandoned.Load()
		err := read.look(drv, completed)
		news = news || read.done != before
		if err == nil && read.done && abandoned && read.fence != 0 {
			if err = drv.unmap(read.ref); err != nil {
				err = fmt.Errorf("%w: %w", ErrLost, err)
			}
		}
		if err != nil {
			r.open = append(open, r.open[i+1:]...)
			return news, err
		}
		if read.done && abandoned {
			r.giveBack(drv, read.staging)
		} else {
			open = append(open, read)
		}
	}
	clear(r.open[len(open):])
	r.open = open
	return news, nil
}

// look notes whether the read is done.
func (r *read) look(drv driver, completed uint64) (err error) {
	switch {
	case r.done:
	case r.fence == 0:
		r.done = r.submission <= completed
	default:
		r.done, err = drv.done(r.fence)
	}
	return err
}

func (r *reads) close(drv driver) {
	for _, s := range r.idle {
		drv.freeBuffer(s.ref)
	}
	r.idle = nil
}

package gpu

import (
	"context"
	"fmt"
)

const (
	// A write makes the native library keep a copy until the GPU has taken it. These
	// bound how large one copy is, when copies are handed to the GPU, and how many
	// bytes may wait for it.
	writePiece     = 4 << 20
	maxUnsubmitted = 16 << 20
	maxWriteBytes  = 64 << 20
)

// Write copies data into the buffer from the byte at offset on. Both offset and
// length must be multiples of 4. When it returns, data may be used again; the GPU
// sees the new bytes in dispatches run after it. Large data goes in pieces, and
// Write waits while too many bytes are under way; when the context ends between
// two pieces, part of the data is written. Errors are ErrArgument, ErrMemory,
// ErrClosed, ErrLost or that of the context.
func (d *Device) Write(ctx context.Context, b *Buffer, offset int64, data []byte) error {
	for first := true; first || len(data) > 0; first = false {
		n := min(len(data), writePiece)
		piece, at, total := data[:n], offset, int64(len(data))
		err := d.wait(ctx, func() (bool, error) {
			if err := d.span(b, at, total); err != nil || n == 0 {
				return true, err
			}
			return d.writePiece(b, at, piece)
		})
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		data, offset = data[n:], offset+int64(n)
	}
	return nil
}

// writePiece queues one piece, or returns false when there is no room for it yet.
func (d *Device) writePiece(b *Buffer, offset int64, piece []byte) (bool, error) {
	q := &d.queue
	if q.unsubmitted+int64(len(piece)) > maxUnsubmitted {
		if !d.room() {
			return false, nil
		}
		if err := d.flush(); err != nil {
			return false, err
		}
	}
	if q.bytes+int64(len(piece)) > maxWriteBytes {
		return false, nil
	}
	if err := d.drv.write(b.ref, offset, piece); err != nil {
		return false, fmt.Errorf("buffer %q: %w", b.label, err)
	}
	q.unsubmitted += int64(len(piece))
	b.lastUse = q.submitted + 1
	return true, nil
}

// Package exact writes data of a size that was announced before.
package exact

import (
	"fmt"
	"io"

	"github.com/gpupeft/gpupeft/tensor"
)

// Write calls write with w, and makes sure that it wrote so many bytes. Else the error
// wraps tensor.ErrFormat.
func Write(w io.Writer, bytes int64, write func(io.Writer) error) error {
	c := counter{w: w}
	if err := write(&c); err != nil {
		return err
	}
	if c.n != bytes {
		return fmt.Errorf("%d bytes were written, want %d: %w", c.n, bytes, tensor.ErrFormat)
	}
	return nil
}

// counter counts what goes through it.
type counter struct {
	w io.Writer
	n int64
}

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

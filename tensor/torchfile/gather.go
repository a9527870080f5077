package torchfile

import (
	"errors"
	"io"
)

// window is how much of a file is read at a time of which not every byte is wanted in its
// place.
const window = 1 << 20

// gatherer reads the elements of a view.
type gatherer struct {
	r     io.ReaderAt
	dst   []byte
	width int64
	buf   []byte // up to a window
}

// gather reads the elements along axes, whose first one is at byte src of the file, to dst
// and further on.
func (g *gatherer) gather(axes []axis, src, dst int64) error {
	a := axes[0]
	if len(axes) == 1 {
		return readFull(g.r, g.dst[dst:dst+a.n*g.width], src)
	}
	one := reach(axes[1:]) // bytes of one step along the axis
	if one > window {
		for i := range a.n {
			if err := g.gather(axes[1:], src+i*a.src, dst+i*a.dst); err != nil {
				return err
			}
		}
		return nil
	}
	steps := (window-one)/a.src + 1 // that fit a window
	for i := int64(0); i < a.n; i += steps {
		n := min(steps, a.n-i)
		if err := g.scatter(axes, n, one, src+i*a.src, dst+i*a.dst); err != nil {
			return err
		}
	}
	return nil
}

// scatter reads n steps along the first axis, each of one bytes, at once.
func (g *gatherer) scatter(axes []axis, n, one, src, dst int64) error {
	if g.buf == nil {
		g.buf = make([]byte, min(window, reach(axes)))
	}
	if err := readFull(g.r, g.buf[:(n-1)*axes[0].src+one], src); err != nil {
		return err
	}
	for i := range n {
		g.place(axes[1:], g.buf[i*axes[0].src:], dst+i*axes[0].dst)
	}
	return nil
}

// place copies the elements along axes from src, where the first one is.
func (g *gatherer) place(axes []axis, src []byte, dst int64) {
	a := axes[0]
	if len(axes) == 1 {
		copy(g.dst[dst:], src[:a.n*g.width])
		return
	}
	for i := range a.n {
		g.place(axes[1:], src[i*a.src:], dst+i*a.dst)
	}
}

// reach returns the bytes from the first element along axes to the last.
func reach(axes []axis) int64 {
	last := axes[len(axes)-1]
	n := last.src
	for _, a := range axes {
		n += (a.n - 1) * a.src
	}
	return n
}

// readFull fills buf from an offset on.
func readFull(r io.ReaderAt, buf []byte, off int64) error {
	n, err := r.ReadAt(buf, off)
	if n == len(buf) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

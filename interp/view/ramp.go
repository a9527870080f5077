package view

import "image/color"

// ramp is a scale of colours: stops at equal distances.
type ramp []color.RGBA

// theme is the two scales of one background, and what is drawn beside them.
type theme struct {
	sequential, diverging  ramp
	back, ink, faint, mark color.RGBA
}

// The colours go from the background to what stands out most on it, so that small
// values recede. Blue against red-orange can be told apart with any kind of colour
// vision.
var (
	light = theme{
		sequential: ramp{rgb(0xf4f6f9), rgb(0xc9dcee), rgb(0x86b6dc), rgb(0x3f87c0), rgb(0x165a97), rgb(0x08315f)},
		diverging:  ramp{rgb(0x8a2a0c), rgb(0xcf5a2b), rgb(0xf2ab86), rgb(0xf5f5f3), rgb(0x8fbde0), rgb(0x3079b5), rgb(0x0b3d73)},
		back:       rgb(0xffffff), ink: rgb(0x1b1f24), faint: rgb(0x68717c), mark: rgb(0xd9480f),
	}
	dark = theme{
		sequential: ramp{rgb(0x1c2128), rgb(0x17395c), rgb(0x1c5f9e), rgb(0x3a8fd0), rgb(0x86c3f0), rgb(0xe6f4ff)},
		diverging:  ramp{rgb(0xffcdb0), rgb(0xf08a58), rgb(0xa8431d), rgb(0x22262c), rgb(0x1f62a3), rgb(0x559fdc), rgb(0xc4e4ff)},
		back:       rgb(0x14171b), ink: rgb(0xe8eaed), faint: rgb(0x98a1ab), mark: rgb(0xff9a5c),
	}
)

func rgb(v uint32) color.RGBA {
	return color.RGBA{R: uint8(v >> 16), G: uint8(v >> 8), B: uint8(v), A: 255}
}

// at is the colour at t, 0 to 1.
func (r ramp) at(t float64) color.RGBA {
	x := t * float64(len(r)-1)
	i := min(int(x), len(r)-2)
	f := x - float64(i)
	mix := func(a, b uint8) uint8 { return uint8(float64(a) + f*(float64(b)-float64(a)) + 0.5) }
	return color.RGBA{R: mix(r[i].R, r[i+1].R), G: mix(r[i].G, r[i+1].G), B: mix(r[i].B, r[i+1].B), A: 255}
}

// of returns the scale that bounds ask for.
func (t theme) of(b bounds) ramp {
	if b.signed() {
		return t.diverging
	}
	return t.sequential
}

// inkOn is black or white, whichever can be read on c better.
func inkOn(c color.RGBA) color.RGBA {
	if 0.299*float64(c.R)+0.587*float64(c.G)+0.114*float64(c.B) > 140 {
		return rgb(0x101316)
	}
	return rgb(0xffffff)
}

// stops are a ramp in the page's JSON.
func (r ramp) stops() [][3]uint8 {
	s := make([][3]uint8, len(r))
	for i, c := range r {
		s[i] = [3]uint8{c.R, c.G, c.B}
	}
	return s
}

package results

import "math"

// box is a rectangle.
type box struct{ left, top, right, bottom float64 }

func (b box) meets(o box) bool {
	return b.left < o.right && o.left < b.right && b.top < o.bottom && o.top < b.bottom
}

func (b box) within(a area) bool {
	return b.left >= a.left && b.right <= a.right && b.top >= a.top-4 && b.bottom <= a.bottom
}

// labels writes names beside rules and dots, each where it covers nothing else, or at
// least no dot and no other name. A dot that has no such place stays without a name.
func (p *Panel) labels(c canvas, a area) {
	taken, lines := p.dotBoxes(a), p.lineBoxes(a)
	for _, s := range p.Series {
		for i, text := range s.Labels {
			f := face{color: ink, size: textSize}
			if s.Look == Rule {
				f.color = seriesRole(s.Color)
			}
			if b, ok := choose(s.places(a, i, c.width(text, f)), a, taken, lines); ok {
				taken = append(taken, b)
				c.text(point{b.left, b.bottom - 3}, text, f)
			}
		}
	}
}

// choose returns the first place that is free of lines too, or else the first that isn't
// taken.
func choose(places []box, a area, taken, lines []box) (box, bool) {
	for _, avoid := range [][]box{lines, nil} {
		for _, b := range places {
			if finite(b.top) && b.within(a) && !meetsAny(b, taken) && !meetsAny(b, avoid) {
				return b, true
			}
		}
	}
	return box{}, false
}

// dotBoxes are the places of all dots.
func (p *Panel) dotBoxes(a area) (boxes []box) {
	for _, s := range p.Series {
		if s.Look != Dots {
			continue
		}
		for i := range s.X {
			x, y := a.x.pixel(s.X[i]), a.y.pixel(s.Y[i])
			boxes = append(boxes, box{x - 5, y - 5, x + 5, y + 5})
		}
	}
	return boxes
}

// lineBoxes cover all lines and the dots' bars.
func (p *Panel) lineBoxes(a area) (boxes []box) {
	for _, s := range p.Series {
		for i := range s.Spread {
			if s.Spread[i] > 0 {
				x := a.x.pixel(s.X[i])
				boxes = append(boxes, box{x - 4, a.y.pixel(s.Y[i] + s.Spread[i]), x + 4, a.y.pixel(s.Y[i] - s.Spread[i])})
			}
		}
		if s.Look == Dots || s.Look == Rule {
			continue
		}
		for _, piece := range s.pieces(a) {
			for i := 1; i < len(piece); i++ {
				boxes = append(boxes, along(piece[i-1], piece[i])...)
			}
		}
	}
	return boxes
}

// along covers a straight line with small boxes.
func along(from, to point) (boxes []box) {
	const size = 4.0
	n := max(1, math.Ceil(math.Hypot(to.x-from.x, to.y-from.y)/size))
	for i := range int(n) + 1 {
		x, y := from.x+(to.x-from.x)*float64(i)/n, from.y+(to.y-from.y)*float64(i)/n
		boxes = append(boxes, box{x - size/2, y - size/2, x + size/2, y + size/2})
	}
	return boxes
}

// places are where the label of a dot or rule may stand, the best first.
func (s *Series) places(a area, i int, width float64) []box {
	const height = textSize + 2
	y := a.y.pixel(s.Y[i])
	at := func(left, top float64) box { return box{left, top, left + width, top + height} }
	if s.Look == Rule {
		return []box{at(a.right-width, y-height-2), at(a.right-width, y+3), at(a.left+6, y-height-2), at(a.left+6, y+3)}
	}
	x := a.x.pixel(s.X[i])
	return []box{
		at(x+8, y-height/2), at(x-8-width, y-height/2), at(x-width/2, y-height-7), at(x-width/2, y+7),
		at(x+6, y-height-4), at(x+6, y+4), at(x-6-width, y-height-4), at(x-6-width, y+4),
		at(x-width/2, y-height-22), at(x-width/2, y+22), at(x-width+8, y-height-22), at(x-width+8, y+22),
	}
}

func meetsAny(b box, all []box) bool {
	for _, o := range all {
		if b.meets(o) {
			return true
		}
	}
	return false
}

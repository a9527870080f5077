package results

// box is a rectangle.
type box struct{ left, top, right, bottom float64 }

func (b box) meets(o box) bool {
	return b.left < o.right && o.left < b.right && b.top < o.bottom && o.top < b.bottom
}

func (b box) within(a area) bool {
	return b.left >= a.left && b.right <= a.right && b.top >= a.top-4 && b.bottom <= a.bottom
}

// labels writes names beside rules and dots, each where it covers nothing else. A dot
// that has no such place stays without a name.
func (p *Panel) labels(c canvas, a area) {
	taken := p.dotBoxes(a)
	for _, s := range p.Series {
		for i, text := range s.Labels {
			if text == "" {
				continue
			}
			f := face{color: ink, size: textSize}
			if s.Look == Rule {
				f = face{color: seriesRole(s.Color), size: textSize}
			}
			width := c.width(text, f)
			for _, b := range s.places(a, i, width) {
				if finite(b.top) && b.within(a) && !meetsAny(b, taken) {
					taken = append(taken, b)
					c.text(point{b.left, b.bottom - 3}, text, f)
					break
				}
			}
		}
	}
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

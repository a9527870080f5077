package results

import "math"

// Figure is one or more panels, one above the other, with one x axis.
type Figure struct {
	Title  string
	X      Axis
	Panels []Panel

	marks       []mark
	byX         bool    // marks are found by their x alone
	top, bottom float64 // of all panels, in pixels
}

// Size of a figure in pixels.
const (
	figureWidth  = 800
	figureHeight = 500
)

// Axis is a scale.
type Axis struct {
	Label  string
	Log    bool                 // logarithmic; needs values above 0
	Format func(float64) string // of a tick; nil: as short as possible
}

// Panel is a y axis with what is drawn over it.
type Panel struct {
	Y      Axis
	Share  float64 // of the figure's height, in relation to the other panels
	Series []Series
}

// Series is a line or a number of dots.
type Series struct {
	Name   string // in the legend; "": not there
	Look   Look
	Color  int       // number of a colour, from 0
	X, Y   []float64 // NaN: a gap
	Spread []float64 // of Dots: half the length of each vertical bar; nil: none
	Labels []string  // of Dots and Rule: what is written beside each; nil: nothing
}

// Look is how a series is drawn.
type Look int

// The looks.
const (
	Line   Look = iota // a line
	Faint              // a line that stands back
	Joined             // dots on a line
	Dots               // dots alone
	Rule               // a dashed line over the whole width at each Y; X doesn't count
)

// point is a place, in pixels from the upper left.
type point struct{ x, y float64 }

// mark is what a page says when the reader points near it.
type mark struct {
	X    float64      `json:"x"`    // pixels
	Dots [][2]float64 `json:"dots"` // y in pixels and number of the colour
	Text string       `json:"text"`

	at    float64 // x in the figure's units
	panel []markDot
}

// markDot is a dot of a mark in the figure's units.
type markDot struct {
	panel int
	y     float64
	color int
}

// span is a range of values.
type span struct{ low, high float64 }

var nothing = span{math.Inf(1), math.Inf(-1)}

func spanOf(values []float64) span {
	s := nothing
	for _, x := range values {
		s = s.with(x)
	}
	return s
}

// with returns a range that holds x too, unless it isn't finite.
func (s span) with(x float64) span {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return s
	}
	return span{min(s.low, x), max(s.high, x)}
}

// spanX is the range of all x.
func (f *Figure) spanX() span {
	s := nothing
	for _, p := range f.Panels {
		for _, one := range p.Series {
			if one.Look == Rule {
				continue
			}
			for _, x := range one.X {
				s = s.with(x)
			}
		}
	}
	return s
}

// spanY is the range of a panel's y with their spreads.
func (p *Panel) spanY() span {
	s := nothing
	for _, one := range p.Series {
		for i, y := range one.Y {
			s = s.with(y)
			if one.Spread != nil && !math.IsNaN(one.Spread[i]) {
				s = s.with(y - one.Spread[i]).with(y + one.Spread[i])
			}
		}
	}
	return s
}

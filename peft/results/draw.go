package results

import (
	"math"
)

// canvas is what a figure is drawn on.
type canvas interface {
	line(points []point, p pen)
	dot(center point, radius float64, p pen)
	// text writes s with its baseline at a point.
	text(at point, s string, f face)
	// width returns about how wide a text is.
	width(s string, f face) float64
}

// pen is how a line is drawn.
type pen struct {
	color   role
	width   float64
	opacity float64
	dash    float64 // length of a dash and of the gap behind it; 0: none
}

// face is how text is written.
type face struct {
	color  role
	size   float64
	bold   bool
	anchor anchor
}

// anchor says which end of a text lies at its point.
type anchor int

const (
	start anchor = iota
	middle
	end
)

// role is what a colour is for: ink and so on, or color0 and up for series.
type role int

const (
	ink   role = iota
	muted      // less important text
	grid
	color0
)

// colors is how many colours series have.
const colors = 8

func seriesRole(n int) role { return color0 + role(n%colors) }

// Distances within a figure, in pixels.
const (
	textSize  = 12
	titleSize = 15
	edge      = 16 // around everything
	panelGap  = 38 // above a panel, with its label
	footing   = 42 // below the last panel: ticks and label
	tickGap   = 8
	padding   = 0.04 // of a scale's length, at both ends
)

var (
	tickFace  = face{color: muted, size: textSize, anchor: middle}
	labelFace = face{color: muted, size: textSize}
)

// area is where a panel's lines are.
type area struct {
	left, right, top, bottom float64
	x, y                     scale
}

// draw draws the figure and settles where its marks lie.
func (f *Figure) draw(c canvas) {
	if len(f.Panels) == 0 {
		return
	}
	top := float64(edge)
	if f.Title != "" {
		c.text(point{edge, top + titleSize - 2}, f.Title, face{color: ink, size: titleSize, bold: true})
		top += titleSize + 8
	}
	top = f.legend(c, top)
	areas := f.layout(c, top)
	for i := range f.Panels {
		f.Panels[i].drawAxes(c, areas[i])
	}
	f.drawX(c, areas)
	for i := range f.Panels {
		for _, s := range f.Panels[i].Series {
			s.draw(c, areas[i])
		}
		f.Panels[i].labels(c, areas[i])
	}
	f.placeMarks(areas)
}

// legend names the series from a height on and returns where it ends.
func (f *Figure) legend(c canvas, top float64) float64 {
	const swatch, gap = 18, 6
	at, named := point{edge, top + textSize}, false
	for _, p := range f.Panels {
		for _, s := range p.Series {
			if s.Name == "" {
				continue
			}
			named = true
			size := swatch + gap + c.width(s.Name, labelFace)
			if at.x > edge && at.x+size > figureWidth-edge {
				at = point{edge, at.y + textSize + gap}
			}
			s.swatch(c, at, swatch)
			c.text(point{at.x + swatch + gap, at.y}, s.Name, labelFace)
			at.x += size + 18
		}
	}
	if !named {
		return top
	}
	return at.y + gap
}

// swatch shows a series in the legend.
func (s *Series) swatch(c canvas, at point, width float64) {
	y := at.y - textSize/2 + 2
	if s.Look != Dots {
		c.line([]point{{at.x, y}, {at.x + width, y}}, s.pen())
	}
	if s.Look == Dots || s.Look == Joined {
		c.dot(point{at.x + width/2, y}, 3.5, pen{color: seriesRole(s.Color), opacity: 1})
	}
}

func (s *Series) pen() pen {
	p := pen{color: seriesRole(s.Color), width: 2, opacity: 1}
	switch s.Look {
	case Faint:
		p.width, p.opacity = 1.2, 0.35
	case Joined:
		p.width = 1.5
	case Rule:
		p.width, p.dash = 1.5, 5
	}
	return p
}

// layout divides the room below top.
func (f *Figure) layout(c canvas, top float64) []area {
	all, room := 0.0, figureHeight-footing-top
	for _, p := range f.Panels {
		all += max(p.Share, 0)
		room -= panelGap
	}
	areas := make([]area, len(f.Panels))
	left := 0.0
	for i, p := range f.Panels {
		height := room / float64(len(f.Panels))
		if all > 0 {
			height = room * max(p.Share, 0) / all
		}
		a := &areas[i]
		a.top, a.bottom = top+panelGap, top+panelGap+height
		a.y = newScale(p.Y, p.spanY(), a.bottom, a.top, padding)
		for _, t := range a.y.ticks(a.rows()) {
			left = max(left, c.width(a.y.label(t), tickFace))
		}
		top = a.bottom
	}
	for i := range areas {
		a := &areas[i]
		a.left, a.right = edge+left+tickGap, figureWidth-edge
		a.x = newScale(f.X, f.spanX(), a.left, a.right, padding/2)
	}
	return areas
}

// rows is how many ticks the y axis has room for.
func (a *area) rows() int { return max(2, int((a.bottom-a.top)/48)) }

// drawAxes draws the lines behind a panel with their values, and its label.
func (p *Panel) drawAxes(c canvas, a area) {
	for _, t := range a.y.ticks(a.rows()) {
		y := a.y.pixel(t)
		c.line([]point{{a.left, y}, {a.right, y}}, pen{color: grid, width: 1, opacity: 1})
		c.text(point{a.left - tickGap, y + textSize/3}, a.y.label(t), face{color: muted, size: textSize, anchor: end})
	}
	label := p.Y.Label
	if a.y.axis.Log {
		label += " (log scale)"
	}
	c.text(point{edge, a.top - 16}, label, labelFace)
}

// drawX draws the x axis below the last panel, and its ticks on all.
func (f *Figure) drawX(c canvas, areas []area) {
	last := areas[len(areas)-1]
	for _, a := range areas {
		c.line([]point{{a.left, a.bottom}, {a.right, a.bottom}}, pen{color: muted, width: 1, opacity: 1})
	}
	for _, t := range last.x.ticks(8) {
		x := last.x.pixel(t)
		for _, a := range areas {
			c.line([]point{{x, a.bottom}, {x, a.bottom + 4}}, pen{color: muted, width: 1, opacity: 1})
		}
		c.text(point{x, last.bottom + 18}, last.x.label(t), tickFace)
	}
	label := f.X.Label
	if last.x.axis.Log {
		label += " (log scale)"
	}
	c.text(point{(last.left + last.right) / 2, figureHeight - 8}, label, tickFace)
}

// draw draws a series.
func (s *Series) draw(c canvas, a area) {
	p := s.pen()
	if s.Look == Rule {
		for _, y := range s.Y {
			if at := a.y.pixel(y); finite(at) {
				c.line([]point{{a.left, at}, {a.right, at}}, p)
			}
		}
		return
	}
	if s.Look != Dots {
		for _, piece := range s.pieces(a) {
			c.line(piece, p)
		}
	}
	if s.Look == Dots || s.Look == Joined {
		s.dots(c, a)
	}
}

// pieces are the lines between gaps.
func (s *Series) pieces(a area) (pieces [][]point) {
	var piece []point
	for i := range s.X {
		at := point{a.x.pixel(s.X[i]), a.y.pixel(s.Y[i])}
		if finite(at.x) && finite(at.y) {
			piece = append(piece, at)
			continue
		}
		if piece != nil {
			pieces, piece = append(pieces, piece), nil
		}
	}
	if piece != nil {
		pieces = append(pieces, piece)
	}
	return pieces
}

func (s *Series) dots(c canvas, a area) {
	radius := 4.5
	if s.Look == Joined {
		radius = 3.5
	}
	for i := range s.X {
		at := point{a.x.pixel(s.X[i]), a.y.pixel(s.Y[i])}
		if !finite(at.x) || !finite(at.y) {
			continue
		}
		if s.Spread != nil && s.Spread[i] > 0 {
			bar := pen{color: seriesRole(s.Color), width: 1.5, opacity: 0.6}
			low, high := a.y.pixel(s.Y[i]-s.Spread[i]), a.y.pixel(s.Y[i]+s.Spread[i])
			c.line([]point{{at.x, low}, {at.x, high}}, bar)
			c.line([]point{{at.x - 4, low}, {at.x + 4, low}}, bar)
			c.line([]point{{at.x - 4, high}, {at.x + 4, high}}, bar)
		}
		c.dot(at, radius, pen{color: seriesRole(s.Color), opacity: 1})
	}
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// placeMarks computes the pixels of marks.
func (f *Figure) placeMarks(areas []area) {
	f.top, f.bottom = round(areas[0].top), round(areas[len(areas)-1].bottom)
	for i := range f.marks {
		m := &f.marks[i]
		m.Dots = nil
		for _, d := range m.panel {
			a := areas[d.panel]
			m.X = round(a.x.pixel(m.at))
			if y := a.y.pixel(d.y); finite(y) {
				m.Dots = append(m.Dots, [2]float64{round(y), float64(d.color % colors)})
			}
		}
	}
}

// round keeps a hundredth of a pixel.
func round(x float64) float64 { return math.Round(x*100) / 100 }

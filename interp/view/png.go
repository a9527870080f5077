package view

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"math"
	"strconv"
)

// PNGOptions say how a matrix becomes a picture. The zero value is a light picture with
// two pixels a point.
type PNGOptions struct {
	Scale float64 // pixels a point; 0 is 2, which is sharp on most screens
	Dark  bool
	// Cell is the width of a cell in points; 0 fits about 640 points.
	Cell int
}

// maxPixels is the longest side of a picture.
const maxPixels = 1 << 14

// PNG writes a matrix as a picture: title, labels, cells with their values where these
// fit, and the scale.
func PNG(w io.Writer, m Matrix, o PNGOptions) error {
	if err := m.check(); err != nil {
		return fmt.Errorf("%q: %w", visible(m.Title, maxLabel), err)
	}
	if o.Scale == 0 {
		o.Scale = 2
	}
	if !(o.Scale >= 0.5 && o.Scale <= 8) || o.Cell < 0 || o.Cell > 200 {
		return fmt.Errorf("scale %v, cells of %d points: %w", o.Scale, o.Cell, ErrInput)
	}
	p, err := newPicture(m, o)
	if err != nil {
		return err
	}
	if width, height := p.size(); max(width, height) > maxPixels {
		return fmt.Errorf("%d × %d cells take %d × %d pixels, more than %d: give fewer rows and columns, or smaller cells: %w",
			len(m.Values), len(m.Values[0]), width, height, maxPixels, ErrInput)
	}
	e := png.Encoder{CompressionLevel: png.BestCompression}
	return e.Encode(w, p.draw())
}

// picture is a matrix laid out, in points.
type picture struct {
	m             Matrix
	theme         theme
	bounds        bounds
	text          *typeface
	scale         float64
	rows, columns []string
	cw, ch        float64 // of a cell
	left, top     float64 // of the cells
	labels        float64 // height of the columns' labels
	upright       bool    // whether they are turned
	right, bottom float64 // of the cells
	small         float64 // size of the labels
}

const (
	margin   = 16.0
	textSize = 12.0
	groupGap = 4.0
)

func newPicture(m Matrix, o PNGOptions) (*picture, error) {
	text, err := newTypeface(o.Scale)
	if err != nil {
		return nil, err
	}
	p := &picture{
		m: m, theme: light, bounds: m.scale(), text: text, scale: o.Scale,
		rows: axis(m.Rows, len(m.Values)), columns: axis(m.Columns, len(m.Values[0])),
	}
	if o.Dark {
		p.theme = dark
	}
	n := float64(len(p.columns))
	p.cw = math.Floor(max(2, min(36, 640/n)))
	if o.Cell > 0 {
		p.cw = float64(o.Cell)
	}
	p.ch = min(p.cw, 22)
	if len(p.rows) > 12 && len(p.columns) > 12 { // such as a pattern
		p.cw = min(p.cw, 22)
		p.ch = p.cw
	}
	p.small = max(8, min(textSize, p.ch))
	wide, tall := 0.0, 0.0
	for _, r := range p.rows {
		wide = max(wide, text.width(r, p.small))
	}
	for _, c := range p.columns {
		tall = max(tall, text.width(c, p.small))
	}
	p.upright = tall > p.cw-3
	p.labels = textSize
	if p.upright {
		p.labels = tall
	}
	p.left = margin + wide + 7
	if m.RowName != "" {
		p.left += 20
	}
	p.top = margin + p.labels + 7
	if m.Title != "" {
		p.top += 24
	}
	if m.ColumnName != "" {
		p.top += 20
	}
	p.right = p.x(len(p.columns)-1) + p.cw
	p.bottom = p.y(len(p.rows))
	return p, nil
}

func (p *picture) x(column int) float64 {
	x := p.left + float64(column)*p.cw
	if p.m.Group > 1 {
		x += groupGap * float64(column/p.m.Group)
	}
	return x
}

func (p *picture) y(row int) float64 { return p.top + float64(row)*p.ch }

// size is that of the picture in pixels.
func (p *picture) size() (width, height int) {
	least := max(p.right, p.left+190, margin+p.text.width(p.m.Title, 15), p.left+p.text.width(p.m.ColumnName, textSize))
	return int((least + margin) * p.scale), int((p.bottom + 62) * p.scale)
}

func (p *picture) draw() image.Image {
	width, height := p.size()
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(img, img.Bounds(), image.NewUniform(p.theme.back), image.Point{}, draw.Src)
	p.axes(img)
	for r, row := range p.m.Values {
		for c, v := range row {
			p.cell(img, r, c, float64(v))
		}
	}
	p.legend(img)
	return img
}

// fill draws a rectangle, given in points.
func (p *picture) fill(img draw.Image, x0, y0, x1, y1 float64, c color.RGBA) {
	at := func(v float64) int { return int(math.Round(v * p.scale)) }
	draw.Draw(img, image.Rect(at(x0), at(y0), at(x1), at(y1)), image.NewUniform(c), image.Point{}, draw.Src)
}

func (p *picture) cell(img draw.Image, r, c int, v float64) {
	if v != v {
		return
	}
	gap := 0.0
	if p.ch >= 8 {
		gap = 1
	}
	back := p.theme.of(p.bounds).at(p.bounds.at(v))
	p.fill(img, p.x(c), p.y(r), p.x(c)+p.cw-gap, p.y(r)+p.ch-gap, back)
	if p.cw >= 30 && p.ch >= 15 {
		p.text.draw(img, inCell(v), 10, p.x(c)+(p.cw-gap)/2, p.y(r)+(p.ch-gap)/2, 0.5, inkOn(back))
	}
}

// inCell is a value in at most five characters.
func inCell(v float64) string {
	switch a := math.Abs(v); {
	case a >= 10_000:
		return strconv.FormatFloat(v, 'e', 0, 64)
	case a >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// axes draws the title, the names of the axes and their labels; where these would
// overlap, every second, third … of them.
func (p *picture) axes(img draw.Image) {
	y := margin
	if p.m.Title != "" {
		p.text.draw(img, visible(p.m.Title, 80), 15, margin, y+6, 0, p.theme.ink)
		y += 24
	}
	if p.m.ColumnName != "" {
		p.text.draw(img, visible(p.m.ColumnName, maxLabel), textSize, p.left, y+6, 0, p.theme.faint)
	}
	if p.m.RowName != "" {
		p.text.up(img, visible(p.m.RowName, maxLabel), textSize, margin+6, p.top, 1, p.theme.faint)
	}
	every := int(math.Ceil(p.small / p.ch))
	for r := 0; r < len(p.rows); r += every {
		p.text.draw(img, p.rows[r], p.small, p.left-6, p.y(r)+p.ch/2, 1, p.theme.ink)
	}
	every = int(math.Ceil(p.small / p.cw))
	for c := 0; c < len(p.columns); c += every {
		if x := p.x(c) + p.cw/2; p.upright {
			p.text.up(img, p.columns[c], p.small, x, p.top-6, 0, p.theme.ink)
		} else {
			p.text.draw(img, p.columns[c], p.small, x, p.top-11, 0.5, p.theme.ink)
		}
	}
}

// legend draws the scale under the cells, with its ends, its middle and the baseline.
func (p *picture) legend(img draw.Image) {
	const width, steps = 180.0, 90
	top := p.bottom + 26
	for i := range steps {
		x := p.left + width*float64(i)/steps
		p.fill(img, x, top, x+width/steps, top+9, p.theme.of(p.bounds).at(float64(i)/(steps-1)))
	}
	p.text.draw(img, number(p.bounds.Low), 10, p.left, top+18, 0, p.theme.faint)
	p.text.draw(img, number((p.bounds.Low+p.bounds.High)/2), 10, p.left+width/2, top+18, 0.5, p.theme.faint)
	p.text.draw(img, number(p.bounds.High), 10, p.left+width, top+18, 1, p.theme.faint)
	if p.m.Baseline == 0 {
		return
	}
	at := p.bounds.at(p.m.Baseline)
	x := p.left + width*at
	p.fill(img, x-0.75, top-3, x+0.75, top+12, p.theme.mark)
	p.text.draw(img, "baseline "+number(p.m.Baseline), 10, x, top-9, math.Round(at), p.theme.mark)
}

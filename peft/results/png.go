package results

import (
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"io"
	"math"

	"golang.org/x/image/font"
	"golang.org/x/image/math/fixed"
	"golang.org/x/image/vector"
)

// pngScale is how many dots of a PNG are one pixel of the figure: enough for screens
// with fine dots and for print.
const pngScale = 2

// PNG writes the figure as an image of 1600×1000 dots on white.
func (f *Figure) PNG(w io.Writer) error {
	fonts, err := openFonts(pngScale)
	if err != nil {
		return err
	}
	c := &pngCanvas{fonts: fonts, img: image.NewRGBA(image.Rect(0, 0, pngScale*figureWidth, pngScale*figureHeight))}
	draw.Draw(c.img, c.img.Bounds(), image.White, image.Point{}, draw.Src)
	f.draw(c)
	if c.err != nil {
		return c.err
	}
	return png.Encode(w, c.img)
}

// pngCanvas fills outlines. It keeps its first error.
type pngCanvas struct {
	*fonts
	img *image.RGBA
	err error
}

// outlines are polygons that turn the same way, so that where they overlap they are one.
type outlines [][]point

// fill fills outlines.
func (c *pngCanvas) fill(shapes outlines, p pen) {
	area := shapes.bounds().Intersect(c.img.Bounds())
	if area.Empty() {
		return
	}
	r := vector.NewRasterizer(area.Dx(), area.Dy())
	for _, shape := range shapes {
		for i, at := range shape {
			x, y := float32(pngScale*at.x)-float32(area.Min.X), float32(pngScale*at.y)-float32(area.Min.Y)
			if i == 0 {
				r.MoveTo(x, y)
			} else {
				r.LineTo(x, y)
			}
		}
		r.ClosePath()
	}
	shade := light[p.color]
	shade.A = uint8(math.Round(255 * p.opacity))
	r.Draw(c.img, area, image.NewUniform(shade), image.Point{})
}

// bounds are the dots that outlines may touch.
func (o outlines) bounds() image.Rectangle {
	x, y := nothing, nothing
	for _, shape := range o {
		for _, at := range shape {
			x, y = x.with(pngScale*at.x), y.with(pngScale*at.y)
		}
	}
	if x.low > x.high {
		return image.Rectangle{}
	}
	return image.Rect(int(math.Floor(x.low)), int(math.Floor(y.low)), int(math.Ceil(x.high)), int(math.Ceil(y.high)))
}

func (c *pngCanvas) line(points []point, p pen) {
	var shapes outlines
	for _, piece := range dashes(points, p.dash) {
		for i, at := range piece {
			if len(piece) > 2 { // round joints
				shapes = append(shapes, circle(at, p.width/2))
			}
			if i > 0 && at != piece[i-1] {
				shapes = append(shapes, bar(piece[i-1], at, p.width/2))
			}
		}
	}
	c.fill(shapes, p)
}

func (c *pngCanvas) dot(center point, radius float64, p pen) {
	c.fill(outlines{circle(center, radius)}, p)
}

// bar is a straight line of a half width, between two places.
func bar(from, to point, half float64) []point {
	length := math.Hypot(to.x-from.x, to.y-from.y)
	// across points to the left of the way, so that all bars turn as circles do.
	across := point{(to.y - from.y) / length * half, -(to.x - from.x) / length * half}
	return []point{
		{from.x + across.x, from.y + across.y},
		{to.x + across.x, to.y + across.y},
		{to.x - across.x, to.y - across.y},
		{from.x - across.x, from.y - across.y},
	}
}

// circle is a circle, near enough.
func circle(center point, radius float64) []point {
	points := make([]point, max(12, int(4*radius)))
	for i := range points {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / float64(len(points)))
		points[i] = point{center.x + radius*cos, center.y + radius*sin}
	}
	return points
}

// dashes cuts a line into dashes as long as the gaps between them.
func dashes(points []point, length float64) [][]point {
	if length == 0 || len(points) != 2 { // only straight lines are dashed
		return [][]point{points}
	}
	from, to := points[0], points[1]
	whole := math.Hypot(to.x-from.x, to.y-from.y)
	along := func(d float64) point {
		share := min(1, d/whole)
		return point{from.x + share*(to.x-from.x), from.y + share*(to.y-from.y)}
	}
	var pieces [][]point
	for d := 0.0; d < whole; d += 2 * length {
		pieces = append(pieces, []point{along(d), along(d + length)})
	}
	return pieces
}

func (c *pngCanvas) text(at point, s string, f face) {
	use, err := c.face(f)
	if err != nil {
		c.err = fmt.Errorf("font: %w", err)
		return
	}
	switch f.anchor {
	case middle:
		at.x -= c.width(s, f) / 2
	case end:
		at.x -= c.width(s, f)
	}
	d := font.Drawer{
		Dst: c.img, Src: image.NewUniform(light[f.color]), Face: use,
		Dot: fixed.Point26_6{X: fixed.Int26_6(math.Round(64 * pngScale * at.x)), Y: fixed.Int26_6(math.Round(64 * pngScale * at.y))},
	}
	d.DrawString(visible(s))
}

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

// fill fills the outlines that add makes. Those that overlap must turn the same way.
func (c *pngCanvas) fill(p pen, add func(*vector.Rasterizer)) {
	size := c.img.Bounds().Size()
	r := vector.NewRasterizer(size.X, size.Y)
	add(r)
	shade := light[p.color]
	shade.A = uint8(math.Round(255 * p.opacity))
	r.Draw(c.img, c.img.Bounds(), image.NewUniform(shade), image.Point{})
}

func (c *pngCanvas) line(points []point, p pen) {
	c.fill(p, func(r *vector.Rasterizer) {
		for _, piece := range dashes(points, p.dash) {
			for i, at := range piece {
				if len(piece) > 2 { // round joints
					circle(r, at, p.width/2)
				}
				if i > 0 {
					bar(r, piece[i-1], at, p.width/2)
				}
			}
		}
	})
}

func (c *pngCanvas) dot(center point, radius float64, p pen) {
	c.fill(p, func(r *vector.Rasterizer) { circle(r, center, radius) })
}

// polygon adds an outline, in pixels of the figure.
func polygon(r *vector.Rasterizer, points ...point) {
	for i, p := range points {
		x, y := float32(pngScale*p.x), float32(pngScale*p.y)
		if i == 0 {
			r.MoveTo(x, y)
		} else {
			r.LineTo(x, y)
		}
	}
	r.ClosePath()
}

// bar adds a straight line of a half width.
func bar(r *vector.Rasterizer, from, to point, half float64) {
	length := math.Hypot(to.x-from.x, to.y-from.y)
	if length == 0 {
		return
	}
	// across points to the left of the way, so that all outlines turn the same way.
	across := point{(to.y - from.y) / length * half, -(to.x - from.x) / length * half}
	polygon(r, point{from.x + across.x, from.y + across.y}, point{to.x + across.x, to.y + across.y},
		point{to.x - across.x, to.y - across.y}, point{from.x - across.x, from.y - across.y})
}

// circle adds a circle, which turns as bars do.
func circle(r *vector.Rasterizer, center point, radius float64) {
	const corners = 24
	var points [corners]point
	for i := range points {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / corners)
		points[i] = point{center.x + radius*cos, center.y + radius*sin}
	}
	polygon(r, points[:]...)
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
	d := font.Drawer{Dst: c.img, Src: image.NewUniform(light[f.color]), Face: use,
		Dot: fixed.Point26_6{X: fixed.Int26_6(math.Round(64 * pngScale * at.x)), Y: fixed.Int26_6(math.Round(64 * pngScale * at.y))}}
	d.DrawString(visible(s))
}

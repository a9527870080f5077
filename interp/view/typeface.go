package view

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"strconv"
	"strings"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// typeface draws text in the Go font. Places and sizes are in points.
type typeface struct {
	font  *sfnt.Font
	scale float64
	faces map[float64]font.Face // by size
	buf   sfnt.Buffer
}

func newTypeface(scale float64) (*typeface, error) {
	f, err := opentype.Parse(goregular.TTF)
	if err != nil {
		return nil, fmt.Errorf("embedded font: %w", err)
	}
	return &typeface{font: f, scale: scale, faces: map[float64]font.Face{}}, nil
}

// face returns the font in a size; nil for sizes that the library refuses, which none is.
func (t *typeface) face(size float64) font.Face {
	if f := t.faces[size]; f != nil {
		return f
	}
	f, err := opentype.NewFace(t.font, &opentype.FaceOptions{Size: size, DPI: 72 * t.scale, Hinting: font.HintingFull})
	if err != nil {
		return nil
	}
	t.faces[size] = f
	return f
}

// written is a text in characters that the font has: others become \u escapes.
func (t *typeface) written(s string) string {
	var b strings.Builder
	for _, r := range s {
		if i, err := t.font.GlyphIndex(&t.buf, r); err != nil || i == 0 {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// width is that of a text in points.
func (t *typeface) width(s string, size float64) float64 {
	return float64(font.MeasureString(t.face(size), t.written(s))) / 64 / t.scale
}

// draw writes a text whose middle line is at y; it starts at x, ends there (align 1) or
// is centred (align 0.5).
func (t *typeface) draw(img draw.Image, s string, size, x, y, align float64, c color.RGBA) {
	face := t.face(size)
	s = t.written(s)
	width := float64(font.MeasureString(face, s)) / 64
	d := font.Drawer{
		Dst: img, Src: image.NewUniform(c), Face: face,
		Dot: fixed.P(int(math.Round(x*t.scale-align*width)), int(math.Round((y+0.36*size)*t.scale))),
	}
	d.DrawString(s)
}

// up writes a text upwards, in a column whose middle is at x; it starts at y, or ends
// there (align 1).
func (t *typeface) up(img draw.Image, s string, size, x, y, align float64, c color.RGBA) {
	width, height := int(math.Ceil(t.width(s, size)*t.scale))+2, int(math.Ceil(1.5*size*t.scale))
	flat := image.NewRGBA(image.Rect(0, 0, width, height))
	t.draw(flat, s, size, 1/t.scale, float64(height)/2/t.scale, 0, c)
	left, bottom := int(math.Round(x*t.scale))-height/2, int(math.Round(y*t.scale+align*float64(width)))
	turned := image.NewRGBA(image.Rect(left, bottom-width, left+height, bottom))
	for i := range width {
		for j := range height {
			turned.Set(left+j, bottom-1-i, flat.At(i, j))
		}
	}
	draw.Draw(img, turned.Bounds(), turned, turned.Bounds().Min, draw.Over)
}

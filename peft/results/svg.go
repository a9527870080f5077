package results

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"html/template"
	"io"
	"strconv"
)

// SVG writes the figure as a file of its own, on white.
func (f *Figure) SVG(w io.Writer) error {
	b, err := f.svg()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%[2]d" viewBox="0 0 %[1]d %[2]d">
<style>%[3]s</style>
<rect width="%[1]d" height="%[2]d" fill="#fff"/>
%[4]s</svg>
`, figureWidth, figureHeight, colorRules(light)+shapeRules, b)
	return err
}

// inline returns the figure as a part of a page, whose style gives the colours.
func (f *Figure) inline() (template.HTML, error) {
	b, err := f.svg()
	if err != nil {
		return "", err
	}
	var title bytes.Buffer
	if err := escape(&title, f.Title); err != nil {
		return "", err
	}
	return template.HTML(fmt.Sprintf(`<svg viewBox="0 0 %d %d" role="img" aria-label="%s">%s</svg>`, //nolint:gosec // all texts are escaped
		figureWidth, figureHeight, title.Bytes(), b)), nil
}

// svg returns what stands within the svg element.
func (f *Figure) svg() ([]byte, error) {
	fonts, err := openFonts(1)
	if err != nil {
		return nil, err
	}
	c := &svgCanvas{fonts: fonts}
	f.draw(c)
	return c.b.Bytes(), c.err
}

// svgCanvas writes elements, coloured by class. It keeps its first error.
type svgCanvas struct {
	*fonts
	b   bytes.Buffer
	err error
}

// width leaves room for fonts that are wider than Go's: which one a reader has isn't
// known.
func (c *svgCanvas) width(s string, f face) float64 { return 1.15 * c.fonts.width(s, f) }

// pixels writes a length.
func pixels(x float64) string { return strconv.FormatFloat(round(x), 'f', -1, 64) }

func (c *svgCanvas) line(points []point, p pen) {
	c.b.WriteString(`<polyline class="` + p.color.class() + `" points="`)
	for i, at := range points {
		if i > 0 {
			c.b.WriteByte(' ')
		}
		c.b.WriteString(pixels(at.x) + "," + pixels(at.y))
	}
	c.b.WriteString(`" stroke-width="` + pixels(p.width) + `"`)
	if p.opacity < 1 {
		c.b.WriteString(` stroke-opacity="` + pixels(p.opacity) + `"`)
	}
	if p.dash > 0 {
		c.b.WriteString(` stroke-dasharray="` + pixels(p.dash) + `"`)
	}
	c.b.WriteString("/>\n")
}

func (c *svgCanvas) dot(center point, radius float64, p pen) {
	fmt.Fprintf(&c.b, `<circle class="%s" cx="%s" cy="%s" r="%s"/>`+"\n", p.color.class(), pixels(center.x), pixels(center.y), pixels(radius))
}

func (c *svgCanvas) text(at point, s string, f face) {
	fmt.Fprintf(&c.b, `<text class="%s" x="%s" y="%s" font-size="%s"`, f.color.class(), pixels(at.x), pixels(at.y), pixels(f.size))
	if f.bold {
		c.b.WriteString(` font-weight="bold"`)
	}
	if f.anchor != start {
		c.b.WriteString(` text-anchor="` + map[anchor]string{middle: "middle", end: "end"}[f.anchor] + `"`)
	}
	c.b.WriteByte('>')
	if err := escape(&c.b, s); err != nil && c.err == nil {
		c.err = err
	}
	c.b.WriteString("</text>\n")
}

// escape writes a text that can stand in XML and in HTML.
func escape(w io.Writer, s string) error { return xml.EscapeText(w, []byte(visible(s))) }

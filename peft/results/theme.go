package results

import (
	"fmt"
	"image/color"
	"strconv"
	"strings"
)

// theme has a colour for each role.
type theme [int(color0) + colors]color.NRGBA

// The themes. Series differ in lightness too, for readers who see few colours.
var (
	light = theme{
		{0x1d, 0x21, 0x29, 0xff},
		{0x5d, 0x66, 0x74, 0xff},
		{0xe6, 0xe9, 0xee, 0xff},
		{0x2a, 0x6f, 0xdb, 0xff},
		{0xd9, 0x6a, 0x12, 0xff},
		{0x14, 0x8f, 0x6c, 0xff},
		{0x8e, 0x54, 0xc4, 0xff},
		{0xce, 0x3f, 0x86, 0xff},
		{0x97, 0x6a, 0x22, 0xff},
		{0x1f, 0x93, 0xb4, 0xff},
		{0x6b, 0x74, 0x82, 0xff},
	}
	dark = theme{
		{0xe8, 0xea, 0xee, 0xff},
		{0x9a, 0xa3, 0xb2, 0xff},
		{0x2e, 0x34, 0x3f, 0xff},
		{0x6a, 0xa5, 0xff, 0xff},
		{0xff, 0x9d, 0x4d, 0xff},
		{0x46, 0xc9, 0x9f, 0xff},
		{0xbd, 0x8c, 0xf2, 0xff},
		{0xf4, 0x7a, 0xb4, 0xff},
		{0xd2, 0xa8, 0x5c, 0xff},
		{0x5c, 0xc6, 0xe6, 0xff},
		{0xa4, 0xad, 0xbb, 0xff},
	}
)

// class names a role in style sheets.
func (r role) class() string {
	switch r {
	case ink:
		return "ink"
	case muted:
		return "muted"
	case grid:
		return "grid"
	}
	return "c" + strconv.Itoa(int(r-color0))
}

// colorRules are the style rules that set a theme's colours.
func colorRules(t theme) string {
	var b strings.Builder
	b.WriteString(":root{")
	for i, c := range t {
		fmt.Fprintf(&b, "--%s:#%02x%02x%02x;", role(i).class(), c.R, c.G, c.B)
	}
	b.WriteString("}")
	return b.String()
}

// shapeRules are the style rules of what an SVG consists of.
var shapeRules = func() string {
	var b strings.Builder
	b.WriteString("polyline{fill:none;stroke-linejoin:round}text{font-family:system-ui,sans-serif}")
	for i := range light {
		class := role(i).class()
		fmt.Fprintf(&b, "polyline.%[1]s{stroke:var(--%[1]s)}circle.%[1]s,text.%[1]s{fill:var(--%[1]s)}", class)
	}
	return b.String()
}()

package view_test

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gpupeft/gpupeft/interp/view"
)

// picture returns a matrix as it is after encoding, and writes it where pictures go.
func picture(t *testing.T, name string, m view.Matrix, o view.PNGOptions) image.Image {
	t.Helper()
	var b bytes.Buffer
	if err := view.PNG(&b, m, o); err != nil {
		t.Fatal(err)
	}
	if *shots != "" {
		if err := os.WriteFile(filepath.Join(*shots, "png-"+name+".png"), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	img, err := png.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// has reports whether a picture has pixels of a colour, at least n.
func has(img image.Image, c color.RGBA, n int) bool {
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			if img.At(x, y) == c {
				n--
			}
		}
	}
	return n <= 0
}

func TestPNG(t *testing.T) {
	page := samplePage()
	scores, attention := page.Sections[0].(view.Scores), page.Sections[1].(view.Attention)
	pattern, err := attention.Matrix(3, 1)
	if err != nil {
		t.Fatal(err)
	}
	zero, most := color.RGBA{0xf5, 0xf5, 0xf3, 255}, color.RGBA{0x08, 0x31, 0x5f, 255}
	negative, positive, mark := color.RGBA{0x8a, 0x2a, 0x0c, 255}, color.RGBA{0x0b, 0x3d, 0x73, 255}, color.RGBA{0xd9, 0x48, 0x0f, 255}
	img := picture(t, "scores", scores.Scores[0].Matrix(3), view.PNGOptions{})
	if !has(img, most, 20) || !has(img, mark, 20) {
		t.Error("no cell of the largest value, or no baseline")
	}
	img = picture(t, "signed", view.Matrix{Title: "signed", Values: [][]float32{{-2, 0, 2}, {float32(math.NaN()), 1, -1}}}, view.PNGOptions{})
	for _, c := range []color.RGBA{zero, negative, positive} {
		if !has(img, c, 1000) {
			t.Errorf("no cell of %v", c)
		}
	}
	once := picture(t, "pattern", pattern, view.PNGOptions{})
	twice := picture(t, "pattern-4", pattern, view.PNGOptions{Scale: 4, Dark: true})
	if a, b := once.Bounds().Dx(), twice.Bounds().Dx(); b < 2*a-4 || b > 2*a+4 {
		t.Errorf("%d pixels, and %d at twice the scale", a, b)
	}
	picture(t, "tokens", view.Matrix{
		Title: "Текст, 日本 and \u202e", RowName: "from", ColumnName: "to", Rows: []string{"a", "·日本語", strings.Repeat("long ", 30)},
		Columns: []string{"·naïve", "·Ελλ", "x"}, Values: [][]float32{{100, 2000, 3}, {4, 50, 6}, {70, 8, 9}},
	}, view.PNGOptions{})
	picture(t, "one", view.Matrix{Values: [][]float32{{0}}}, view.PNGOptions{Scale: 1, Cell: 3})
}

// TestPNGCells: the colours lie where the layout says: 3 × 2 cells of 20 points at the
// left and top edge of the first coloured pixel.
func TestPNGCells(t *testing.T) {
	img := picture(t, "cells", view.Matrix{Values: [][]float32{{1, 1, 1}, {1, 1, 1}}}, view.PNGOptions{Scale: 1, Cell: 20})
	full := color.RGBA{0x08, 0x31, 0x5f, 255}
	box := image.Rectangle{}
	for y := range img.Bounds().Dy() - 40 { // without the scale
		for x := range img.Bounds().Dx() {
			if img.At(x, y) == full {
				box = box.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	if box.Dx() != 59 || box.Dy() != 39 {
		t.Errorf("cells take %v", box)
	}
}

func TestPNGErrors(t *testing.T) {
	wide := [][]float32{make([]float32, 9000)}
	for _, c := range []struct {
		m    view.Matrix
		o    view.PNGOptions
		want string
	}{
		{view.Matrix{}, view.PNGOptions{}, "no values"},
		{view.Matrix{Values: wide}, view.PNGOptions{}, "1 × 9000 cells take"},
		{view.Matrix{Values: [][]float32{{1}}}, view.PNGOptions{Scale: 100}, "scale 100"},
		{view.Matrix{Values: [][]float32{{1}}}, view.PNGOptions{Scale: math.NaN()}, "scale NaN"},
		{view.Matrix{Values: [][]float32{{1}}, Max: math.Inf(1)}, view.PNGOptions{}, "colours from"},
	} {
		var b bytes.Buffer
		if err := view.PNG(&b, c.m, c.o); !errors.Is(err, view.ErrInput) || !strings.Contains(err.Error(), c.want) || b.Len() > 0 {
			t.Errorf("%v, %d bytes; want %q", err, b.Len(), c.want)
		}
	}
}

var escapes = regexp.MustCompile("\x1b\\[[0-9;]*m")

// TestTerminal: lines fit, with and without colours, and hold nothing but colours and
// printable text.
func TestTerminal(t *testing.T) {
	m := samplePage().Sections[0].(view.Scores).Scores[3].Matrix(3)
	long := view.Matrix{Title: "many\x1b[2J", RowName: "a\u202eb", Rows: []string{"日本", "\x07"}, Columns: make([]string, 100), Values: noise(2, 100, 1, 1)}
	for i := range long.Columns {
		long.Columns[i] = fmt.Sprintf("·token%d", i)
	}
	for _, m := range []view.Matrix{m, long} {
		for _, width := range []int{0, 40, 60, 200} {
			plain := view.Terminal(m, view.TerminalOptions{Width: width})
			colored := view.Terminal(m, view.TerminalOptions{Width: width, Color: true})
			limit := width
			if width == 0 {
				limit = 80
			}
			for i, text := range []string{plain, escapes.ReplaceAllString(colored, "")} {
				if strings.ContainsAny(text, "\x1b\a\u202e") {
					t.Errorf("controls in %q", text)
				}
				for line := range strings.Lines(text) {
					if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > limit {
						t.Errorf("width %d, %d: a line of %d: %q", width, i, n, line)
					}
				}
			}
			if a, b := strings.Count(plain, "\n"), strings.Count(colored, "\n"); a != b {
				t.Errorf("width %d: %d lines, %d with colours", width, a, b)
			}
		}
	}
	if text := view.Terminal(view.Matrix{Title: "x"}, view.TerminalOptions{}); text != "x: no values: cannot be drawn\n" {
		t.Errorf("%q", text)
	}
}

// TestTerminalColours: the ends of both scales, as xterm's palette has them nearest.
func TestTerminalColours(t *testing.T) {
	text := view.Terminal(view.Matrix{Values: [][]float32{{0, 1}}}, view.TerminalOptions{Color: true})
	cells := strings.Split(text, "\n")[1]
	if want := "0 \x1b[48;5;235m   \x1b[0m\x1b[48;5;195m   \x1b[0m"; cells != want {
		t.Errorf("%q, want %q", cells, want)
	}
}

func TestPatternMatrix(t *testing.T) {
	a := view.Attention{Tokens: []string{"x", "", " y"}, Heads: 2, Patterns: [][]float32{{
		0.5, 0.5, 0, 0.2, 0.3, 0.5,
		0.25, 0.75, 0, 0.125, 0.125, 0.75,
	}}} // [2 heads, 2 queries, 3 keys]
	m, err := a.Matrix(0, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(m.Rows, m.Columns, m.Values); got != `["" ·y] [x "" ·y] [[0.25 0.75 NaN] [0.125 0.125 0.75]]` {
		t.Error(got)
	}
	if _, err := a.Matrix(0, 2); !errors.Is(err, view.ErrInput) {
		t.Error(err)
	}
}

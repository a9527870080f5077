package view

import (
	"fmt"
	"image/color"
	"math"
	"strings"
	"unicode"
)

// TerminalOptions say how a matrix is written to a terminal.
type TerminalOptions struct {
	// Color writes ANSI sequences of the 256 colours; small values are dark. Without it
	// cells are shaded characters, and negative ones have a minus sign.
	Color bool
	Width int // columns of the terminal; 0 is 80
}

const (
	cellWidth  = 3 // columns of the terminal that a cell takes
	stripCells = 7 // cells of the scale
)

// Terminal is a heat map as lines of text, with its title, labels and scale. A matrix wider
// than the terminal is continued below. Of a matrix that can't be drawn it says why.
func Terminal(m Matrix, o TerminalOptions) string {
	if err := m.check(); err != nil {
		return fmt.Sprintf("%s: %v\n", visible(m.Title, maxLabel), err)
	}
	if o.Width == 0 {
		o.Width = 80
	}
	var b strings.Builder
	if m.Title != "" {
		fmt.Fprintln(&b, visible(m.Title, o.Width))
	}
	rows, columns := axis(m.Rows, len(m.Values)), axis(m.Columns, len(m.Values[0]))
	corner := visible(m.RowName, maxLabel)
	left := displayWidth(corner)
	for _, r := range rows {
		left = max(left, displayWidth(r))
	}
	s := terminalScale{m.scale(), o.Color}
	for from, to := 0, 0; from < len(columns); from = to {
		for used := left + 1; to < len(columns) && (to == from || used+cellWidth+m.gap(from, to) <= o.Width); to++ {
			used += cellWidth + m.gap(from, to)
		}
		if from > 0 {
			b.WriteByte('\n')
		}
		if m.ColumnName != "" {
			fmt.Fprintf(&b, "%*s %s\n", left, "", visible(m.ColumnName, maxLabel))
		}
		b.WriteString(strings.TrimRight(padLeft(corner, left)+" "+m.header(columns, from, to), " ") + "\n")
		for r, row := range m.Values {
			var line strings.Builder
			line.WriteString(padLeft(rows[r], left) + " ")
			for c := from; c < to; c++ {
				line.WriteString(strings.Repeat(" ", m.gap(from, c)))
				line.WriteString(s.cell(float64(row[c])))
			}
			b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
		}
	}
	before, after := number(s.Low)+" ", " "+number(s.High)
	if m.Baseline != 0 {
		after += "   baseline " + number(m.Baseline)
	}
	indent := min(left+1, max(0, o.Width-len(before)-len(after)-stripCells*cellWidth))
	fmt.Fprintf(&b, "%*s%s%s%s\n", indent, "", before, s.strip(), after)
	return b.String()
}

// gap is how many blanks stand before a column: one between groups.
func (m Matrix) gap(from, column int) int {
	if m.Group > 1 && column > from && column%m.Group == 0 {
		return 1
	}
	return 0
}

// header is the labels above columns [from, to): as many as fit, evenly.
func (m Matrix) header(labels []string, from, to int) string {
	longest := 0
	for _, l := range labels[from:to] {
		longest = max(longest, min(displayWidth(l), 3*cellWidth-1))
	}
	every := 1 + longest/cellWidth
	var b strings.Builder
	at := 0 // where the next column's label would begin
	for c := from; c < to; c++ {
		at += m.gap(from, c)
		if (c-from)%every == 0 {
			label := clip(labels[c], min(every*cellWidth-1, (to-c)*cellWidth))
			start := at + max(0, (cellWidth-displayWidth(label))/2)
			b.WriteString(strings.Repeat(" ", max(0, start-displayWidth(b.String()))) + label)
		}
		at += cellWidth
	}
	return b.String()
}

// terminalScale draws the cells of a terminal.
type terminalScale struct {
	bounds
	color bool
}

var shades = []string{" ", "░", "▒", "▓", "█"}

// cell is a value as a coloured or shaded cell.
func (s terminalScale) cell(v float64) string {
	switch {
	case v != v:
		return " · "
	case s.color:
		return fmt.Sprintf("\x1b[48;5;%dm%*s\x1b[0m", xterm(dark.of(s.bounds).at(s.at(v))), cellWidth, "")
	}
	size := max(v, -v) / s.High
	if !s.signed() {
		size = s.at(v)
	}
	shade := shades[int(math.Round(min(1, size)*float64(len(shades)-1)))]
	if v < 0 && shade != " " {
		return "-" + shade + shade
	} else if s.signed() {
		return " " + shade + shade
	}
	return shade + shade + shade
}

// strip is the scale of colours.
func (s terminalScale) strip() string {
	var b strings.Builder
	for i := range stripCells {
		b.WriteString(s.cell(s.Low + float64(i)/(stripCells-1)*(s.High-s.Low)))
	}
	return b.String()
}

// xterm is the nearest of the 216 colours and 24 greys that terminals number from 16.
func xterm(c color.RGBA) int {
	levels := [6]int{0, 95, 135, 175, 215, 255}
	nearest := func(v uint8) int {
		best := 0
		for i, l := range levels {
			if abs(l-int(v)) < abs(levels[best]-int(v)) {
				best = i
			}
		}
		return best
	}
	far := func(r, g, b int) int {
		return (r-int(c.R))*(r-int(c.R)) + (g-int(c.G))*(g-int(c.G)) + (b-int(c.B))*(b-int(c.B))
	}
	r, g, b := nearest(c.R), nearest(c.G), nearest(c.B)
	grey := max(0, min(23, ((int(c.R)+int(c.G)+int(c.B))/3-8+5)/10))
	if l := 8 + 10*grey; far(l, l, l) < far(levels[r], levels[g], levels[b]) {
		return 232 + grey
	}
	return 16 + 36*r + 6*g + b
}

func abs(v int) int { return max(v, -v) }

// displayWidth is how many columns of a terminal a text takes.
func displayWidth(s string) int {
	n := 0
	for _, r := range s {
		switch {
		case unicode.In(r, unicode.Mn, unicode.Me):
		case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul) || r >= 0xff01 && r <= 0xff60 || r >= 0x1f300 && r <= 0x1faff:
			n += 2
		default:
			n++
		}
	}
	return n
}

// clip shortens a text to a width.
func clip(s string, width int) string {
	if displayWidth(s) <= width {
		return s
	}
	runes := []rune(s)
	for len(runes) > 0 && displayWidth(string(runes)) >= width {
		runes = runes[:len(runes)-1]
	}
	return string(runes) + "…"
}

func padLeft(s string, width int) string {
	return strings.Repeat(" ", max(0, width-displayWidth(s))) + s
}

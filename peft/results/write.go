package results

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// JSON writes the table with its trials.
func (t *Table) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(t)
}

// CSV writes one line a row, with means and standard deviations in full precision. Cells
// of what was not measured are empty.
func (t *Table) CSV(w io.Writer) error {
	names := []string{"model", "data", "method", "baseline", "trials"}
	for _, m := range t.Metrics {
		name := strings.ReplaceAll(m.Name, " ", "_")
		names = append(names, name, name+"_sd")
	}
	names = append(names, "params", "tokens_per_s", "peak_bytes", "seconds")
	out := csv.NewWriter(w)
	if err := out.Write(names); err != nil {
		return err
	}
	for _, r := range t.Rows {
		cells := []string{r.Model, r.Data, r.Method, strconv.FormatBool(r.Baseline), strconv.Itoa(r.Trials)}
		for _, s := range r.Metrics {
			cells = append(cells, full(s.Mean), full(s.SD))
		}
		cells = append(cells, strconv.FormatInt(r.Params, 10), full(r.TokensPerS.Mean), full(r.PeakBytes.Mean), full(r.Seconds.Mean))
		if err := out.Write(cells); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// full writes a number in full precision, nothing for none.
func full(x float64) string {
	if !finite(x) {
		return ""
	}
	return strconv.FormatFloat(x, 'g', -1, 64)
}

// Markdown writes one table for each model and data set, the best values in bold.
func (t *Table) Markdown(w io.Writer) error {
	var b strings.Builder
	for i, group := range t.groups() {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "### %s\n\n", markdown(t.name(group[0])))
		s := t.sheet(group)
		for i, title := range s.Titles {
			s.Titles[i] = markdown(title)
		}
		b.WriteString("| " + strings.Join(s.Titles, " | ") + " |\n|" + " --- |" + strings.Repeat(" ---: |", len(s.Titles)-1) + "\n")
		for _, r := range s.Rows {
			name := markdown(r.Name)
			if r.Baseline {
				name = "*" + name + "*"
			}
			b.WriteString("| " + name + " |")
			for _, c := range r.Cells {
				text := c.Text
				if c.Best {
					text = "**" + text + "**"
				}
				b.WriteString(" " + text + " |")
			}
			b.WriteByte('\n')
		}
	}
	if note := t.note(); note != "" {
		b.WriteString("\n" + note + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

var markdownEscapes = strings.NewReplacer("\\", "\\\\", "|", "\\|", "*", "\\*", "_", "\\_", "`", "\\`", "<", "&lt;", "&", "&amp;", "[", "\\[", "]", "\\]")

// markdown writes a text as a part of a line that means nothing but itself.
func markdown(text string) string {
	return markdownEscapes.Replace(strings.Join(strings.Fields(visible(text)), " "))
}

// HTML writes a page with a table and a plot for each model and data set.
func (t *Table) HTML(w io.Writer, made string) error {
	p := page{Title: t.Title, Lead: t.note(), Made: made}
	for _, group := range t.groups() {
		plot, err := newPicture(t.scatter(group))
		if err != nil {
			return err
		}
		p.Sections = append(p.Sections, section{t.name(group[0]), t.sheet(group), plot})
	}
	return p.write(w)
}

// name names what the rows of a group have in common.
func (t *Table) name(r Row) string {
	switch {
	case r.Model == "" && r.Data == "":
		return t.Title
	case r.Model == "" || r.Data == "":
		return r.Model + r.Data
	}
	return r.Model + " on " + r.Data
}

// note explains the numbers.
func (t *Table) note() string {
	most := 0
	for _, r := range t.Rows {
		most = max(most, r.Trials)
	}
	if most < 2 {
		return ""
	}
	return fmt.Sprintf("Means ± standard deviations over up to %d seeds. Rows in italics are baselines: nothing was trained.", most)
}

// sheet lays a group out as a table. Columns of which no row knows anything are left out.
func (t *Table) sheet(group []Row) *sheet {
	s := &sheet{Titles: []string{"method"}, Sortable: true}
	for _, r := range group {
		s.Rows = append(s.Rows, sheetRow{Name: r.Method, Baseline: r.Baseline})
	}
	for i, m := range t.Metrics {
		s.add(m.title(), group, func(r Row) cell {
			return cell{r.Metrics[i].text(m.text), full(r.Metrics[i].Mean), t.best(i, r, group)}
		})
	}
	s.add("trained values", group, func(r Row) cell { return amount(float64(r.Params), thousands(r.Params)) })
	s.add("tokens/s", group, func(r Row) cell { return amount(r.TokensPerS.Mean, thousands(int64(r.TokensPerS.Mean))) })
	s.add("peak memory", group, func(r Row) cell { return amount(r.PeakBytes.Mean, byteSize(r.PeakBytes.Mean)) })
	s.add("time", group, func(r Row) cell { return amount(r.Seconds.Mean, duration(r.Seconds.Mean)) })
	s.add("seeds", group, func(r Row) cell { return amount(float64(r.Trials), strconv.Itoa(r.Trials)) })
	return s
}

// add appends a column, unless all its cells are empty.
func (s *sheet) add(title string, group []Row, of func(Row) cell) {
	cells := make([]cell, len(group))
	for i, r := range group {
		cells[i] = of(r)
	}
	if !slices.ContainsFunc(cells, func(c cell) bool { return c.Text != "" }) {
		return
	}
	s.Titles = append(s.Titles, title)
	for i, c := range cells {
		s.Rows[i].Cells = append(s.Rows[i].Cells, c)
	}
}

// amount is the cell of a quantity; 0 and NaN are not measured.
func amount(x float64, text string) cell {
	if !(x > 0) {
		return cell{}
	}
	return cell{Text: text, Sort: full(x)}
}

// duration writes seconds: 0.4 s, 17 s, 4 min 9 s, 2 h 5 min.
func duration(seconds float64) string {
	switch whole := int64(seconds + 0.5); {
	case seconds < 9.95:
		return strconv.FormatFloat(seconds, 'f', 1, 64) + " s"
	case whole < 60:
		return fmt.Sprintf("%d s", whole)
	case whole < 3600:
		return fmt.Sprintf("%d min %d s", whole/60, whole%60)
	default:
		return fmt.Sprintf("%d h %d min", whole/3600, whole/60%60)
	}
}

package results

import (
	"io"
	"math"

	"github.com/gpupeft/gpupeft/peft/runlog"
)

// Run is what a page says about one training run. Parts that are empty are left out.
type Run struct {
	Title   string
	Lead    string   // a sentence or two below the title
	Notes   []string // what the reader should know, such as that the run was interrupted
	Facts   []Pair   // the few numbers that matter most, shown large
	Log     []runlog.Record
	Scores  Scores
	Samples []Sample
	Groups  []Group // all else: settings, data, environment
	Made    string  // by which program, and when
}

// Pair is a name with its value.
type Pair struct{ Name, Value string }

// Group is a titled list of pairs.
type Group struct {
	Name  string
	Pairs []Pair
}

// Sample shows what training changed in a text.
type Sample struct {
	Prompt, Before, After string
	Right                 string // the continuation that was wanted; "": not known
	During                []Pair // on the way: after which step, and the text
}

// Scores compare models, or a model at several times, with baselines.
type Scores struct {
	Metrics []Metric
	Rows    []ScoreRow
}

// ScoreRow is a line of a comparison.
type ScoreRow struct {
	Name     string
	Values   []float64 // by metric; NaN: not measured
	Baseline bool
}

// HTML writes a page about the run.
func (r Run) HTML(w io.Writer) error {
	p := page{Title: r.Title, Lead: r.Lead, Notes: r.Notes, Facts: r.Facts, Samples: r.Samples, Groups: r.Groups, Made: r.Made}
	curves, err := newPicture(Curves("", r.Log))
	if err != nil {
		return err
	}
	if curves != nil {
		p.Sections = append(p.Sections, section{Name: "Training", Figure: curves})
	}
	if len(r.Scores.Rows) > 0 {
		p.Sections = append(p.Sections, section{Name: "On held-out examples", Table: r.Scores.sheet()})
	}
	return p.write(w)
}

// sheet marks the best value of each column, where there is something to compare.
func (s Scores) sheet() *sheet {
	t := &sheet{Titles: []string{""}}
	for _, m := range s.Metrics {
		t.Titles = append(t.Titles, m.title())
	}
	for _, row := range s.Rows {
		r := sheetRow{Name: row.Name, Baseline: row.Baseline}
		for i, m := range s.Metrics {
			r.Cells = append(r.Cells, cell{Text: m.text(row.value(i)), Best: m.best(row.value(i), s.column(i))})
		}
		t.Rows = append(t.Rows, r)
	}
	return t
}

func (s Scores) column(metric int) (values []float64) {
	for _, r := range s.Rows {
		values = append(values, r.value(metric))
	}
	return values
}

// value returns the row's value of a metric, NaN if it has none.
func (r ScoreRow) value(metric int) float64 {
	if metric >= len(r.Values) {
		return math.NaN()
	}
	return r.Values[metric]
}

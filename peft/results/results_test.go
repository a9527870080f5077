package results

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"image/png"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/peft/runlog"
)

// steps returns the log of a run whose loss falls from 4, evaluated every tenth step.
func steps(n int) (log []runlog.Record) {
	for i := 1; i <= n; i++ {
		x := 4 * math.Exp(-3*float64(i)/float64(n))
		r := runlog.Record{Step: i, Loss: x * (1 + 0.2*math.Sin(7*float64(i))), LR: 1e-3 * (1 - float64(i)/float64(n)), Tokens: 512}
		if i%10 == 0 {
			r.ValLoss = &x
		}
		log = append(log, r)
	}
	return log
}

// trials are those of three methods and two baselines over three seeds.
func trials() (all []Trial) {
	add := func(method string, baseline bool, params int64, accuracy ...float64) {
		for seed, x := range accuracy {
			t := Trial{Model: "smol", Data: "SST-2", Method: method, Baseline: baseline, Seed: uint64(seed), Params: params, Metrics: map[string]float64{"exact match": x}}
			if !baseline {
				t.TokensPerS, t.PeakBytes, t.Seconds = 300, 412_000_000, 100+10*float64(seed)
			}
			all = append(all, t)
		}
	}
	add("majority", true, 0, 0.509)
	add("prompt", false, 11520, 0.85, 0.86, 0.87)
	add("lora", false, 2442240, 0.87, 0.88, 0.875)
	add("ia3", false, 95040, 0.84)
	add("few-shot", true, 0, 0.713)
	return all
}

func TestStat(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		values   []float64
		n        int
		mean, sd float64 // of numpy: mean, std(ddof=1)
	}{
		{[]float64{2, 4, 4, 4, 5, 5, 7, 9}, 8, 5, 2.1380899352993947},
		{[]float64{1e9 + 1, 1e9 + 2, 1e9 + 3}, 3, 1e9 + 2, 1},
		{[]float64{0.85, nan, 0.87, math.Inf(1)}, 2, 0.86, 0.014142135623730963},
		{[]float64{3}, 1, 3, nan},
		{nil, 0, nan, nan},
	} {
		s := NewStat(c.values)
		if s.N != c.n || !near(s.Mean, c.mean) || !near(s.SD, c.sd) {
			t.Errorf("%v: %+v", c.values, s)
		}
		b, err := json.Marshal(s)
		if err != nil || strings.Contains(string(b), "null") != math.IsNaN(c.sd) {
			t.Errorf("%v: %s, %v", c.values, b, err)
		}
	}
}

func near(a, b float64) bool {
	return math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= 1e-12*math.Abs(b)
}

func TestTable(t *testing.T) {
	table := NewTable("SST-2", []Metric{Exact, Loss}, trials())
	want := `### smol on SST-2

| method | exact match, % | trained values | tokens/s | peak memory | time | seeds |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
| lora | **87.5 ± 0.5** | 2,442,240 | 300 | 412 MB | 1 min 50 s | 3 |
| prompt | 86.0 ± 1.0 | 11,520 | 300 | 412 MB | 1 min 50 s | 3 |
| ia3 | 84.0 | 95,040 | 300 | 412 MB | 1 min 40 s | 1 |
| *few-shot* | 71.3 |  |  |  |  | 1 |
| *majority* | 50.9 |  |  |  |  | 1 |

Means ± standard deviations over up to 3 seeds. Rows in italics are baselines: nothing was trained.
`
	if got := written(t, table.Markdown); got != want {
		t.Errorf("Markdown:\n%s", got)
	}
	want = `model,data,method,baseline,trials,exact_match,exact_match_sd,loss,loss_sd,params,tokens_per_s,peak_bytes,seconds
smol,SST-2,lora,false,3,0.875,0.0050000000000000044,,,2442240,300,4.12e+08,110
smol,SST-2,prompt,false,3,0.86,0.010000000000000009,,,11520,300,4.12e+08,110
smol,SST-2,ia3,false,1,0.84,,,,95040,300,4.12e+08,100
smol,SST-2,few-shot,true,1,0.713,,,,0,,,
smol,SST-2,majority,true,1,0.509,,,,0,,,
`
	if got := written(t, table.CSV); got != want {
		t.Errorf("CSV:\n%s", got)
	}
	var back struct {
		Metrics []Metric
		Rows    []struct {
			Method  string
			Metrics []struct{ Mean, SD, Min, Max *float64 }
		}
		Trials []Trial
	}
	if err := json.Unmarshal([]byte(written(t, table.JSON)), &back); err != nil {
		t.Fatal(err)
	}
	lora := back.Rows[0]
	if lora.Method != "lora" || *lora.Metrics[0].Min != 0.87 || *lora.Metrics[0].Max != 0.88 || lora.Metrics[1].Mean != nil || !reflect.DeepEqual(back.Trials, trials()) {
		t.Errorf("JSON: %+v", back)
	}
}

// TestLowerIsBetter: the order follows the metric, and what was not measured comes last.
func TestLowerIsBetter(t *testing.T) {
	var all []Trial
	for method, loss := range map[string]float64{"a": 2, "b": 1, "c": math.NaN(), "d": 3} {
		all = append(all, Trial{Method: method, Metrics: map[string]float64{"loss": loss}})
	}
	var order string
	table := NewTable("", []Metric{Loss}, all)
	if text := written(t, table.JSON); !json.Valid([]byte(text)) {
		t.Error(text)
	}
	for _, r := range table.Rows {
		order += r.Method
	}
	if order != "badc" {
		t.Error(order)
	}
}

func TestGroupsKeepTheirOrder(t *testing.T) {
	var all []Trial
	for _, data := range []string{"z", "y", "z", "x"} {
		all = append(all, Trial{Model: "m", Data: data, Method: "lora", Metrics: map[string]float64{"loss": 1}})
	}
	var got []string
	for _, r := range NewTable("", []Metric{Loss}, all).Rows {
		got = append(got, fmt.Sprint(r.Data, r.Trials))
	}
	if want := []string{"z2", "y1", "x1"}; !reflect.DeepEqual(got, want) {
		t.Error(got)
	}
}

func TestScatterLeavesOutFarBaselines(t *testing.T) {
	table := NewTable("", []Metric{Exact}, trials())
	svg := written(t, table.Scatter()[0].SVG)
	for text, want := range map[string]bool{">few-shot<": true, ">majority<": false, ">lora<": true, ">prompt<": true, ">ia3<": true, ">1M<": true} {
		if strings.Contains(svg, text) != want {
			t.Errorf("%s: %v", text, !want)
		}
	}
	front := table.front(Series{X: []float64{30, 10, 20, 20}, Y: []float64{5, 3, 2, 4}})
	if !reflect.DeepEqual(front.X, []float64{10, 20, 30}) || !reflect.DeepEqual(front.Y, []float64{3, 4, 5}) {
		t.Errorf("front: %+v", front)
	}
	if f := NewTable("", []Metric{Exact}, trials()[:1]).Scatter(); f != nil {
		t.Error("a figure of a baseline alone")
	}
}

// figures are all sorts of figures, the unusual ones among them.
func figures() map[string]*Figure {
	nan, inf := math.NaN(), math.Inf(1)
	return map[string]*Figure{
		"run":       Curves("a run", steps(300)),
		"long run":  Curves("a long run", steps(100_000)),
		"one step":  Curves("", steps(1)),
		"same loss": Curves("", []runlog.Record{{Step: 1, Loss: 2}, {Step: 2, Loss: 2}}),
		"no loss":   Curves("", []runlog.Record{{Step: 1, Loss: nan, ValLoss: &inf}, {Step: 2, Loss: inf, LR: nan}}),
		"gap":       Curves("", []runlog.Record{{Step: 1, Loss: 1}, {Step: 2, Loss: nan}, {Step: 3, Loss: 1e-9}}),
		"huge":      Curves("", []runlog.Record{{Step: 1, Loss: 1e300}, {Step: 1 << 50, Loss: 1}, {Step: 1<<50 + 1, Loss: -1e300}}),
		"near":      Curves("", []runlog.Record{{Step: 1, Loss: 1}, {Step: 2, Loss: math.Nextafter(1, 2)}}),
		"scatter":   NewTable("", []Metric{Exact}, trials()).Scatter()[0],
		"nothing":   {},
		"no series": {Title: "none", Panels: []Panel{{}, {Y: Axis{Log: true}}}},
	}
}

// TestFiguresAreFiles: SVG is XML with finite numbers only, PNG an image.
func TestFiguresAreFiles(t *testing.T) {
	for name, f := range figures() {
		svg := written(t, f.SVG)
		d := xml.NewDecoder(strings.NewReader(svg))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Errorf("%s: %v", name, err)
				break
			}
		}
		for _, bad := range []string{"NaN", "Inf"} {
			if strings.Contains(svg, bad) {
				t.Errorf("%s: %s in the SVG", name, bad)
			}
		}
		if len(svg) > 100_000 {
			t.Errorf("%s: an SVG of %d bytes", name, len(svg))
		}
		img, err := png.Decode(strings.NewReader(written(t, f.PNG)))
		if err != nil || img.Bounds().Dx() != 1600 || img.Bounds().Dy() != 1000 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if Curves("", nil) != nil {
		t.Error("curves of nothing")
	}
}

// TestDotsAreWhereMarksSay: the PNG shows the colour of a held-out loss and of the learning
// rate at the places that a page points to.
func TestDotsAreWhereMarksSay(t *testing.T) {
	f := Curves("", steps(100))
	img, err := png.Decode(strings.NewReader(written(t, f.PNG)))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, m := range f.marks {
		for _, d := range m.Dots {
			if color := int(d[1]); color != 0 { // the line of the mean may lie under a dot
				seen++
				got, want := img.At(int(pngScale*m.X), int(pngScale*d[0])), light[int(color0)+color]
				if r, g, b, _ := got.RGBA(); uint8(r>>8) != want.R || uint8(g>>8) != want.G || uint8(b>>8) != want.B {
					t.Errorf("%q: %v at %v, %v, want %v", m.Text, got, m.X, d[0], want)
				}
			}
		}
	}
	if seen != 110 { // 10 held-out losses, 100 rates
		t.Errorf("%d dots", seen)
	}
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		axis      Axis
		low, high float64
		want      string
	}{
		{Axis{}, 0, 300, "0 50 100 150 200 250 300"},
		{Axis{}, 0, 0.005, "0 0.001 0.002 0.003 0.004 0.005"},
		{Axis{}, -2e-5, 2e-5, "-2e-5 -1e-5 0 1e-5 2e-5"},
		{Axis{}, 0, 123456, "0 50,000 100,000"},
		{Axis{}, 7, 7, "4 6 8 10"},
		{Axis{Log: true}, 0.5, 30, "0.5 1 2 5 10 20"},
		{Axis{Log: true}, 1e-5, 10, "1e-5 0.0001 0.001 0.01 0.1 1 10"},
		{Axis{Log: true}, 2.1, 2.4, "2.1 2.15 2.2 2.25 2.3 2.35 2.4"},
		{Axis{Log: true}, 0, 4, "0 1 2 3 4"},
		{Axis{Log: true, Format: counted}, 900, 3e6, "1k 10k 100k 1M"},
	} {
		s := newScale(c.axis, span{c.low, c.high}, 0, 100, 0)
		var got []string
		for _, x := range s.ticks(6) {
			got = append(got, s.label(x))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%v to %v: %v", c.low, c.high, got)
		}
	}
}

func TestMovingMean(t *testing.T) {
	got := movingMean([]float64{1, 2, 3, 10, math.NaN(), 4}, 3)
	want := []float64{1, 2, 5, 6.5, 7, 4}
	if !reflect.DeepEqual(got, want) {
		t.Error(got)
	}
}

// TestThinKeepsSpikes: one high, one low value in many survive, whatever else is NaN.
func TestThinKeepsSpikes(t *testing.T) {
	x, y := make([]float64, 100_000), make([]float64, 100_000)
	for i := range x {
		x[i], y[i] = float64(i), 1
		if i%3 == 0 {
			y[i] = math.NaN()
		}
	}
	y[70_001], y[70_003] = 50, -50
	thinX, thinY := thin(x, y, 600)
	if s := spanOf(thinY); s != (span{-50, 50}) || len(thinX) != 1200 {
		t.Errorf("%v, %d values", s, len(thinX))
	}
}

func written(t *testing.T, write func(io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

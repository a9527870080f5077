package experiment_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/peft/experiment"
	"github.com/gpupeft/gpupeft/peft/results"
)

const reviews = `
name: reviews
metric: exact
settings: {steps: 20, lr: 1e-3, packing: true}
models:
  - {name: Small, model: small.gguf}
  - {name: Large one, model: large.gguf, batch-size: 1}
datasets:
  - {name: SST-2, data: sst2, lr: 0.5}
methods:
  - {name: LoRA, method: lora, target-modules: [q_proj, v_proj]}
  - {name: prompt, method: prompt, steps: 40}
seeds: [7, 8]
baselines: [majority, few-shot-3]
`

func parse(t *testing.T, text string) *experiment.Plan {
	t.Helper()
	p, err := experiment.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCells(t *testing.T) {
	cells := parse(t, reviews).Cells()
	var dirs []string
	for _, c := range cells {
		dirs = append(dirs, c.Dir())
	}
	want := []string{
		"small/sst-2/majority/baseline", "small/sst-2/few-shot-3/baseline", "small/sst-2/lora/seed-7", "small/sst-2/lora/seed-8",
		"small/sst-2/prompt/seed-7", "small/sst-2/prompt/seed-8",
		"large-one/sst-2/majority/baseline", "large-one/sst-2/few-shot-3/baseline", "large-one/sst-2/lora/seed-7", "large-one/sst-2/lora/seed-8",
		"large-one/sst-2/prompt/seed-7", "large-one/sst-2/prompt/seed-8",
	}
	if !reflect.DeepEqual(dirs, want) {
		t.Errorf("cells %v, want %v", dirs, want)
	}
	last := cells[len(cells)-1]
	settings := experiment.Settings{
		"steps": "40", "lr": "0.5", "packing": "true", "model": "large.gguf", "batch-size": "1", "data": "sst2",
		"method": "prompt", "seed": "8",
	}
	if !reflect.DeepEqual(last.Settings, settings) {
		t.Errorf("settings %v, want %v", last.Settings, settings)
	}
	if got := cells[2].Settings["target-modules"]; got != "q_proj,v_proj" {
		t.Errorf("target-modules %q", got)
	}
	if got := last.String(); got != "Large one, SST-2, prompt, seed 8" {
		t.Errorf("name %q", got)
	}
}

func TestParseErrors(t *testing.T) {
	for text, say := range map[string]string{
		"name: x\nmetrik: loss\nmethods: [{name: a}]":  `[2:1] unknown field "metrik"`,
		"name: x\nmetric: f1\nmethods: [{name: a}]":    `metric "f1" (known: class, norm, exact, accuracy, loss, perplexity)`,
		"methods: [{name: a}]":                         "name is missing",
		"name: x":                                      "no methods and no baselines",
		"name: x\nmethods: [{method: lora}]":           "methods: entry 1 has no name",
		"name: x\nmethods: [{name: a b}, {name: a-b}]": "two entries are named a-b",
		"name: x\nmethods: [{name: a, lr: {x: 1}}]":    "methods: a: lr: map[x:1] is no value of a flag",
		"name: x\nmethods: [{name: a, lr: .nan}]":      "NaN is no value",
		"name: x\nmethods: [{name: a}]\nseeds: [1, 1]": "seed 1 twice",
		"name: x\nmethods: [{name: a}]\nseeds: [-1]":   "[3:9]",
		"name: x\nbaselines: [majority, majority]":     "majority twice",
		"name: x\nbaselines: [few-shot-0]":             `baseline "few-shot-0"`,
		"name: x\nbaselines: [majority-2]":             `baseline "majority-2"`,
		"name: x\nbaselines: [n-gram2]":                `baseline "n-gram2"`,
		"name: [":                                      "[1:7]",
		"":                                             "name is missing",
	} {
		_, err := experiment.Parse([]byte(text))
		if !errors.Is(err, experiment.ErrPlan) || !strings.Contains(fmt.Sprint(err), say) {
			t.Errorf("%q: error %v, want %q in it", text, err, say)
		}
	}
}

func TestParseBaseline(t *testing.T) {
	for text, want := range map[string]int{"majority": 0, "zero-shot": 0, "few-shot": 4, "few-shot-7": 7, "n-gram": 3, "n-gram-2": 2} {
		if _, n, err := experiment.ParseBaseline(text); n != want || err != nil {
			t.Errorf("%s: %d, %v, want %d", text, n, err, want)
		}
	}
}

// TestRun stops an experiment, goes on with it, lets a cell fail, and sums up.
func TestRun(t *testing.T) {
	p := parse(t, "name: x\nmetric: exact\nmethods: [{name: a}, {name: b}]\nseeds: [1, 2, 3]\nbaselines: [zero-shot]")
	dir := t.TempDir()
	ran, broken := map[string]int{}, "b/seed-2"
	run := func(_ context.Context, c experiment.Cell, own string) (results.Trial, error) {
		if want := filepath.Join(dir, filepath.FromSlash(c.Dir())); own != want {
			t.Errorf("directory %s, want %s", own, want)
		}
		ran[c.Dir()]++
		if c.Dir() == broken {
			return results.Trial{}, errors.New("out of memory")
		}
		return results.Trial{
			Metrics: map[string]float64{results.Exact.Name: float64(c.Seed), results.Loss.Name: 1}, Params: 5, Seconds: 2,
			TokensPerS: float64(10 * c.Seed), PeakBytes: int64(c.Seed),
		}, nil
	}
	done := 0
	for e, err := range experiment.Run(t.Context(), p, dir, run) {
		if err != nil {
			t.Fatal(err)
		}
		if !e.Began {
			done++
		}
		if done == 3 {
			break
		}
	}
	kept, failed := 0, 0
	for e, err := range experiment.Run(t.Context(), p, dir, run) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Of != 7 {
			t.Errorf("%d cells", e.Of)
		}
		if e.Kept {
			kept++
		}
		if e.Err != nil {
			failed++
		}
	}
	if kept != 3 || failed != 1 || ran["zero-shot/baseline"] != 1 || ran[broken] != 1 {
		t.Errorf("%d kept, %d failed, ran %v", kept, failed, ran)
	}
	trials, err := experiment.Trials(p, dir)
	if err != nil || len(trials) != 6 {
		t.Fatalf("%d trials, %v", len(trials), err)
	}
	table := p.Table(trials)
	if len(table.Rows) != 3 || len(table.Metrics) != 2 || table.Metrics[0] != results.Exact {
		t.Fatalf("table %+v", table)
	}
	for _, r := range table.Rows {
		want := map[string]int{"zero-shot": 1, "a": 3, "b": 2}[r.Method]
		if r.Trials != want || r.Baseline != (r.Method == "zero-shot") {
			t.Errorf("row %+v", r)
		}
		if r.Method == "b" && r.Metrics[0].Mean != 2 { // of 1 and 3
			t.Errorf("mean of b: %+v", r.Metrics[0])
		}
	}
}

// TestOtherSettings: a result of other settings isn't taken for this one's.
func TestOtherSettings(t *testing.T) {
	dir := t.TempDir()
	run := func(context.Context, experiment.Cell, string) (results.Trial, error) {
		return results.Trial{}, nil
	}
	all := func(text string) (last error) {
		for _, err := range experiment.Run(t.Context(), parse(t, text), dir, run) {
			last = err
		}
		return last
	}
	const plan = "name: x\nmethods: [{name: a, steps: %s}]"
	if err := all(fmt.Sprintf(plan, "1")); err != nil {
		t.Fatal(err)
	}
	if err := all(fmt.Sprintf(plan, "2")); !errors.Is(err, experiment.ErrPlan) || !strings.Contains(err.Error(), "result of other settings") {
		t.Errorf("error %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a", "seed-42", "result.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := all(fmt.Sprintf(plan, "1")); !errors.Is(err, experiment.ErrPlan) || !strings.Contains(err.Error(), "delete it") {
		t.Errorf("error %v", err)
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := parse(t, "name: x\nmethods: [{name: a}]\nseeds: [1, 2, 3]")
	var last error
	n := 0
	for e, err := range experiment.Run(ctx, p, t.TempDir(), func(context.Context, experiment.Cell, string) (results.Trial, error) {
		cancel()
		return results.Trial{}, ctx.Err()
	}) {
		last, n = err, e.Number
	}
	if !errors.Is(last, context.Canceled) || n != 1 {
		t.Errorf("ended with %v at cell %d", last, n)
	}
}

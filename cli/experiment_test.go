package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tableJSON is the part of an experiment's table that tests look at.
type tableJSON struct {
	Rows []struct {
		Method   string
		Baseline bool
		Trials   int
		Params   int
		Metrics  []struct{ Mean float64 }
	}
}

// TestExperiment runs the experiment that needs no download: every method beats every
// baseline, and what is done isn't done again.
func TestExperiment(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join("..", "docs", "experiments", "reviews.yaml")
	table := decode[tableJSON](t, must(t, "experiment", "--json", "--out", dir, file).out)
	if len(table.Rows) != 8 {
		t.Fatalf("%d rows: %+v", len(table.Rows), table)
	}
	best, worst := 0.0, 1.0 // of the baselines, of the methods
	for _, r := range table.Rows {
		mean := r.Metrics[0].Mean
		if r.Baseline {
			best = max(best, mean)
			continue
		}
		worst = min(worst, mean)
		if r.Trials != 2 || r.Params == 0 {
			t.Errorf("row %+v", r)
		}
	}
	if worst < 0.85 || best > 0.75 {
		t.Errorf("exact match: methods from %v, baselines to %v", worst, best)
	}
	again := must(t, "experiment", "--out", dir, file)
	if n := strings.Count(again.out, "done before"); n != 12 {
		t.Errorf("%d of 12 runs were kept: %s", n, again.out)
	}
	for _, name := range []string{"table.md", "table.csv", "table.json", "table.html"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !strings.Contains(string(text), "prompt of 8 tokens") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestExperimentFails: a run that fails is reported and tried again the next time.
func TestExperimentFails(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "plan.yaml", `
name: x
settings: {steps: 1, eval-batches: 1}
datasets: [{name: rows, data: `+filepath.Join(dir, "rows.jsonl")+`}]
methods: [{name: lora, method: lora}]
baselines: [majority]
models: [{name: demo, model: `+demoModel(t)+`}]
`)
	out := filepath.Join(dir, "out")
	r := run(t, "experiment", "--out", out, file)
	if r.code != 1 || !strings.Contains(r.err, "no such file or directory") || !strings.Contains(r.err, "2 of 2 runs failed") {
		t.Errorf("got %+v", r)
	}
	write(t, dir, "rows.jsonl", strings.Repeat(`{"prompt":"Who ate the soup?","completion":" Hugo did."}`+"\n", 20))
	if r := must(t, "experiment", "--out", out, file); !strings.Contains(r.out, "| lora |") {
		t.Errorf("got %+v", r)
	}
}

// TestExperimentFiles checks all experiments of the documentation, without running them.
func TestExperimentFiles(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "docs", "experiments", "*.yaml"))
	if err != nil || len(files) < 6 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		must(t, "experiment", "--table", "--out", t.TempDir(), file)
	}
}

func TestExperimentErrors(t *testing.T) {
	dir := t.TempDir()
	for text, say := range map[string]string{
		"name: x\nmethods: [{name: a, method: lara}]":      `a, seed 42: --method "lara"`,
		"name: x\nmethods: [{name: a, rankk: 3}]":          "rankk",
		"name: x\nmethods: [{name: a, rank: many}]":        "rank",
		"name: x\nmethods: [{name: a, out: there}]":        "out is set by the experiment",
		"name: x\nmethods: [{name: a, virtual-tokens: 3}]": "--virtual-tokens belongs to",
		"name: x\nmetric: bleu\nmethods: [{name: a}]":      `metric "bleu"`,
		"name: x\nbaselines: [{majority: 1}]":              "[2:",
	} {
		file := write(t, dir, "plan.yaml", text)
		if r := run(t, "experiment", file); r.code != 2 || !strings.Contains(r.err, say) {
			t.Errorf("%q: exit code %d, error %q, want %q in it", text, r.code, r.err, say)
		}
	}
	if r := run(t, "experiment"); r.code != 2 {
		t.Errorf("without a file: %+v", r)
	}
	if r := run(t, "experiment", filepath.Join(dir, "none.yaml")); r.code != 1 || !strings.Contains(r.err, "no such file") {
		t.Errorf("a file that isn't there: %+v", r)
	}
}

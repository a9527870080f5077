package cli_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestConfigFile sets flags by a file, which the command line overrides.
func TestConfigFile(t *testing.T) {
	dir := t.TempDir()
	rows := readyRows(t, dir, 40)
	file := write(t, dir, "c.yaml", `# a comment
model: `+tiny+`
data: "`+rows+`"
device: cpu
steps: 3
lr: 1e-2
optimizer: lion
lr-schedule: inverse-sqrt
min-lr: 0.001
target-modules: [q_proj, v_proj]
rslora: true
max-time: 10m
`)
	out := filepath.Join(dir, "o")
	r := must(t, "tune", "--config", file, "--steps", "2", "--out", out, "--json")
	got := decode[struct {
		Steps       int
		Settings    map[string]any
		Config      map[string]any
		ModelSHA256 string `json:"model_sha256"`
		Data        struct{ SHA256 string }
		Build       struct{ Version, Go string }
	}](t, r.out)
	for name, want := range map[string]any{
		"lr": 0.01, "optimizer": "lion", "lr-schedule": "inverse-sqrt", "min-lr": 0.001, "steps": 2.0,
		"target-modules": "q_proj,v_proj", "rslora": true, "max-time": "10m0s", "seed": 42.0, "rank": 8.0,
	} {
		if got.Config[name] != want {
			t.Errorf("%s is %v, want %v", name, got.Config[name], want)
		}
	}
	if got.Steps != 2 || got.Settings["optimizer"] != "lion" || len(got.ModelSHA256) != 64 || len(got.Data.SHA256) != 64 || got.Build.Version == "" {
		t.Errorf("%+v", got)
	}
	// What was saved can be used as a file in turn: JSON is YAML.
	text, err := os.ReadFile(filepath.Join(out, "run.json"))
	if err != nil {
		t.Fatal(err)
	}
	saved := decode[struct{ Config map[string]any }](t, string(text)).Config
	delete(saved, "out")
	again := write(t, dir, "again.yaml", toJSON(t, saved))
	second := decode[tuned](t, must(t, "tune", "--config", again, "--out", out+"2", "--json").out)
	if first := decode[tuned](t, r.out); *first.LossAfter != *second.LossAfter {
		t.Errorf("loss %v, made again %v", *first.LossAfter, *second.LossAfter)
	}
}

func TestConfigFileErrors(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"steps: 3\nlrr: 4\n":             `:2: unknown key "lrr"`,
		"steps: 3\n\nsteps: 4\n":         `:3: mapping key "steps" already defined`,
		"steps: many\n":                  ":1: steps many: a value of the wrong kind",
		"lr: {a: 1}\n":                   ":1: lr: want a text",
		"- steps\n":                      ":1: want lines such as",
		"config: other.yaml\n":           `:1: unknown key "config"`,
		"steps: [3\n":                    ":1: ",
		"# nothing\nsteps: 0\n":          "--steps 0: want at least 1",
		"optimizer: adam\n":              `--optimizer "adam" (known: adamw, adamw8bit, adafactor, lion, sgd)`,
		"optimizer: sgd\n":               "--optimizer sgd needs a --lr",
		"lr: 0.1\nmin-lr: 0.2\n":         "--min-lr 0.2: more than --lr, which is 0.1",
		"early-stop: 2\nval-split: 0\n":  "need evaluations",
		"max-time: -1s\n":                "--max-time -1s: want more than 0",
		"lr-schedule: exponential\n":     `--lr-schedule "exponential" (known: linear, cosine, inverse-sqrt, constant)`,
		"early-stop: 1\neval-every: 0\n": "need evaluations",
	} {
		file := write(t, dir, "c.yaml", text)
		r := run(t, "tune", "--device", "cpu", "--config", file, "--out", filepath.Join(dir, "o"))
		if r.code != 2 || !strings.Contains(r.err, want) || strings.Count(r.err, "\n") != 1 {
			t.Errorf("%q: exit code %d, %q, want %q", text, r.code, r.err, want)
		}
	}
	if r := run(t, "tune", "--config", filepath.Join(dir, "none.yaml")); r.code != 1 || !strings.Contains(r.err, "none.yaml") {
		t.Errorf("exit code %d, %q", r.code, r.err)
	}
}

// TestStopEarly ends runs by evaluations and by time, and refuses what doesn't fit a
// checkpoint.
func TestStopEarly(t *testing.T) {
	dir := t.TempDir()
	rows := readyRows(t, dir, 40)
	common := []string{"tune", "--device", "cpu", "--model", tiny, "--data", rows, "--json"}
	type stopped struct {
		tuned
		Stop     string
		BestStep int `json:"best_step"`
	}
	// So high a rate soon makes it worse.
	early := decode[stopped](t, must(t, append(common, "--steps", "60", "--lr", "0.5", "--eval-every", "1", "--early-stop", "4", "--out", filepath.Join(dir, "early"))...).out)
	if early.Stop != "patience" || early.BestStep == 0 || early.Steps != early.BestStep+4 || *early.LossAfter > *early.LossBefore {
		t.Errorf("%+v", early)
	}
	e := decode[struct{ Tuned struct{ Loss float64 } }](t, must(t, "eval", "--device", "cpu", "--model", tiny, "--adapter", filepath.Join(dir, "early"), "--data", rows, "--json").out)
	if e.Tuned.Loss > *early.LossBefore {
		t.Errorf("the adapter's loss is %v, before training %v", e.Tuned.Loss, *early.LossBefore)
	}
	if r := run(t, append(common, "--metric", "exact", "--early-stop", "1")...); r.code != 2 || !strings.Contains(r.err, "--metric exact: the held-out data has no rows of prompt") {
		t.Errorf("exit code %d, %s", r.code, r.err)
	}
	one := append(slices.Clone(common), "--out", filepath.Join(dir, "one"), "--keep-best", "--batch-size", "1")
	one[slices.Index(one, rows)] = readyRows(t, t.TempDir(), 1)
	if r := run(t, one...); r.code != 2 || !strings.Contains(r.err, "has nothing to hold out") {
		t.Errorf("exit code %d, %s", r.code, r.err)
	}
	out := filepath.Join(dir, "time")
	timed := append(common, "--steps", "50", "--out", out, "--log-jsonl", filepath.Join(dir, "log"),
		"--log-csv", filepath.Join(dir, "csv"), "--tensorboard", filepath.Join(dir, "events"))
	first := decode[stopped](t, must(t, append(timed, "--max-time", "1ns")...).out)
	if first.Stop != "time" || first.Steps != 1 || first.Interrupted {
		t.Errorf("%+v", first)
	}
	for _, other := range [][2]string{{"--lr", "0.1"}, {"--seed", "1"}, {"--rank", "4"}, {"--batch-size", "4"}, {"--optimizer", "adafactor"}} {
		r := run(t, append(timed, "--resume", out+"-checkpoints", other[0], other[1])...)
		if want := other[0]; r.code != 1 || !strings.Contains(r.err, want+" ") || !strings.Contains(r.err, "was made with") {
			t.Errorf("%v: exit code %d, %s", other, r.code, r.err)
		}
	}
	more := readyRows(t, t.TempDir(), 41)
	if r := run(t, "tune", "--device", "cpu", "--model", tiny, "--data", more, "--steps", "50", "--out", out, "--resume", "auto"); r.code != 1 || !strings.Contains(r.err, "was made with the training data") {
		t.Errorf("other data: exit code %d, %s", r.code, r.err)
	}
	if r := run(t, timed...); r.code != 2 || !strings.Contains(r.err, "is not empty") {
		t.Errorf("without --resume: exit code %d, %s", r.code, r.err)
	}
	rest := decode[stopped](t, must(t, append(timed, "--resume", "auto")...).out)
	if rest.Stop != "finished" || rest.Steps != 50 {
		t.Errorf("%+v", rest)
	}
	if _, err := os.Stat(out + "-checkpoints"); !os.IsNotExist(err) {
		t.Errorf("the checkpoints of a complete run: %v", err)
	}
	if log, err := os.ReadFile(filepath.Join(dir, "log")); err != nil || strings.Count(string(log), "\n") != 50 {
		t.Errorf("log: %v, %s", err, log)
	}
	if log, err := os.ReadFile(filepath.Join(dir, "csv")); err != nil || strings.Count(string(log), "\n") != 51 || !strings.Contains(string(log), "\n50,") {
		t.Errorf("CSV: %v, %s", err, log)
	}
	if events, err := os.ReadDir(filepath.Join(dir, "events")); err != nil || len(events) != 2 {
		t.Errorf("event files: %v, %v", events, err)
	}
	if r := run(t, append(common, "--resume", filepath.Join(dir, "none"))...); r.code != 1 || !strings.Contains(r.err, "no checkpoint") {
		t.Errorf("no checkpoint: exit code %d, %s", r.code, r.err)
	}
}

// TestOptimizerFlag trains with each optimizer.
func TestOptimizerFlag(t *testing.T) {
	dir := t.TempDir()
	rows := readyRows(t, dir, 40)
	for optimizer, lr := range map[string]string{"adamw": "0.02", "adamw8bit": "0.02", "adafactor": "0.02", "lion": "0.003", "sgd": "0.1"} {
		for _, method := range []string{"lora", "prompt"} {
			got := decode[tuned](t, must(t, "tune", "--device", "cpu", "--model", tiny, "--data", rows, "--method", method, "--optimizer", optimizer,
				"--lr", lr, "--steps", "60", "--out", filepath.Join(dir, optimizer+method), "--json").out)
			if !(*got.LossAfter < *got.LossBefore-0.1) {
				t.Errorf("%s, %s: loss %v before, %v after", optimizer, method, *got.LossBefore, *got.LossAfter)
			}
		}
	}
}

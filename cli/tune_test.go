package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/cli"
	"github.com/gpupeft/gpupeft/peft/runlog"
)

// tuned are the fields of tune --json that the tests look at.
type tuned struct {
	Model, Kind, Method, Adapter string
	Device                       struct{ Kind string }
	Params                       int
	Steps                        int
	Epochs                       float64
	Tokens                       int
	TokensPerS                   float64  `json:"tokens_per_s"`
	LossBase                     *float64 `json:"loss_base"`
	LossBefore                   *float64 `json:"loss_before"`
	LossAfter                    *float64 `json:"loss_after"`
	PPL                          *float64
	Interrupted                  bool
	Settings                     map[string]any
	Majority                     *struct {
		Completion string
		Exact      float64 `json:"exact_match"`
	}
	After *struct {
		Exact *float64 `json:"exact_match"`
	}
	Sample *struct{ Prompt, Before, After, Expected string }
}

// kinds are the tiny models of the golden values.
var kinds = []string{"llama2", "llama3", "llama-linear", "mistral", "gemma", "gemma2", "gemma3"}

// TestTune trains every kind of tiny model with both methods on ready rows, which
// needs no tokenizer, and checks what comes out of it.
func TestTune(t *testing.T) {
	rows := readyRows(t, t.TempDir(), 40)
	for _, kind := range kinds {
		for _, method := range []string{"lora", "prompt"} {
			t.Run(kind+"/"+method, func(t *testing.T) {
				out := filepath.Join(t.TempDir(), "new", "adapter")
				r := must(t, "tune", "--device", "cpu", "--model", filepath.Join(golden, kind), "--data", rows, "--method", method,
					"--steps", "30", "--lr", "0.02", "--out", out, "--json")
				got := decode[tuned](t, r.out)
				if got.Method != method || got.Adapter != out || got.Steps != 30 || got.Device.Kind != "cpu" || got.Interrupted {
					t.Errorf("got %+v", got)
				}
				if *got.LossAfter >= *got.LossBefore-0.1 || math.Abs(math.Exp(*got.LossAfter)-*got.PPL) > 1e-9*(*got.PPL) {
					t.Errorf("loss %v before, %v after, perplexity %v", *got.LossBefore, *got.LossAfter, *got.PPL)
				}
				checkAdapter(t, out, r.out)
			})
		}
	}
}

// checkAdapter makes sure that a directory is complete and holds the report.
func checkAdapter(t *testing.T, dir, report string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"adapter_config.json", "adapter_model.safetensors", "log.jsonl", "loss.png", "loss.svg", "report.html", "run.json"}; !slices.Equal(names, want) {
		t.Errorf("files %v, want %v", names, want)
	}
	saved, err := os.ReadFile(filepath.Join(dir, "run.json"))
	if err != nil || string(saved) != report {
		t.Errorf("run.json differs from the report: %v", err)
	}
	if siblings, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(siblings) != 1 {
		t.Errorf("beside the adapter: %v, %v", siblings, err)
	}
}

// TestContinue checks that a saved adapter is the trained one: eval and a run that
// starts from it see the loss that training ended with.
func TestContinue(t *testing.T) {
	dir := t.TempDir()
	rows := readyRows(t, dir, 40)
	data := t.TempDir()
	all, err := os.ReadFile(rows)
	if err != nil {
		t.Fatal(err)
	}
	write(t, data, "train.jsonl", string(all))
	valid := all[:bytes.LastIndexByte(all[:len(all)/4], '\n')+1]
	write(t, data, "validation.jsonl", string(valid))
	for _, method := range []string{"lora", "prompt"} {
		t.Run(method, func(t *testing.T) {
			first, second := filepath.Join(dir, method), filepath.Join(dir, method+"-more")
			common := []string{"tune", "--device", "cpu", "--model", tiny, "--data", data, "--steps", "5", "--lr", "0.01", "--json"}
			a := decode[tuned](t, must(t, slices.Concat(common, []string{"--method", method, "--out", first})...).out)
			b := decode[tuned](t, must(t, slices.Concat(common, []string{"--init-adapter", first, "--out", second})...).out)
			if b.Method != method || *b.LossBefore != *a.LossAfter || *b.LossBase != *a.LossBase || *b.LossAfter >= *b.LossBefore {
				t.Errorf("first %v to %v, then %v to %v", *a.LossBefore, *a.LossAfter, *b.LossBefore, *b.LossAfter)
			}
			type evaluation struct {
				Base, Tuned struct{ Loss, Perplexity, Accuracy float64 }
				Examples    int
			}
			e := decode[evaluation](t, must(t, "eval", "--device", "cpu", "--model", tiny, "--adapter", second, "--data", data, "--json").out)
			if e.Tuned.Loss != *b.LossAfter || e.Base.Loss != *a.LossBase || e.Tuned.Accuracy <= 0 || e.Examples != bytes.Count(valid, []byte("\n")) {
				t.Errorf("eval says %+v, tune %v", e, *b.LossAfter)
			}
			other := map[string]string{"lora": "prompt", "prompt": "lora"}[method]
			checkLine(t, run(t, slices.Concat(common, []string{"--method", other, "--init-adapter", first, "--out", second + "2"})...), 2, "is "+method)
		})
	}
}

func TestLog(t *testing.T) {
	dir := t.TempDir()
	rows, log := readyRows(t, dir, 40), filepath.Join(dir, "log.jsonl")
	args := func(out string, more ...string) []string {
		return append([]string{"tune", "--device", "cpu", "--model", tiny, "--data", rows, "--out", filepath.Join(dir, out), "--json", "--log-jsonl", log}, more...)
	}
	read := func() (records []map[string]float64) {
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			var r map[string]float64
			if err := json.Unmarshal(line, &r); err != nil {
				t.Fatal(err)
			}
			records = append(records, r)
		}
		return records
	}
	r := decode[tuned](t, must(t, args("a", "--steps", "6", "--eval-every", "2", "--warmup-steps", "2", "--batch-size", "4", "--grad-accum", "3")...).out)
	records := read()
	if len(records) != 6 {
		t.Fatalf("%d records, want 6", len(records))
	}
	tokens := 0.0
	for i, rec := range records {
		for _, field := range []string{"step", "epoch", "loss", "lr", "grad_norm", "tokens", "tokens_per_s", "step_ms", "peak_bytes"} {
			if v, ok := rec[field]; !ok || v < 0 || v == 0 && field != "lr" {
				t.Errorf("record %d: %s is %v", i, field, v)
			}
		}
		if l, ok := rec["val_loss"]; ok != (i%2 == 1) || rec["step"] != float64(i+1) || ok && math.Abs(rec["val_ppl"]-math.Exp(l)) > 1e-9 {
			t.Errorf("record %d: %v", i, rec)
		}
		if a, ok := rec["mean_token_accuracy"]; ok != (i%2 == 1) || a < 0 || a > 1 {
			t.Errorf("record %d: %v", i, rec)
		}
		tokens += rec["tokens"]
	}
	if records[0]["lr"] != 0 || records[2]["lr"] <= records[5]["lr"] {
		t.Errorf("learning rates %v, %v, %v", records[0]["lr"], records[2]["lr"], records[5]["lr"])
	}
	if *r.LossAfter != records[5]["val_loss"] || float64(r.Tokens) != tokens || records[0]["tokens"] != 4*3*12 {
		t.Errorf("report %+v, records %v", r, records)
	}
	losses := func(records []map[string]float64) (l []float64) {
		for _, r := range records {
			l = append(l, r["loss"])
		}
		return l
	}
	short := []string{"--steps", "6", "--val-split", "0", "--seed", "3"}
	must(t, args("b", short...)...)
	first := read()
	must(t, args("c", short...)...)
	if second := read(); !slices.Equal(losses(first), losses(second)) {
		t.Errorf("the same seed gives %v and %v", losses(first), losses(second))
	}
	must(t, args("d", append(short[:4:4], "--seed", "4")...)...)
	if other := read(); slices.Equal(losses(first), losses(other)) {
		t.Error("another seed gives the same losses")
	}
}

// TestLogKinds writes the same records to all logs, and shows them as JSON.
func TestLogKinds(t *testing.T) {
	dir := t.TempDir()
	rows, csv, board, out := readyRows(t, dir, 40), filepath.Join(dir, "log.csv"), filepath.Join(dir, "board"), filepath.Join(dir, "a")
	args := []string{
		"tune", "--device", "cpu", "--model", tiny, "--data", rows, "--out", out, "--steps", "4", "--log-csv", csv, "--tensorboard", board,
		"--progress", "json", "--quiet",
	}
	r := must(t, args...)
	want, err := runlog.ReadFile(filepath.Join(out, "log.jsonl"))
	if err != nil || len(want) != 4 || want[3].ValLoss == nil {
		t.Fatal(want, err)
	}
	if got, err := runlog.ReadFile(csv); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("CSV: %v, %v", got, err)
	}
	if got, err := runlog.Read(strings.NewReader(r.err)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("standard error: %v, %v", got, err)
	}
	events, _ := filepath.Glob(filepath.Join(board, "events.out.tfevents.*"))
	if len(events) != 1 {
		t.Errorf("event files %v", events)
	}
	args[slices.Index(args, out)] += "2"
	if r := run(t, args...); r.code != 1 || !strings.Contains(r.err, "--tensorboard: "+board+": there are event files of another run") {
		t.Errorf("exit code %d, %s", r.code, r.err)
	}
	if left, _ := filepath.Glob(out + "2*"); len(left) > 0 {
		t.Errorf("a run that never began has left %v", left)
	}
	checkLine(t, run(t, "tune", "--progress", "dots"), 2, `--progress "dots" (known: auto, bar, lines, json)`)
}

// TestSwitchedOff gives 0 to every flag that it switches off.
func TestSwitchedOff(t *testing.T) {
	dir := t.TempDir()
	r := must(t, "tune", "--device", "cpu", "--model", tiny, "--data", readyRows(t, dir, 16), "--out", dir+"/o", "--json", "--epochs", "2", "--no-shuffle",
		"--max-grad-norm", "0", "--val-split", "0", "--eval-every", "0", "--warmup-steps", "0", "--weight-decay", "0", "--lr-schedule", "constant")
	got := decode[tuned](t, r.out)
	if got.LossBefore != nil || got.LossAfter != nil || got.Steps != 4 || got.Epochs != 2 {
		t.Errorf("got %+v", got)
	}
	for field, want := range map[string]any{"max_grad_norm": 0.0, "warmup_steps": 0.0, "weight_decay": 0.0, "shuffle": false, "lr_schedule": "constant"} {
		if got.Settings[field] != want {
			t.Errorf("%s is %v, want %v", field, got.Settings[field], want)
		}
	}
}

// TestDefaultJob runs the built-in job for a few steps, twice: the second run must
// not touch what the first one saved.
func TestDefaultJob(t *testing.T) {
	t.Chdir(t.TempDir())
	args := []string{"tune", "--device", "cpu", "--steps", "2", "--eval-batches", "1", "--json"}
	for _, want := range []string{"gpupeft-out", "gpupeft-out-2"} {
		got := decode[tuned](t, must(t, args...).out)
		if got.Adapter != want || got.Model != "gpupeft-demo" || got.Majority == nil || got.After.Exact == nil {
			t.Errorf("got %+v, want it in %s", got, want)
		}
		if s := got.Sample; s == nil || !strings.HasPrefix(s.Prompt, "Review:") || s.Before == "" || s.After == "" || s.Expected == "" {
			t.Errorf("sample %+v", s)
		}
	}
	r := must(t, "tune", "--device", "cpu", "--steps", "2", "--eval-batches", "1", "--sample-prompt", "Once", "--method", "prompt", "--prompt-init-text", "Say good or bad:")
	for _, want := range []string{"built-in", "trainable", "cpu: ", "step 2/2", "held-out", "perplexity", "always answering", "sample  Once", "before  ", "after  ", "saved gpupeft-out-3", "init text"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("%q is missing in %q", want, r.out)
		}
	}
	if r.err != "" {
		t.Errorf("errors %q", r.err)
	}
	if r := must(t, "tune", "--device", "cpu", "--steps", "1", "--eval-batches", "1", "--quiet"); strings.Contains(r.out, "step 1/1") || !strings.Contains(r.out, "saved") {
		t.Errorf("quiet: %q", r.out)
	}
}

// stopper cancels when it reads a text.
type stopper struct {
	bytes.Buffer
	at     string
	cancel func()
}

func (s *stopper) Write(p []byte) (int, error) {
	if strings.Contains(string(p), s.at) {
		s.cancel()
	}
	return s.Buffer.Write(p)
}

// TestInterrupt stops a run when its first step is told, in its second: what is there is saved.
func TestInterrupt(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "o")
	rows := readyRows(t, t.TempDir(), 40)
	ctx, cancel := context.WithCancel(t.Context())
	stdout, stderr := &stopper{at: "step 1/20", cancel: cancel}, &bytes.Buffer{}
	code := cli.Run(ctx, []string{"gpupeft", "tune", "--device", "cpu", "--model", tiny, "--data", rows, "--out", out, "--steps", "20"}, strings.NewReader(""), stdout, stderr)
	checkLine(t, result{code, stdout.String(), stderr.String()}, 130, "interrupted")
	for _, want := range []string{"interrupted after step 2", "saved " + out + " after 2 steps"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("%q is missing in %q", want, stdout)
		}
	}
	text, err := os.ReadFile(filepath.Join(out, "run.json"))
	if err != nil {
		t.Fatal(err)
	}
	if r := decode[tuned](t, string(text)); !r.Interrupted || r.Steps != 2 || r.LossAfter != nil {
		t.Errorf("run.json: %+v", r)
	}
	must(t, "eval", "--device", "cpu", "--model", tiny, "--adapter", out, "--data", rows)
	before, cancelled := context.WithCancel(t.Context())
	cancelled()
	r := runWith(t, before, strings.NewReader(""), "tune", "--device", "cpu", "--model", tiny, "--data", rows, "--out", out+"2")
	checkLine(t, r, 130, "interrupted")
	if _, err := os.Stat(out + "2"); !os.IsNotExist(err) {
		t.Errorf("interrupted before the first step: %v", err)
	}
}

// TestRealModel tunes a trained model on real text.
func TestRealModel(t *testing.T) {
	root := os.Getenv("GPUPEFT_DATA")
	if root == "" {
		root = "../../shared/data"
	}
	model, text := filepath.Join(root, "stories260k-hf"), filepath.Join(root, "data", "tinyshakespeare.txt")
	if _, err := os.Stat(model); err != nil {
		t.Skipf("no real model: %v", err)
	}
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	for method, bound := range map[string]float64{"lora": 4.2, "prompt": 4.7} {
		t.Run(method, func(t *testing.T) {
			r := must(t, "tune", "--device", "cpu", "--model", model, "--data", text, "--method", method, "--steps", "20",
				"--batch-size", "4", "--eval-batches", "10", "--out", filepath.Join(t.TempDir(), "o"), "--json")
			got := decode[tuned](t, r.out)
			if *got.LossBase < 4.8 || *got.LossBase > 5.1 || *got.LossAfter > bound {
				t.Errorf("held-out loss %v, after 20 steps %v, want at most %v", *got.LossBase, *got.LossAfter, bound)
			}
		})
	}
}

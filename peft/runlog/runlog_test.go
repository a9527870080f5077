package runlog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func some(x float64) *float64 { return &x }

// record returns a record with a value in every field; every second step is evaluated.
func record(step int) Record {
	r := Record{
		Step: step, Epoch: float64(step) / 7, Loss: 3.7738 / float64(step), LR: 1e-7 * float64(step), GradNorm: 0.25,
		Tokens: 488 + step, TokensPerS: 7115.25, StepMS: 68.6, PeakBytes: 31_234_567_890,
	}
	if step%2 == 0 {
		r.ValLoss, r.ValPPL, r.Accuracy = some(r.Loss*1.1), some(math.Exp(r.Loss*1.1)), some(0.5)
	}
	return r
}

func records(from, to int) (all []Record) {
	for step := from; step <= to; step++ {
		all = append(all, record(step))
	}
	return all
}

// kinds are the logs of one line a record.
var kinds = map[string]func(string, int) (Writer, error){"log.jsonl": OpenJSONL, "log.csv": OpenCSV}

func writeAll(t *testing.T, w Writer, err error, records []Record) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestWrittenIsRead(t *testing.T) {
	for kind, open := range kinds {
		name := filepath.Join(t.TempDir(), kind)
		want := records(1, 6)
		w, err := open(name, 0)
		writeAll(t, w, err, want)
		got, err := ReadFile(name)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %+v", kind, err, got)
		}
	}
}

func TestWhatFilesLookLike(t *testing.T) {
	want := map[string]string{
		"log.jsonl": `{"step":1,"epoch":0.5,"loss":3.5,"lr":1e-7,"grad_norm":null,"tokens":488,"tokens_per_s":7115.25,"step_ms":68.6,"peak_bytes":31234567890}
{"step":2,"epoch":0,"loss":null,"lr":0.001,"grad_norm":0,"tokens":0,"tokens_per_s":0,"step_ms":0,"peak_bytes":0,"val_loss":0.25,"val_ppl":null,"mean_token_accuracy":1}
`,
		"log.csv": `step,epoch,loss,lr,grad_norm,tokens,tokens_per_s,step_ms,peak_bytes,val_loss,val_ppl,mean_token_accuracy
1,0.5,3.5,1e-7,,488,7115.25,68.6,31234567890,,,
2,0,,0.001,0,0,0,0,0,0.25,,1
`,
	}
	for kind, open := range kinds {
		name := filepath.Join(t.TempDir(), kind)
		w, err := open(name, 0)
		writeAll(t, w, err, []Record{
			{Step: 1, Epoch: 0.5, Loss: 3.5, LR: 1e-7, GradNorm: math.NaN(), Tokens: 488, TokensPerS: 7115.25, StepMS: 68.6, PeakBytes: 31_234_567_890},
			{Step: 2, Loss: math.Inf(1), LR: 1e-3, ValLoss: some(0.25), ValPPL: some(math.Inf(1)), Accuracy: some(1)},
		})
		if got, err := os.ReadFile(name); err != nil || string(got) != want[kind] {
			t.Errorf("%s: %v\n%s", kind, err, got)
		}
		got, err := ReadFile(name)
		if err != nil || !math.IsNaN(got[0].GradNorm) || !math.IsNaN(got[1].Loss) || got[0].ValLoss != nil || *got[1].Accuracy != 1 {
			t.Errorf("%s: %v, %+v", kind, err, got)
		}
	}
}

// TestGoesOn: whatever a run that was broken off has left behind its checkpoint, going on
// gives the log of a run that was never broken off, byte for byte.
func TestGoesOn(t *testing.T) {
	const steps = 6
	for kind, open := range kinds {
		dir := t.TempDir()
		name := filepath.Join(dir, kind)
		w, err := open(name, 0)
		writeAll(t, w, err, records(1, steps))
		whole, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		ends := lineEnds(whole)
		for step := range steps {
			from := 0 // the least that a run which has a checkpoint of this step has written
			if step > 0 {
				from = ends[len(ends)-1-steps+step]
			}
			for size := from; size <= len(whole); size++ {
				name := filepath.Join(dir, fmt.Sprint(step, "-", size))
				if err := os.WriteFile(name, whole[:size], 0o644); err != nil {
					t.Fatal(err)
				}
				w, err := open(name, step)
				writeAll(t, w, err, records(step+1, steps))
				if got, err := os.ReadFile(name); err != nil || string(got) != string(whole) {
					t.Fatalf("%s, after step %d, from %d bytes: %v\n%s", kind, step, size, err, got)
				}
			}
		}
	}
}

// lineEnds returns where each line ends.
func lineEnds(b []byte) (ends []int) {
	for i, c := range b {
		if c == '\n' {
			ends = append(ends, i+1)
		}
	}
	return ends
}

func TestTruncate(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log.jsonl")
	w, err := OpenJSONL(name, 0)
	writeAll(t, w, err, records(1, 5))
	if err := Truncate(name, 3); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadFile(name); err != nil || !reflect.DeepEqual(got, records(1, 3)) {
		t.Errorf("%v, %+v", err, got)
	}
	if err := Truncate(filepath.Join(t.TempDir(), "none"), 3); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestBadLogs(t *testing.T) {
	for text, want := range map[string]string{
		"{\"step\":1}\n{\"step\":\n":       "line 2: not a log of training steps",
		"{\"step\":1,\"loss\":\"much\"}\n": "line 1: not a log of training steps: loss",
		"{\"loss\":1}\n":                   "line 1: not a log of training steps: no step",
		"null\n":                           "line 1: not a log of training steps",
		"[1]\n":                            "line 1: not a log of training steps",
		"Once upon a time\n":               "line 1: not a log of training steps",
		"step,loss\n1,2\n2\n":              "line 3: not a log of training steps: 1 cells under 2 names",
		"step,loss\n1,much\n":              "line 2: not a log of training steps: loss",
		"step,loss\n1,\"2\n":               "line 2: not a log of training steps",
		"{\"step\":1}\n" + strings.Repeat("x", maxLine): "line 2: not a log of training steps: longer than 65536 bytes",
	} {
		name := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := ReadFile(name)
		if !errors.Is(err, ErrFormat) || !strings.Contains(fmt.Sprint(err), name+": "+want) {
			t.Errorf("%.40q: %v", text, err)
		}
		if err := Truncate(name, 7); !errors.Is(err, ErrFormat) {
			t.Errorf("%.40q: truncate: %v", text, err)
		}
		if got, err := os.ReadFile(name); err != nil || string(got) != text {
			t.Errorf("%.40q was changed: %v", text, err)
		}
	}
}

func TestOtherNamesArePassedOver(t *testing.T) {
	for _, text := range []string{"{\"step\":3,\"loss\":2,\"colour\":\"red\"}\n", "step,colour,loss\n3,red,2\n"} {
		got, err := Read(strings.NewReader(text + "{\"ste"))
		if err != nil || !reflect.DeepEqual(got, []Record{{Step: 3, Loss: 2}}) {
			t.Errorf("%q: %v, %+v", text, err, got)
		}
	}
}

func TestSeveral(t *testing.T) {
	dir := t.TempDir()
	a, err := OpenJSONL(filepath.Join(dir, "a"), 0)
	if err != nil {
		t.Fatal(err)
	}
	b, err := OpenCSV(filepath.Join(dir, "b"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	all := Several(nil, a, b)
	if err := all.Write(record(1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a log that is closed: %v", err)
	}
	if err := errors.Join(b.Sync(), all.Close()); err != nil {
		t.Error(err)
	}
	if got, err := ReadFile(filepath.Join(dir, "b")); err != nil || len(got) != 1 {
		t.Errorf("%v, %+v", err, got)
	}
}

// FuzzRead: no file makes reading panic, and what was read survives writing.
func FuzzRead(f *testing.F) {
	f.Add([]byte("{\"step\":1,\"loss\":null,\"val_loss\":2}\n{\"step\":2}\n"))
	f.Add([]byte("step,loss,val_ppl\n1,,2\n\"2\",3,\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := Read(strings.NewReader(string(text)))
		if err != nil {
			return
		}
		for _, r := range got {
			b, err := json.Marshal(r)
			if err != nil || !json.Valid(b) {
				t.Fatalf("%v: %s", err, b)
			}
		}
	})
}

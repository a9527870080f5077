package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCircuits trains toys for a moment: the files are there, and the toy is a model for other
// commands.
func TestCircuits(t *testing.T) {
	dir := t.TempDir()
	page, pictures, toy := filepath.Join(dir, "max.html"), filepath.Join(dir, "png"), filepath.Join(dir, "toy")
	small := []string{"--numbers", "3", "--vocab", "16", "--steps", "60", "--tests", "500", "--device", "cpu"}
	r := must(t, append([]string{"circuits", "max", "--seed", "4", "--json", "--html", page, "--png", pictures, "--out", toy}, small...)...)
	got := decode[struct {
		Example string
		Runs    []struct {
			Seed     uint64
			Findings []struct{ Name string }
			Report   struct {
				Accuracy float64
				QK       [][]float32
			}
			Losses []float64
		}
	}](t, r.out)
	if got.Example != "max" || len(got.Runs) != 1 {
		t.Fatalf("%+v", got)
	}
	one := got.Runs[0]
	if one.Seed != 4 || len(one.Losses) != 60 || one.Losses[59] >= one.Losses[0] || len(one.Report.QK) != 16 || one.Report.Accuracy <= 0 || len(one.Findings) < 10 {
		t.Errorf("%+v", one)
	}
	text, err := os.ReadFile(page)
	if err != nil || !strings.Contains(string(text), "The largest of 3 numbers") {
		t.Errorf("page of %d bytes, %v", len(text), err)
	}
	if files, err := os.ReadDir(pictures); err != nil || len(files) != 4 {
		t.Errorf("%d pictures, %v", len(files), err)
	}
	must(t, "inspect-heads", "--model", toy, "--random", "1", "--weights", "--device", "cpu")
	trace := filepath.Join(dir, "trace.safetensors")
	must(t, "capture", "--model", toy, "--token-ids", "3,1,2", "--hooks", "*", "--out", trace, "--device", "cpu")
	if info, err := os.Stat(trace); err != nil || info.Size() < 1000 {
		t.Errorf("trace: %v, %v", info, err)
	}
	checkLine(t, run(t, append([]string{"circuits", "max", "--out", toy}, small...)...), 2, "is there already")
	checkLine(t, run(t, "capture", "--model", toy, "--token-ids", "3,1,2,0", "--hooks", "*", "--out", trace+"2", "--device", "cpu"), 1, "4 tokens in a model with 3 positions")

	several := must(t, append([]string{"circuits", "max", "--seeds", "2"}, small...)...)
	for _, want := range []string{"seed 0", "seed 1", "least", "mean", "most", "accuracy", "without the head"} {
		if !strings.Contains(several.out, want) {
			t.Errorf("no %q in:\n%s", want, several.out)
		}
	}
	induction := must(t, "circuits", "induction", "--vocab", "16", "--length", "16", "--width", "16", "--steps", "20", "--tests", "50", "--device", "cpu")
	for _, want := range []string{"K-composition", "Matching, blocks of 1 × 1", "OV"} {
		if !strings.Contains(induction.out, want) {
			t.Errorf("no %q in:\n%s", want, induction.out)
		}
	}
}

func TestCircuitsBad(t *testing.T) {
	for says, args := range map[string][]string{
		"which example":       {},
		`unknown example "x"`: {"x"},
		"help circuits max":   {"max", "--none"},
		"unexpected argument": {"max", "x"},
		"lists of 1 numbers":  {"max", "--numbers", "1"},
		"--steps 0":           {"max", "--steps", "0"},
		"--seeds 0":           {"induction", "--seeds", "0"},
		"sequences of 4":      {"induction", "--length", "4"},
		"name a directory":    {"max", "--out", "toy.gguf"},
	} {
		checkLine(t, run(t, append([]string{"circuits"}, args...)...), 2, says)
	}
	if r := must(t, "help", "circuits", "max"); !strings.Contains(r.out, "--numbers") {
		t.Errorf("help:\n%s", r.out)
	}
}

package cli_test

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/interp"
)

// tuningSide and tuningReport are what of inspect-heads --diff --json is looked at.
type tuningSide struct {
	Scores map[string]interp.Table
	Logit  float64 `json:"dla_logit"`
}

type tuningReport struct {
	Base, Tuned tuningSide
	Divergence  []struct {
		Hook string
		KL   []float64 `json:"kl"`
	}
	Attention  [][][]float64 `json:"prompt_attention"`
	Nearest    [][]struct{ Cosine float64 }
	Lens       []struct{ Guesses [][]struct{ Text string } } `json:"prompt_lens"`
	Directions []struct {
		Module         string
		Size, Share    float64
		Reads          bool
		Along, Against []struct{ Text string }
	}
}

// made trains an adapter for a step.
func made(t *testing.T, method string, more ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), method)
	must(t, append([]string{"tune", "--device", "cpu", "--method", method, "--steps", "1", "--out", dir, "--no-report"}, more...)...)
	return dir
}

func TestInspectHeadsDiff(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tuning.html")
	text := []string{"-p", "Review: Hugo ate the soup. Verdict:", "--device", "cpu"}
	for _, test := range []struct {
		adapter, sections string
		prompt            int // positions
	}{
		{made(t, "prompt", "--virtual-tokens", "3"), "scores lines bars table maps maps table lens attention", 3},
		{made(t, "prefix", "--virtual-tokens", "2"), "scores lines bars table maps maps attention", 2},
		{made(t, "ptuning", "--virtual-tokens", "3"), "scores lines bars table maps maps table lens attention", 3},
		{made(t, "lora", "--lr", "0.1"), "scores lines bars table table attention", 0},
	} {
		name := filepath.Base(test.adapter)
		args := append([]string{"inspect-heads", "--adapter", test.adapter, "--diff", "--ablate", "--html", file}, text...)
		r := must(t, args...)
		for _, want := range []string{"ablation", "KL, nats", "4.hook_resid_post", "wrote " + file} {
			if !strings.Contains(r.out, want) {
				t.Errorf("%s: no %q in:\n%s", name, want, r.out)
			}
		}
		p, _ := readPage(t, file)
		if got := p.kinds(); got != test.sections {
			t.Errorf("%s: sections %s", name, got)
		}
		if runs := p.Sections[0].Data["runs"].([]any); len(runs) != 2 {
			t.Errorf("%s: runs %v", name, runs)
		}
		got := decode[tuningReport](t, must(t, append(args, "--json")...).out)
		base := decode[headReport](t, must(t, append([]string{"inspect-heads", "--json"}, text...)...).out)
		tuned := decode[headReport](t, must(t, append([]string{"inspect-heads", "--json", "--adapter", test.adapter}, text...)...).out)
		for _, score := range []string{"previous", "dla", "bos"} {
			for l := range base.Scores[score] {
				for h, want := range base.Scores[score][l] {
					if math.Abs(got.Base.Scores[score][l][h]-want) > 1e-6 || math.Abs(got.Tuned.Scores[score][l][h]-tuned.Scores[score][l][h]) > 1e-6 {
						t.Fatalf("%s: %s of L%dH%d is not what it is alone", name, score, l, h)
					}
				}
			}
		}
		if len(got.Divergence) != 6 || got.Divergence[0].KL[0] != 0 || got.Divergence[5].KL[2] == 0 || got.Base.Scores["ablation"] == nil {
			t.Errorf("%s: divergence %v", name, got.Divergence)
		}
		if test.prompt == 0 {
			if len(got.Directions) == 0 || got.Attention != nil || len(got.Directions[0].Along) != 3 || got.Directions[0].Size <= 0 {
				t.Errorf("%s: directions %+v", name, got.Directions)
			}
			continue
		}
		if len(got.Attention) != 5 || len(got.Attention[0]) != 4 || len(got.Attention[0][0]) != test.prompt || got.Directions != nil {
			t.Errorf("%s: attention %v", name, got.Attention)
		}
		for l := range got.Attention { // over its positions it is the score of the prompt
			for h, positions := range got.Attention[l] {
				sum := 0.0
				for _, v := range positions {
					sum += v
				}
				if want := tuned.Scores["prompt"][l][h]; math.Abs(sum-want) > 1e-5 {
					t.Fatalf("%s: L%dH%d attends with %v to the prompt, not %v", name, l, h, sum, want)
				}
			}
		}
		if prefix := name == "prefix"; (got.Nearest == nil) != prefix || (got.Lens == nil) != prefix {
			t.Errorf("%s: nearest %v, lens %v", name, got.Nearest, got.Lens)
		}
	}
	for line, want := range map[string]string{
		"--diff":                            "--diff without --adapter",
		"--diff --adapter x --csv y":        "not with --diff",
		"--diff --adapter /nonexistent":     "/nonexistent",
		"--diff --adapter x --score dla":    "not with --diff",
		"--diff --adapter x --random 0":     "--random 0",
		"--diff --adapter x --corrupted ab": "without --target",
	} {
		r := run(t, append([]string{"inspect-heads", "--device", "cpu"}, strings.Fields(line)...)...)
		if r.code == 0 || !strings.Contains(r.err, want) {
			t.Errorf("%s: exit code %d, %q", line, r.code, r.err)
		}
	}
}

func TestInspectAdapterPage(t *testing.T) {
	dir, file := made(t, "prompt", "--virtual-tokens", "3"), filepath.Join(t.TempDir(), "tuning.html")
	r := must(t, "inspect-adapter", "--device", "cpu", "--html", file, "--random", "10", "--batch", "2", dir)
	if !strings.Contains(r.out, "wrote "+file) || !strings.Contains(r.out, "nearest tokens") {
		t.Errorf("%s", r.out)
	}
	p, text := readPage(t, file)
	if got := p.kinds(); got != "scores lines bars maps maps table lens attention table" || !strings.Contains(text, "10 random tokens, twice") {
		t.Errorf("sections %s", got)
	}
	got := decode[struct{ Tuning *tuningReport }](t, must(t, "inspect-adapter", "--device", "cpu", "--html", file, "--json", "-p", "good soup", dir).out)
	if got.Tuning == nil || len(got.Tuning.Divergence) != 6 || len(got.Tuning.Nearest) != 3 {
		t.Errorf("%+v", got.Tuning)
	}
	for line, want := range map[string]string{
		"--html /nonexistent/x " + dir:                                    "/nonexistent",
		"--html " + file + " --model " + golden + "/llama2 " + dir:        "match",
		"--html " + file + " --token-ids 1 " + dir:                        "one token",
		"--html " + file + " --batch 0 " + dir:                            "--batch 0",
		"--html " + file + " --prompt-file /nonexistent " + dir:           "/nonexistent",
		"--html " + file + " --random 2000 " + dir:                        "positions",
		"--html " + file + " --token-ids 1,99999 -q --device cpu " + dir:  "99999",
		"--html " + file + " --random 5 --batch 1 /nonexistent/anything/": "/nonexistent",
	} {
		r := run(t, append([]string{"inspect-adapter", "--device", "cpu"}, strings.Fields(line)...)...)
		if r.code == 0 || !strings.Contains(r.err, want) {
			t.Errorf("%s: exit code %d, %q", line, r.code, r.err)
		}
	}
}

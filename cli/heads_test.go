package cli_test

import (
	"encoding/csv"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/interp"
)

// headReport is what of inspect-heads --json is looked at.
type headReport struct {
	Layers      int                     `json:"n_layers"`
	Heads       int                     `json:"n_heads"`
	KVHeads     int                     `json:"n_kv_heads"`
	Tokens      [][]int32               `json:"tokens"`
	Scores      map[string]interp.Table `json:"scores"`
	Baseline    map[string][]float64    `json:"baseline"`
	Composition map[string]any          `json:"composition"`
	Warnings    []string                `json:"warnings"`
}

func TestInspectHeads(t *testing.T) {
	dir := t.TempDir()
	table, tensors := filepath.Join(dir, "heads.csv"), filepath.Join(dir, "heads.safetensors")
	r := must(t, "inspect-heads", "--random", "20", "--batch", "3", "--seed", "7", "--composition", "--ablate", "--json", "--device", "cpu",
		"--csv", table, "--out", tensors)
	got := decode[headReport](t, r.out)
	if got.Layers != 5 || got.Heads != 4 || got.KVHeads != 2 || len(got.Tokens) != 3 || len(got.Tokens[0]) != 41 || len(got.Warnings) > 0 {
		t.Errorf("%+v", got)
	}
	for _, name := range []string{
		"previous", "current", "bos", "duplicate", "induction", "induction_arena", "entropy", "locality", "copying",
		"dla", "ablation",
	} {
		if s := got.Scores[name]; len(s) != 5 || len(s[0]) != 4 {
			t.Errorf("%s: %v", name, s)
		}
	}
	if previous := got.Scores["previous"]; previous[2][1] < 0.5 || got.Baseline["previous"][2] > 0.2 {
		t.Errorf("previous: %v, baseline %v", previous, got.Baseline["previous"])
	}
	for _, name := range []string{"q", "k", "v"} {
		if got.Composition[name] == nil {
			t.Errorf("no composition of %s", name)
		}
	}
	f, err := os.Open(table)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) != 21 || len(rows[0]) != 3+len(got.Scores) {
		t.Errorf("%d rows of csv, %v", len(rows), err)
	}
	file, err := os.Open(tensors)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	trace, err := interp.ReadTrace(file, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	if a := trace.Activations["composition.q"]; !slices.Equal(a.Shape, []int{5, 4, 5, 4}) || len(trace.Activations) != len(got.Scores)+3 {
		t.Errorf("composition of shape %v among %v", a.Shape, slices.Sorted(maps.Keys(trace.Activations)))
	}
}

func TestInspectHeadsOfText(t *testing.T) {
	r := must(t, "inspect-heads", "--device", "cpu", "-p", "Review: Hugo and I ate the soup. Verdict:", "--target", "good", "--foil", "bad",
		"--corrupted", "Review: Hugo and I ate the pie. Verdict:", "--score", "dla,attribution,bos", "--top", "2", "--layers", "1-3")
	for _, want := range []string{"a text of", "dla", "attribution\n", "L3H2(kv1)  -0.1"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("no %q in:\n%s", want, r.out)
		}
	}
	if strings.Contains(r.out, "L4H") {
		t.Errorf("layer 4 was not asked for:\n%s", r.out)
	}
}

func TestInspectHeadsBad(t *testing.T) {
	for line, want := range map[string]string{
		"--random 0":                           "--random 0",
		"--top 0":                              "--top 0",
		"--layers x":                           "--layers",
		"--heads 3-1":                          "--heads",
		"--foil a":                             "--foil without --target",
		"--corrupted a":                        "--corrupted without --target",
		"--random 2000":                        "positions",
		"--target nonsensical":                 "neither one token",
		"-p good --token-ids 1,2":              "want one of them",
		"--token-ids 1,99999":                  "99999",
		"--token-ids 1":                        "one token",
		"--score nonsense":                     "not among",
		"--prompt-file /nonexistent":           "/nonexistent",
		"-p a --target good --corrupted a.b.c": "tokens",
		"--adapter /nonexistent":               "/nonexistent",
	} {
		r := run(t, append([]string{"inspect-heads", "--device", "cpu"}, strings.Fields(line)...)...)
		if r.code == 0 || !strings.Contains(r.err, want) {
			t.Errorf("%s: exit code %d, %q", line, r.code, r.err)
		}
	}
}

// TestInspectHeadsWarns: a window that doesn't reach the repeat, and tokens without BOS.
func TestInspectHeadsWarns(t *testing.T) {
	r := must(t, "inspect-heads", "--device", "cpu", "--model", golden+"/mistral", "--random", "20", "--json")
	if got := decode[headReport](t, r.out); len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "window") {
		t.Errorf("warnings: %q", got.Warnings)
	}
	r = must(t, "inspect-heads", "--device", "cpu", "--model", tiny, "--token-ids", "5,6,7")
	if !strings.Contains(r.err, "without BOS") {
		t.Errorf("no warning in %q", r.err)
	}
}

func TestCapture(t *testing.T) {
	file := filepath.Join(t.TempDir(), "acts.safetensors")
	r := must(t, "capture", "--device", "cpu", "-p", "Review: good", "--hooks", "*hook_z,*hook_pattern", "--grad", "--out", file)
	if !strings.Contains(r.out, "10 hooks") || !strings.Contains(r.out, "loss ") {
		t.Errorf("%q", r.out)
	}
	type captured struct {
		Tokens  [][]int32
		Hooks   map[string][]int
		Compare []struct {
			Name              string
			Largest, Relative float64
			Problem           string
		}
	}
	same := decode[captured](t, must(t, "capture", "--device", "cpu", "--compare", file, "--json").out)
	if len(same.Compare) != 21 { // activations, gradients, logits
		t.Errorf("%d compared", len(same.Compare))
	}
	packed := decode[captured](t, must(t, "capture", "--device", "cpu", "--compare", file, "--quant", "q4_0", "--json").out)
	for i, d := range same.Compare {
		if d.Largest != 0 || d.Problem != "" {
			t.Errorf("%+v of the same model", d)
		}
		if p := packed.Compare[i]; p.Largest == 0 || p.Problem != "" {
			t.Errorf("%+v of a packed model", p)
		}
	}
	if list := must(t, "capture", "--hooks", "?").out; !strings.Contains(list, "blocks.4.hook_resid_post\n") {
		t.Errorf("%q", list)
	}
	// What TransformerLens wrote.
	r = must(t, "capture", "--device", "cpu", "--model", golden+"/gemma2", "--compare", "../testdata/interp/gemma2/hooks.safetensors", "--json")
	for _, d := range decode[captured](t, r.out).Compare {
		if missing := strings.HasPrefix(d.Name, "grad.") || strings.HasPrefix(d.Name, "difference."); missing != (d.Problem == "missing") || d.Relative > 1e-5 {
			t.Errorf("%+v", d)
		}
	}
	// Into a file and compared at once; a failed command leaves what was there.
	dir := t.TempDir()
	kept := filepath.Join(dir, "kept.safetensors")
	both := decode[captured](t, must(t, "capture", "--device", "cpu", "--compare", file, "--out", kept, "--json").out)
	if len(both.Compare) != 21 || both.Compare[0].Largest != 0 {
		t.Errorf("%+v", both.Compare)
	}
	first := read(t, dir, "kept.safetensors")
	if r := run(t, "capture", "--device", "cpu", "-p", "Review: good", "--hooks", "*hook_zz", "--out", kept); r.code == 0 || strings.Contains(r.err, "kept") {
		t.Errorf("exit code %d, %q", r.code, r.err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 || read(t, dir, "kept.safetensors") != first {
		t.Errorf("a failed command left %v, %v", left, err)
	}
	for line, want := range map[string]string{
		"-p a":                                "--out or --compare is missing",
		"--hooks *z --out /tmp/x.safetensors": "--prompt, --prompt-file or --token-ids is missing",
		"-p a --hooks *zz --out /tmp/x.safetensors":  "nearest",
		"-p a --compare /nonexistent":                "/nonexistent",
		"-p a --hooks *z --out /nonexistent/x":       "/nonexistent",
		"-p a --positions b --out /tmp/x":            "--positions",
		"-p a --hooks *z --stop-at-layer 9 --out /x": "layer 9",
	} {
		r := run(t, append([]string{"capture", "--device", "cpu"}, strings.Fields(line)...)...)
		if r.code == 0 || !strings.Contains(r.err, want) {
			t.Errorf("%s: exit code %d, %q", line, r.code, r.err)
		}
	}
}

func TestSteer(t *testing.T) {
	dir := t.TempDir()
	toward := write(t, dir, "toward.txt", "Review: good soup. Verdict: good\n\nReview: fresh soup. Verdict: good\n")
	away := write(t, dir, "away.txt", "Review: bad soup. Verdict: bad\n")
	vector := filepath.Join(dir, "v.safetensors")
	if r := must(t, "steer", "--device", "cpu", "--toward", toward, "--away", away, "--out", vector); !strings.Contains(r.out, "blocks.2.hook_resid_pre, from 2 texts and 1 text") {
		t.Errorf("%q", r.out)
	}
	generate := func(more ...string) string {
		return must(t, append([]string{"generate", "--device", "cpu", "--max-tokens", "12", "-p", "Review: Hugo ate the soup."}, more...)...).out
	}
	plain := generate()
	if got := generate("--steer", vector+":0"); got != plain {
		t.Errorf("steered by nothing: %q, want %q", got, plain)
	}
	if got := generate("--steer", vector+":30"); got == plain {
		t.Errorf("steered far: still %q", got)
	}
	other := filepath.Join(dir, "other.safetensors")
	must(t, "steer", "--device", "cpu", "--toward", toward, "--away", away, "--out", other, "--hook", "blocks.1.attn.hook_z")
	generate("--steer", other)
	for line, want := range map[string]string{
		"steer --away x --out y": "--toward is missing",
		"steer --out /tmp/x --away " + away + " --toward /nonexistent":                "/nonexistent",
		"steer --out /nonexistent/x --away " + away + " --toward " + toward:           "/nonexistent",
		"steer --out /tmp/x --hook nothing --away " + away + " --toward " + toward:    "nearest",
		"steer --out /tmp/x --hook *hook_z --away " + away + " --toward " + toward:    "one hook",
		"steer --out /tmp/x --away " + write(t, dir, "e", "\n") + " --toward " + away: "no texts",
		"generate -p a --steer /nonexistent":                                          "/nonexistent",
		"generate -p a --steer " + away:                                               "--steer",
		"generate -p a --model " + golden + "/llama2 --steer " + vector:               "values",
	} {
		r := run(t, append(strings.Fields(line), "--device", "cpu")...)
		if r.code == 0 || !strings.Contains(r.err, want) {
			t.Errorf("%s: exit code %d, %q", line, r.code, r.err)
		}
	}
}

func TestLens(t *testing.T) {
	r := must(t, "lens", "--device", "cpu", "-p", "Review: Hugo and I ate the soup. Verdict:")
	if !strings.Contains(r.out, "0.hook_resid_pre") || !strings.Contains(r.out, "4.hook_resid_post") || !strings.Contains(r.out, "0.00\n") {
		t.Errorf("%s", r.out)
	}
	got := decode[struct {
		Tokens []struct{ Position int }
		Places []struct {
			Hook    string
			Guesses [][]struct{ Probability float64 }
			KL      []float64
		}
	}](t, must(t, "lens", "--device", "cpu", "-p", "good soup", "--positions", "0,2", "--top", "3", "--json").out)
	if len(got.Tokens) != 2 || got.Tokens[1].Position != 2 || len(got.Places) != 6 || len(got.Places[0].Guesses) != 2 || len(got.Places[0].Guesses[0]) != 3 {
		t.Errorf("%+v", got)
	}
	if last := got.Places[5]; last.KL[0] > 1e-6 || got.Places[0].KL[1] < 0.01 {
		t.Errorf("KL %v at the end, %v at the beginning", last.KL, got.Places[0].KL)
	}
	for line, want := range map[string]string{
		"":                    "is missing",
		"-p a --top 0":        "--top 0",
		"-p a --positions 99": "position 99",
		"-p a --positions x":  "--positions",
	} {
		r := run(t, append([]string{"lens", "--device", "cpu"}, strings.Fields(line)...)...)
		if r.code == 0 || !strings.Contains(r.err, want) {
			t.Errorf("%s: exit code %d, %q", line, r.code, r.err)
		}
	}
}

package cli_test

import (
	"encoding/json"
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// drawnPage is what a page's script draws from.
type drawnPage struct {
	Sections []struct {
		Kind string
		Data map[string]any
	}
}

// kinds are those of the sections, in order.
func (p drawnPage) kinds() string {
	var all []string
	for _, s := range p.Sections {
		all = append(all, s.Kind)
	}
	return strings.Join(all, " ")
}

// readPage reads the data of a page, which must need no other file.
func readPage(t *testing.T, name string) (drawnPage, string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	if bad := regexp.MustCompile(`(?i)(src|href)\s*=\s*["']?https?:`).FindString(text); bad != "" {
		t.Errorf("%s: %q", name, bad)
	}
	data := regexp.MustCompile(`(?s)<script type="application/json"[^>]*>(.*?)</script>`).FindStringSubmatch(text)
	var p drawnPage
	if data == nil {
		t.Fatalf("%s has no data", name)
	} else if err := json.Unmarshal([]byte(data[1]), &p); err != nil {
		t.Fatal(err)
	}
	return p, text
}

// checkPNG makes sure that a file is a picture.
func checkPNG(t *testing.T, name string) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	if c, err := png.DecodeConfig(f); err != nil || c.Width < 50 || c.Height < 50 {
		t.Errorf("%s: %+v, %v", name, c, err)
	}
}

func TestInspectHeadsPage(t *testing.T) {
	dir := t.TempDir()
	file, pictures := filepath.Join(dir, "heads.html"), filepath.Join(dir, "made", "pictures")
	r := must(t, "inspect-heads", "--device", "cpu", "--random", "20", "--batch", "2", "--composition", "--html", file, "--png", pictures)
	if !strings.Contains(r.out, "wrote "+file+"\n") || !strings.Contains(r.out, "wrote "+pictures+"\n") {
		t.Errorf("%s", r.out)
	}
	p, text := readPage(t, file)
	if got := p.kinds(); got != "scores attention bars table maps" {
		t.Errorf("sections %s", got)
	}
	for _, want := range []string{"gpupeft-demo", "20 random tokens, twice", "The scores are of all sequences"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q on the page", want)
		}
	}
	scores := p.Sections[0].Data["scores"].([]any)
	json := decode[headReport](t, must(t, "inspect-heads", "--device", "cpu", "--random", "20", "--batch", "2", "--json").out)
	if first := scores[0].(map[string]any); len(scores) != len(json.Scores) || first["name"] != "previous" || first["about"] == "" {
		t.Errorf("%d scores, not %d, the first %v", len(scores), len(json.Scores), first["name"])
	}
	for _, s := range scores {
		if s.(map[string]any)["about"] == "" {
			t.Errorf("nothing is said about %v", s.(map[string]any)["name"])
		}
	}
	if a := p.Sections[1].Data; len(a["tokens"].([]any)) != 41 || len(a["layers"].([]any)) != 5 || a["layer"] == nil {
		t.Errorf("attention of %v tokens", a["tokens"])
	}
	for _, name := range []string{"previous", "previous-L2H1", "copying", "dla"} {
		checkPNG(t, filepath.Join(pictures, name+".png"))
	}
}

// TestInspectHeadsPageOfText: with a soft prompt in front, and a text that is too long for a page.
func TestInspectHeadsPageOfText(t *testing.T) {
	dir := t.TempDir()
	prompt := filepath.Join(dir, "prompt")
	must(t, "tune", "--device", "cpu", "--method", "prompt", "--virtual-tokens", "3", "--steps", "1", "--out", prompt, "--no-report")
	file := filepath.Join(dir, "heads.html")
	must(t, "inspect-heads", "--device", "cpu", "--adapter", prompt, "-p", "Review: <b>good</b> soup.", "--html", file)
	p, text := readPage(t, file)
	if got := p.kinds(); got != "scores text attention bars" {
		t.Errorf("sections %s", got)
	}
	tokens := p.Sections[2].Data["tokens"].([]any)
	if tokens[0] != "(prompt·0)" || len(tokens) != 3+len(p.Sections[1].Data["tokens"].([]any)) || strings.Contains(text, "<b>good") {
		t.Errorf("tokens %v", tokens)
	}
	kept := write(t, dir, "kept.html", "kept")
	for line, want := range map[string]string{
		"--html /nonexistent/x":        "/nonexistent",
		"--png " + kept:                "--png",
		"--png /dev/null/x":            "--png",
		"--png-scale 9 --png " + dir:   "scale 9",
		"--score nope --html " + kept:  "not among",
		"--token-ids 1 --html " + kept: "one token",
	} {
		r := run(t, append([]string{"inspect-heads", "--device", "cpu", "--random", "5", "--batch", "1", "-q"}, strings.Fields(line)...)...)
		if r.code == 0 || !strings.Contains(r.err, want) {
			t.Errorf("%s: exit code %d, %q", line, r.code, r.err)
		}
	}
	if b, err := os.ReadFile(kept); err != nil || string(b) != "kept" {
		t.Errorf("a failed command left %q, %v", b, err)
	}
}

func TestLensPage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lens.html")
	if r := must(t, "lens", "--device", "cpu", "-p", "Review: good soup", "--html", file); !strings.Contains(r.out, "wrote "+file) {
		t.Errorf("%s", r.out)
	}
	p, _ := readPage(t, file)
	if got := p.kinds(); got != "lens lines" {
		t.Errorf("sections %s", got)
	}
	d := p.Sections[0].Data
	if len(d["layers"].([]any)) != 6 || len(d["targets"].([]any)) != len(d["tokens"].([]any)) {
		t.Errorf("%v", d)
	}
	if r := run(t, "lens", "--device", "cpu", "-p", "good soup", "--html", "/nonexistent/x"); r.code == 0 || !strings.Contains(r.err, "/nonexistent") {
		t.Errorf("exit code %d, %q", r.code, r.err)
	}
}

func TestTunedLens(t *testing.T) {
	dir := t.TempDir()
	text, lens := write(t, dir, "text.txt", strings.Repeat("Review: Hugo and I ate the soup. Verdict: good. ", 30)), filepath.Join(dir, "lens.safetensors")
	if r := must(t, "lens", "--device", "cpu", "--prompt-file", text, "--fit", lens); !strings.Contains(r.out, "a lens for 6 places, from ") {
		t.Errorf("%s", r.out)
	}
	type report struct{ Places []struct{ KL []float64 } }
	args := []string{"lens", "--device", "cpu", "-p", "Review: Hugo ate the soup.", "--json"}
	plain, tuned := decode[report](t, must(t, args...).out), decode[report](t, must(t, append(args, "--tuned", lens)...).out)
	last := len(plain.Places[1].KL) - 1
	if tuned.Places[1].KL[last] >= plain.Places[1].KL[last] || tuned.Places[5].KL[last] > 1e-5 {
		t.Errorf("KL %v, of the logit lens %v", tuned.Places, plain.Places)
	}
	for line, want := range map[string]string{
		"-p a --tuned /nonexistent":                 "/nonexistent",
		"-p a --tuned " + text:                      "--tuned",
		"-p a --fit /nonexistent/x":                 "/nonexistent",
		"-p a --fit x --tuned y":                    "want one of them",
		"--fit x":                                   "is missing",
		"-p a --model " + tiny + " --tuned " + lens: "tokenizer",
	} {
		r := run(t, append([]string{"lens", "--device", "cpu"}, strings.Fields(line)...)...)
		if r.code == 0 || !strings.Contains(r.err, want) {
			t.Errorf("%s: exit code %d, %q", line, r.code, r.err)
		}
	}
	if r := run(t, "lens", "--device", "cpu", "--model", golden+"/llama2", "--token-ids", "1,5,9", "--tuned", lens); r.code == 0 || !strings.Contains(r.err, "width") {
		t.Errorf("a lens of another model: exit code %d, %q", r.code, r.err)
	}
}

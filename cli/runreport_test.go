package cli_test

import (
	"bytes"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	dir := t.TempDir()
	out, log := filepath.Join(dir, "out"), filepath.Join(dir, "steps.jsonl")
	must(t, "tune", "--device", "cpu", "--steps", "6", "--eval-every", "2", "--eval-batches", "2", "--sample-prompt", "</script><b>bold</b>",
		"--out", out, "--quiet")

	// tune has made the same page.
	made := read(t, out, "report.html")
	image := read(t, out, "loss.png")
	for _, want := range []string{"step 2</span>", "step 4</span>", "model sha256", "<dt>platform</dt>", "<dt>eval-every</dt>"} {
		if !strings.Contains(made, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	must(t, "report", out)
	if read(t, out, "report.html") != made || read(t, out, "loss.png") != image {
		t.Error("report makes another page than tune")
	}
	if err := os.Rename(filepath.Join(out, "log.jsonl"), log); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(out, "loss.png")); err != nil {
		t.Fatal(err)
	}

	// Without a log there are no curves, and that is said.
	r := must(t, "report", out)
	if !strings.Contains(r.err, "a report without curves") || strings.Contains(r.out, "loss.png") {
		t.Errorf("%q, %q", r.out, r.err)
	}
	page := read(t, out, "report.html")
	for _, want := range []string{"lora: gpupeft-demo on built-in reviews", "bare model", "always &#34;", "&lt;/script&gt;&lt;b&gt;bold", "weight decay", "held-out loss", "89,600"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, "<svg") || strings.Contains(page, "<b>bold") {
		t.Error("a figure without a log, or a sample that became markup")
	}

	// A log is found in the directory, or named.
	must(t, "report", "--log", log, out)
	named := read(t, out, "report.html")
	if err := os.Rename(log, filepath.Join(out, "log.jsonl")); err != nil {
		t.Fatal(err)
	}
	if r := must(t, "report", out); r.err != "" || !strings.Contains(r.out, "loss.png") {
		t.Errorf("%q, %q", r.out, r.err)
	}
	if page := read(t, out, "report.html"); page != named || !strings.Contains(page, "<svg") {
		t.Error("the page has no figure, or depends on where the log lies")
	}
	if svg := read(t, out, "loss.svg"); !strings.Contains(svg, ">held-out loss<") {
		t.Error("loss.svg has no held-out loss")
	}
	if _, err := png.Decode(bytes.NewReader([]byte(read(t, out, "loss.png")))); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(out, ".*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}

	broken := filepath.Join(dir, "broken.jsonl")
	if err := os.WriteFile(broken, []byte("{\"step\":1}\nstep 2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for args, says := range map[string]string{
		"report":                             "report wants one directory",
		"report " + dir:                      "not the directory of a run",
		"report --log " + dir + "/x " + out:  "--log: open",
		"report --log " + broken + " " + out: broken + ": line 2: not a log of training steps",
	} {
		if r := run(t, strings.Fields(args)...); r.code == 0 || !strings.Contains(r.err, says) {
			t.Errorf("gpupeft %s: exit code %d, error %q, want %q in it", args, r.code, r.err, says)
		}
	}
	if err := os.WriteFile(filepath.Join(out, "run.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := run(t, "report", out); r.code == 0 || !strings.Contains(r.err, "run.json: unexpected end of JSON input") {
		t.Errorf("exit code %d, error %q", r.code, r.err)
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Package parity compares what adapters made here compute with what the libraries that
// they are for compute with them. testdata/hub describes the libraries; `make parity`
// installs them and runs the tests.
package parity

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/tensor"
)

// Job is one adapter of one model, and what it computes here.
type Job struct {
	Name    string    `json:"name"`
	Model   string    `json:"model"` // a directory, or a GGUF file
	Adapter string    `json:"adapter"`
	IDs     [][]int32 `json:"ids"`
	Tasks   []int     `json:"tasks,omitempty"`
	Out     string    `json:"out"` // where the library's logits go; Compare sets it

	Bare   []float32 `json:"-"` // logits without the adapter [tokens][V]
	Logits []float32 `json:"-"` // with it
	Half   bool      `json:"-"` // the library computes in float16 in some places
}

// Tolerances where a library rounds to float16, by 2⁻¹¹ of a value.
const (
	maxHalfError = 2e-2
	maxHalfNMSE  = 1e-6
)

// minEffect is by how much an adapter must change some logit: one that does nothing
// would be the same everywhere.
const minEffect = 50 * golden.MaxLogitError

// Python returns the interpreter of a library's environment, a directory below the one
// that PARITY_VENVS names. Where there is none the test is skipped, with the reason.
func Python(t *testing.T, library string) string {
	t.Helper()
	root := os.Getenv("PARITY_VENVS")
	if root == "" {
		t.Skip("PARITY_VENVS isn't set: run make parity")
	}
	python := filepath.Join(root, library, "bin", "python")
	if _, err := os.Stat(python); err != nil {
		log, _ := os.ReadFile(filepath.Join(root, library+".log")) // absent: nothing tried to install it
		t.Skipf("%s isn't installed: %v\n%s", library, err, tail(string(log)))
	}
	return python
}

// tail is the end of an installation's log.
func tail(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}

// Compare runs a script of testdata/hub over all jobs, in one process, and compares the
// logits.
func Compare(t *testing.T, python, script string, jobs []Job) {
	t.Helper()
	dir := t.TempDir()
	for i := range jobs {
		jobs[i].Out = filepath.Join(dir, strconv.Itoa(i))
	}
	manifest, err := json.Marshal(jobs)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "jobs.json")
	if err := os.WriteFile(path, manifest, 0o644); err != nil {
		t.Fatal(err)
	}
	text, err := exec.CommandContext(t.Context(), python, filepath.Join(golden.Root(), "..", "hub", script), path).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, text)
	}
	worst := map[bool]float64{}
	for _, j := range jobs {
		t.Run(j.Name, func(t *testing.T) { worst[j.Half] = max(worst[j.Half], j.compare(t)) })
	}
	t.Logf("%s: %d adapters, logits differ by at most %.1e", script, len(jobs), worst[false])
	if d, ok := worst[true]; ok {
		t.Logf("%s: by at most %.1e where the library rounds to float16", script, d)
	}
}

// compare returns the largest difference between the logits here and there.
func (j Job) compare(t *testing.T) float64 {
	t.Helper()
	if text, err := os.ReadFile(j.Out + ".error"); err == nil {
		t.Fatal(string(text))
	}
	data, err := os.ReadFile(j.Out)
	if err != nil {
		t.Fatal(err)
	}
	there := tensor.Unpack(nil, tensor.F32, data)
	effect, d := largest(j.Logits, j.Bare), 0.0
	if j.Half {
		golden.Near(t, "logits", j.Logits, there, maxHalfNMSE)
		if d = largest(j.Logits, there); !(d <= maxHalfError) {
			t.Errorf("logits differ by up to %v, want at most %v", d, maxHalfError)
		}
	} else {
		golden.NearLogits(t, "logits", j.Logits, there)
		d = largest(j.Logits, there)
	}
	if j.Adapter != "" && !(effect >= minEffect) {
		t.Errorf("the adapter changes logits by at most %.1e: it does nothing", effect)
	}
	t.Logf("logits differ by at most %.1e; the adapter changed them by up to %.2g", d, effect)
	return d
}

// largest difference of two slices, NaN if there is any.
func largest(a, b []float32) float64 {
	most := 0.0
	for i := range a {
		if d := math.Abs(float64(a[i]) - float64(b[i])); !(d <= most) {
			most = d
		}
	}
	return most
}

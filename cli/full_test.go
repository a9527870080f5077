//go:build unix

package cli_test

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A file that grows too large is then an error, as on a disk that is full, and not the end
// of the process.
func init() { signal.Ignore(syscall.SIGXFSZ) }

// TestDiskFull lets writes fail behind a number of bytes: the error is told, no half of a
// file is left, and the checkpoint before still is one.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	rows := readyRows(t, dir, 40)
	out := filepath.Join(dir, "o")
	command := []string{"tune", "--device", "cpu", "--model", tiny, "--data", rows, "--steps", "9", "--save-every", "3", "--out", out, "--quiet"}
	must(t, append(command, "--max-time", "1ns")...)
	for _, blocks := range []string{"0", "1", "60"} { // of 512 bytes
		c := exec.CommandContext(t.Context(), "sh", append([]string{"-c", `ulimit -f ` + blocks + ` && exec "$0" "$@"`, os.Args[0]}, append(command, "--resume", "auto")...)...)
		c.Env = append(os.Environ(), asProgram+"=1")
		text, err := c.CombinedOutput()
		what := map[string]string{"0": "log.jsonl", "1": "log.jsonl", "60": "checkpoint of step 3"}[blocks]
		if err == nil || c.ProcessState.ExitCode() != 1 || !strings.Contains(string(text), what) || !strings.Contains(string(text), "file too large") {
			t.Errorf("limit %s: exit code %d, %v: %s", blocks, c.ProcessState.ExitCode(), err, text)
		}
		names, err := filepath.Glob(filepath.Join(out+"-checkpoints", "*"))
		hidden, err2 := filepath.Glob(filepath.Join(out+"-checkpoints", ".*"))
		if err != nil || err2 != nil || len(names) != 2 || filepath.Base(names[0]) != "log.jsonl" || filepath.Base(names[1]) != "step-00000001" || len(hidden) > 0 {
			t.Errorf("limit %s: left %v, %v", blocks, names, hidden)
		}
	}
	must(t, append(command, "--resume", "auto")...)
}

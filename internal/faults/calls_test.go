package faults_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gpupeft/gpupeft/internal/faults"
)

// TestCalls runs a shell whose calls are reported, and fail.
func TestCalls(t *testing.T) {
	const script = `cd "$0" && mkdir -p sub && printf 12345678 >sub/a && mv sub/a b && chmod 600 b && rm b && printf 1 >/dev/null && cat /dev/null`
	run := func(rule faults.CallRule) (dir string, made []faults.Called, said string, err error) {
		dir = t.TempDir()
		c := exec.CommandContext(t.Context(), "sh", "-c", script, dir)
		var out strings.Builder
		c.Stdout, c.Stderr = &out, &out
		made, err = faults.StartCalls(t, c, dir, rule).Wait(t)
		return dir, made, out.String(), err
	}
	dir, made, said, err := run(faults.CallRule{})
	if err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	var kinds []faults.Call
	for _, c := range made {
		if c.Failed || !strings.HasPrefix(c.Path, dir+"/") {
			t.Errorf("%+v", c)
		}
		kinds = append(kinds, c.Call)
	}
	for _, want := range []faults.Call{faults.Make, faults.Write, faults.CloseOut, faults.Rename, faults.SetMode, faults.Remove} {
		if !slices.Contains(kinds, want) {
			t.Errorf("%v without %s", kinds, want)
		}
	}
	for i := range made {
		dir, again, said, err := run(faults.CallRule{At: i + 1, Errno: syscall.EIO})
		if len(again) <= i || !again[i].Failed || again[i].Call != made[i].Call {
			t.Fatalf("call %d of %v: %v", i+1, made, again)
		}
		if made[i].Call != faults.CloseOut && (err == nil || said == "") { // sh doesn't look at that
			t.Errorf("%s in %s: %v: %s", again[i].Call, dir, err, said)
		}
	}
	at := 1 + slices.Index(kinds, faults.Write)
	dir, made, said, _ = run(faults.CallRule{At: at, Errno: syscall.ENOSPC, Full: true})
	if text, err := os.ReadFile(filepath.Join(dir, "sub", "a")); err != nil || string(text) != "1234" {
		t.Errorf("a full disk has %q, %v: %s; %v", text, err, said, made)
	}
}

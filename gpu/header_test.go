package gpu_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// webgpu.h repeats declarations of the native library's headers. The C compiler
// compares them.
func TestHeader(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/cogentcore/webgpu").Output()
	if err != nil {
		t.Skipf("the module of the native library cannot be found: %v", err)
	}
	compiler, err := exec.LookPath("cc")
	if err != nil {
		t.Skipf("no C compiler: %v", err)
	}
	headers := filepath.Join(strings.TrimSpace(string(dir)), "wgpu", "lib")
	out, err := exec.Command(compiler, "-std=c11", "-fsyntax-only", "-Wall", "-I"+headers, filepath.Join("testdata", "abi.c")).CombinedOutput()
	if err != nil {
		t.Errorf("webgpu.h differs from the headers in %s:\n%s", headers, out)
	}
}

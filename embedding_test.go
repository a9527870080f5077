package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEmbedding compiles and runs the program of docs/embedding.md, which must be the
// one that stands in docs/_embedding.
func TestEmbedding(t *testing.T) {
	source, err := os.ReadFile(filepath.Join("docs", "_embedding", "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join("docs", "embedding.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(source), "package main")
	if !strings.Contains(string(page), "```go\npackage main"+code+"```") {
		t.Error("docs/embedding.md doesn't have the program of docs/_embedding")
	}
	program := filepath.Join(t.TempDir(), "embedding")
	if text, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./docs/_embedding").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	c := exec.CommandContext(t.Context(), program)
	c.Dir = t.TempDir()
	text, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?s)step 60: .*verdict: bad\nlayer 4, head 0 looks at`).Match(text) {
		t.Errorf("printed %s", text)
	}
	if _, err := os.Stat(filepath.Join(c.Dir, "adapter", "adapter_model.safetensors")); err != nil {
		t.Error(err)
	}
}

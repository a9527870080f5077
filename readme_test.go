package main

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/cli"
)

// readmeCommands returns the lines of the README's sh blocks, without comments.
func readmeCommands(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	shell := false
	for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
		line := s.Text()
		if strings.HasPrefix(line, "```") {
			shell = line == "```sh"
			continue
		}
		if line, _, _ = strings.Cut(line, "#"); shell && strings.TrimSpace(line) != "" {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// words splits a command line; quotes hold words together.
var words = regexp.MustCompile(`"[^"]*"|\S+`)

// TestReadme runs every gpupeft command of the README, in its order: what one
// writes, the next may read. Names of a reader's own model and data stand for the
// built-in model and rows of this test.
func TestReadme(t *testing.T) {
	dir := t.TempDir()
	rows := filepath.Join(dir, "rows.jsonl")
	row := `{"prompt":"Who ate the soup?","completion":" Hugo did."}` + "\n"
	if err := os.WriteFile(rows, []byte(strings.Repeat(row, 20)), 0o644); err != nil {
		t.Fatal(err)
	}
	stand := map[string]string{
		"llama-3.2-1b": filepath.Join("transformer", "demo", "model"), "rows.jsonl": rows,
		"gpupeft-out": filepath.Join(dir, "default"),
		"other:0.5":   filepath.Join(dir, "adapter") + ":0.5",
	} // a reader's second adapter
	for _, name := range []string{"adapter", "llama-q4_0.gguf", "merged.gguf", "qlora", "adapter.gguf", "both", "acts.safetensors", "heads.html", "tuning.html", "circuit.html"} {
		stand[name] = filepath.Join(dir, name)
	}
	ran := 0
	for _, line := range readmeCommands(t) {
		line = strings.Replace(line, "go run . ", "gpupeft ", 1)
		args := words.FindAllString(line, -1)
		if args[0] != "gpupeft" {
			continue // make and go install
		}
		ran++
		for i, a := range args {
			args[i] = strings.Trim(a, `"`)
			if s, ok := stand[args[i]]; ok {
				args[i] = s
			}
		}
		if len(args) == 2 && args[1] == "tune" {
			args = append(args, "--out", filepath.Join(dir, "default"))
		}
		var out, errOut bytes.Buffer
		if code := cli.Run(t.Context(), args, strings.NewReader(""), &out, &errOut); code != 0 {
			t.Errorf("%s: exit code %d\n%s%s", line, code, &out, &errOut)
		}
	}
	if ran < 14 {
		t.Errorf("only %d commands found", ran)
	}
}

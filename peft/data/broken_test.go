package data_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/peft/data"
)

// TestBrokenFiles opens the kinds of broken files that people have: each is an error
// with the line and the reason, or no error and the right examples.
func TestBrokenFiles(t *testing.T) {
	row := `{"prompt":"a","completion":"b"}` + "\n"
	tests := []struct {
		name, file, text string
		says             string // "": it is fine, with two examples
	}{
		{"0 bytes", "a.jsonl", "", "a.jsonl is empty"},
		{"byte order mark", "a.jsonl", "\ufeff" + row + row, ""},
		{"CRLF", "a.jsonl", strings.ReplaceAll(row+row, "\n", "\r\n"), ""},
		{"no last newline", "a.jsonl", row + strings.TrimSuffix(row, "\n"), ""},
		{"100 MB line", "a.jsonl", row + `{"prompt":"` + strings.Repeat("a", 100<<20) + `","completion":"b"}`, "a.jsonl:2: longer than 16 MiB"},
		{"invalid UTF-8", "a.jsonl", row + strings.ReplaceAll(row, "a\"", "\xff\""), "a.jsonl:2: invalid UTF-8 (byte 0xff at column 12)"},
		{"NUL", "a.jsonl", row + "\x00" + row, "a.jsonl:2: a NUL byte"},
		{"field twice", "a.jsonl", row + `{"prompt":"a","prompt":"a","completion":"b"}`, `a.jsonl:2: field "prompt" occurs twice`},
		{"field missing", "a.jsonl", row + `{"prompt":"a"}`, `a.jsonl:2: field "completion" is missing`},
		{"deep", "a.jsonl", row + `{"prompt":` + strings.Repeat("[", 100000), `a.jsonl:2: field "prompt": no JSON`},
		{"half a line", "a.jsonl", row + row[:20], "a.jsonl:2: no JSON (unexpected EOF)"},
		{"gzip", "a.jsonl", "\x1f\x8b\x08\x00", "a.jsonl: this is gzip (unpack it)"},
		{"UTF-16", "a.csv", "\xff\xfep\x00", "a.csv: this is UTF-16 (save it as UTF-8)"},
		{"field missing in an array", "a.json", "[\n" + row + ",\n{\"prompt\":\"a\"}\n]", `a.json:4: row 2: field "completion" is missing`},
		{"cell missing", "a.csv", "prompt,completion\na,b\nc\n", "a.csv:3: no CSV (wrong number of fields)"},
		{"cell missing in a TSV", "a.tsv", "prompt\tcompletion\na\tb\nc\n", "a.tsv:3: 1 cells under 2 columns"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, test.file), []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := data.Open(t.Context(), os.DirFS(dir), test.file, options())
			if test.says != "" {
				if !errors.Is(err, data.ErrFormat) && !errors.Is(err, data.ErrTooFew) || !strings.Contains(fmt.Sprint(err), test.says) {
					t.Errorf("got %v, want %q", err, test.says)
				}
				return
			}
			if err != nil || f.Train.Len() != 2 || f.Close() != nil {
				t.Errorf("got %+v, %v", f, err)
			}
		})
	}
}

// TestSparseFile opens a file of 10 GB that is a hole.
func TestSparseFile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "a.jsonl")
	if err := os.WriteFile(name, []byte(`{"text":"ab"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, 10<<30); err != nil {
		t.Skip("no sparse files: ", err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := data.Open(t.Context(), os.DirFS(dir), "a.jsonl", options()); !errors.Is(err, data.ErrFormat) || !strings.Contains(err.Error(), "a.jsonl:2: a NUL byte") {
		t.Errorf("got %v", err)
	}
	if runtime.ReadMemStats(&after); int64(after.HeapSys)-int64(before.HeapSys) > 64<<20 {
		t.Errorf("the heap grew by %d bytes", int64(after.HeapSys)-int64(before.HeapSys))
	}
}

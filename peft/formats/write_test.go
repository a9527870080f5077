package formats

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/transformer"
)

// files are the contents of a file, or of all files of a directory, by name.
func files(t *testing.T, path string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(path, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		rel, _ := filepath.Rel(path, name) // both come from WalkDir
		out[rel] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSameBytes writes every adapter of testdata in every format that can express it:
// again and again, and once more from what was read back, with the same bytes.
func TestSameBytes(t *testing.T) {
	written := map[Format]int{}
	each := func(dir, kind, name string) {
		c, err := transformer.Open(os.DirFS(goldenDir(kind)))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		o := Options{Model: c.Config, Name: "same"}
		s := read(t, dir, name, c.Config)
		for _, f := range Writable() {
			if Check(s, f, o) != nil {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s/%s", kind, name, f), func(t *testing.T) {
				sameBytes(t, s, f, o)
			})
			written[f]++
		}
	}
	for _, pattern := range []string{"hub", "methods"} {
		dirs, err := filepath.Glob(filepath.Join(golden.Root(), "..", pattern, "*", "*", "adapter_config.json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, config := range dirs {
			dir := filepath.Dir(config)
			each(dir, filepath.Base(filepath.Dir(dir)), filepath.Base(dir))
		}
	}
	for f, least := range map[Format]int{PEFT: 60, AdapterHub: 15, MLX: 15, GGUF: 15} {
		if written[f] < least {
			t.Errorf("%d adapters written as %s, want at least %d", written[f], f, least)
		}
	}
}

func sameBytes(t *testing.T, s *peft.State, f Format, o Options) {
	t.Helper()
	dir := t.TempDir()
	write := func(s *peft.State, name string) map[string]string {
		path := filepath.Join(dir, name)
		if err := Write(path, s, f, o); err != nil {
			t.Fatal(err)
		}
		return files(t, path)
	}
	first := write(s, "first")
	same := func(what string, again map[string]string) {
		for name, data := range first {
			if again[name] != data || len(again) != len(first) {
				t.Errorf("%s: %s differs", what, name)
			}
		}
	}
	for i := range 4 { // the order of Go's maps is another one each time
		same("written again", write(s, fmt.Sprint(i)))
	}
	again, format, err := Read(filepath.Join(dir, "first"), o)
	if err != nil || format != f {
		t.Fatal(format, err)
	}
	if again.Base == "" {
		again.Base = s.Base // GGUF has no place for it
	}
	same("read and written", write(again, "again"))
}

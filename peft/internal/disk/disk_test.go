package disk_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/gpupeft/gpupeft/peft/internal/disk"
)

// TestWrite: a file is replaced as a whole, or stays as it was with nothing beside it.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "file")
	if err := disk.WriteBytes(name, []byte("first")); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	err := disk.Write(name, func(w io.Writer) error {
		_, err := w.Write([]byte("half of the sec"))
		return errors.Join(err, broken)
	})
	if text, _ := os.ReadFile(name); string(text) != "first" || !errors.Is(err, broken) {
		t.Errorf("%q after %v", text, err)
	}
	if err := disk.WriteBytes(name, []byte("second")); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(name)
	entries, _ := os.ReadDir(dir)
	if string(text) != "second" || len(entries) != 1 {
		t.Errorf("%q, %d files", text, len(entries))
	}
	if err := disk.WriteBytes(filepath.Join(dir, "none", "file"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that isn't there: %v", err)
	}
}

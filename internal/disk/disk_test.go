package disk_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/internal/disk"
)

var errBroken = errors.New("broken")

// names returns what is in a directory.
func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func text(name string) string {
	text, _ := os.ReadFile(name)
	return string(text)
}

// TestWrite: a file is replaced as a whole, or stays as it was with nothing beside it.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "file")
	if err := disk.WriteBytes(name, []byte("first")); err != nil {
		t.Fatal(err)
	}
	err := disk.Write(name, func(w io.Writer) error {
		_, err := w.Write([]byte("half of the sec"))
		return errors.Join(err, errBroken)
	})
	if text(name) != "first" || !errors.Is(err, errBroken) {
		t.Errorf("%q after %v", text(name), err)
	}
	if err := disk.WriteBytes(name, []byte("second")); err != nil {
		t.Fatal(err)
	}
	if now := names(t, dir); text(name) != "second" || len(now) != 1 {
		t.Errorf("%q, %v", text(name), now)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm()&0o400 == 0 {
		t.Errorf("%v, %v", info, err)
	}
	if err := disk.WriteBytes(filepath.Join(dir, "none", "file"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that isn't there: %v", err)
	}
	closed := disk.WriteFile(name, func(f *os.File) error {
		_, err := f.Write([]byte("third"))
		return errors.Join(err, f.Close())
	})
	if text(name) != "second" || closed == nil || strings.Contains(closed.Error(), ".gpupeft") {
		t.Errorf("%q after %v", text(name), closed)
	}
}

// TestMake: a directory gets its place when it is complete, and takes that of an older one
// only if it may.
func TestMake(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sub", "made")
	fill := func(say string, err error) func(string) error {
		return func(temp string) error {
			return errors.Join(os.Mkdir(temp, 0o755), disk.WriteBytes(filepath.Join(temp, "file"), []byte(say)), err)
		}
	}
	for _, step := range []struct {
		name    string
		replace bool
		make    func(string) error
		want    error
		then    string
	}{
		{"broken", false, fill("first", errBroken), errBroken, ""},
		{"new", false, fill("second", nil), nil, "second"},
		{"there already", false, fill("third", nil), fs.ErrExist, "second"},
		{"broken again", true, fill("fourth", errBroken), errBroken, "second"},
		{"nothing made", true, func(string) error { return nil }, fs.ErrNotExist, "second"},
		{"replaced", true, fill("fifth", nil), nil, "fifth"},
	} {
		err := disk.Make(path, step.replace, step.make)
		if !errors.Is(err, step.want) || text(filepath.Join(path, "file")) != step.then {
			t.Errorf("%s: %v, and %q is there", step.name, err, text(filepath.Join(path, "file")))
		}
		if left := names(t, filepath.Dir(path)); slices.ContainsFunc(left, func(n string) bool { return n != "made" }) {
			t.Errorf("%s: left %v", step.name, left)
		}
	}
	file := filepath.Join(dir, "file")
	if err := disk.Make(file, false, func(temp string) error { return disk.WriteBytes(temp, []byte("x")) }); err != nil || text(file) != "x" {
		t.Errorf("a file: %v", err)
	}
	if err := disk.Make(file, false, func(temp string) error { return disk.WriteBytes(temp, []byte("y")) }); !errors.Is(err, fs.ErrExist) || text(file) != "x" {
		t.Errorf("a file that is there: %v", err)
	}
	for range 2 { // the second time it is gone
		if err := disk.Remove(path); err != nil || len(names(t, filepath.Dir(path))) != 0 {
			t.Errorf("removed: %v", err)
		}
	}
}

// TestClean: what killed processes have left goes, and nothing else.
func TestClean(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".gpupeft-a-12", ".gpupeft-a-b-34", ".gpupeft-a-x", ".gpupeft", "a-12", ".a-12"} {
		if err := os.MkdirAll(filepath.Join(dir, name, "old"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := disk.WriteBytes(filepath.Join(dir, "a"), nil); err != nil {
		t.Fatal(err)
	}
	if got, want := names(t, dir), []string{".a-12", ".gpupeft", ".gpupeft-a-b-34", ".gpupeft-a-x", "a", "a-12"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if err := disk.Clean(dir, ""); err != nil {
		t.Fatal(err)
	}
	if got, want := names(t, dir), []string{".a-12", ".gpupeft", "a", "a-12"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/peft/formats"
)

// runName is the file of a saved adapter that says how it was made.
const runName = "run.json"

// checkWritable makes sure, before the work, that a directory can be made.
func checkWritable(dir string) error {
	parent := filepath.Dir(filepath.Clean(dir))
	for {
		info, err := os.Stat(parent)
		if err == nil && !info.IsDir() {
			return fmt.Errorf("--out %s: %s is not a directory", dir, parent)
		}
		if err == nil {
			break
		}
		if up := filepath.Dir(parent); up != parent && errors.Is(err, fs.ErrNotExist) {
			parent = up
			continue
		}
		return fmt.Errorf("--out %s: %w", dir, err)
	}
	probe, err := os.MkdirTemp(parent, ".gpupeft-*")
	if err != nil {
		return fmt.Errorf("--out %s: %w", dir, err)
	}
	return os.Remove(probe)
}

// writeAdapter writes an adapter in PEFT's format, and AdapterHub's own methods in
// AdapterHub's.
func writeAdapter(ctx context.Context, dir string, m peft.Method, baseModel string) error {
	if _, bottleneck := m.Config().(peft.BottleneckConfig); !bottleneck {
		return peft.Save(ctx, dir, m, peft.SaveOptions{BaseModel: baseModel})
	}
	s, err := peft.StateOf(ctx, m)
	if err != nil {
		return err
	}
	s.Base = baseModel
	return formats.Write(dir, s, formats.AdapterHub, formats.Options{Model: m.Model().Config})
}

// saveAdapter writes an adapter and its report beside dir and then moves them there,
// so that dir is complete or not there; more adds what else belongs there. An older one
// must be asked to be replaced.
func saveAdapter(ctx context.Context, dir string, replace bool, m peft.Method, baseModel string, report any, more func(dir string) error) (err error) {
	dir = filepath.Clean(dir)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := cleanBeside(dir); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(filepath.Dir(dir), tempName(dir)+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("save %s: %w", dir, err), os.RemoveAll(temp))
		}
	}()
	if err := os.Chmod(temp, 0o755); err != nil {
		return err
	}
	if err := writeAdapter(ctx, temp, m, baseModel); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(temp, runName))
	if err != nil {
		return err
	}
	if err := errors.Join(writeJSON(f, report), f.Close(), more(temp)); err != nil {
		return err
	}
	if replace && exists(dir) {
		aside, err := os.MkdirTemp(filepath.Dir(dir), tempName(dir)+"*")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(aside)) }()
		if err := os.Rename(dir, filepath.Join(aside, "old")); err != nil {
			return err
		}
	}
	// An empty directory gives way; one that has been filled meanwhile doesn't.
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(temp, dir)
}

// tempName is what the names of temporary directories beside an adapter begin with.
func tempName(dir string) string { return ".gpupeft-" + filepath.Base(dir) + "-" }

// cleanBeside removes what a process has left that was killed while it saved.
func cleanBeside(dir string) error {
	entries, err := os.ReadDir(filepath.Dir(dir))
	for _, e := range entries {
		digits, ours := strings.CutPrefix(e.Name(), tempName(dir))
		if ours && strings.Trim(digits, "0123456789") == "" {
			err = errors.Join(err, os.RemoveAll(filepath.Join(filepath.Dir(dir), e.Name())))
		}
	}
	return err
}

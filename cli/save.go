package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gpupeft/gpupeft/internal/disk"
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

// saveAdapter writes an adapter and its report such that dir is complete or not there; more
// adds what else belongs there. An older one must be asked to be replaced.
func saveAdapter(ctx context.Context, dir string, replace bool, m peft.Method, baseModel string, report any, more func(dir string) error) error {
	return disk.Make(dir, replace, func(temp string) error {
		if err := writeAdapter(ctx, temp, m, baseModel); err != nil {
			return err
		}
		if err := disk.Write(filepath.Join(temp, runName), func(w io.Writer) error { return writeJSON(w, report) }); err != nil {
			return err
		}
		return more(temp)
	})
}

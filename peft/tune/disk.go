package tune

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/gpupeft/gpupeft/peft/internal/disk"
)

// writeSynced writes a file that is on the disk when it returns.
func writeSynced(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// place gives a finished directory its name, in place of one that has it.
func place(temp, name string) error {
	if err := os.Chmod(temp, 0o755); err != nil {
		return err
	}
	disk.SyncDir(temp)
	if err := remove(name); err != nil {
		return err
	}
	if err := os.Rename(temp, name); err != nil {
		return err
	}
	disk.SyncDir(filepath.Dir(name))
	return nil
}

// remove removes a directory, if it is there, such that no part of it is left under its
// name.
func remove(name string) error {
	aside, err := os.MkdirTemp(filepath.Dir(name), tempPrefix)
	if err != nil {
		return err
	}
	err = os.Rename(name, filepath.Join(aside, "old"))
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, os.RemoveAll(aside))
}

// clean removes what a process that was killed has left.
func clean(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tempPrefix) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

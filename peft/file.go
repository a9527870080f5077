package peft

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// The two files of a PEFT directory.
const (
	configName  = "adapter_config.json"
	weightsBase = "adapter_model" // + ".safetensors"
)

// writeFile replaces a file as a whole: a reader sees the old one or the new one,
// also after a crash.
func writeFile(path string, write func(f *os.File) error) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", path, err)
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := errors.Join(write(f), f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes a rename durable. Systems that can't open directories do without.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	_ = d.Sync() // not supported everywhere, and the rename itself has succeeded
	return nil
}

// Package disk writes files and directories that are complete or not there, also after a
// crash. They are written under another name beside their place, brought to the disk, and
// moved there. What a killed process has left under such a name goes when the same file or
// directory is written again.
package disk

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Write replaces a file as a whole: a reader sees the old one or the new one. Errors leave
// the old one.
func Write(path string, write func(w io.Writer) error) error {
	return WriteFile(path, func(f *os.File) error {
		w := bufio.NewWriterSize(f, 1<<16)
		return errors.Join(write(w), w.Flush())
	})
}

// WriteBytes is Write of what is at hand.
func WriteBytes(path string, data []byte) error {
	return WriteFile(path, func(f *os.File) error {
		_, err := f.Write(data)
		return err
	})
}

// WriteFile is Write for what isn't written from the beginning to the end.
func WriteFile(path string, write func(f *os.File) error) error {
	return aside(path, func(temp string) error {
		made := filepath.Join(temp, newName)
		f, err := os.OpenFile(made, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
		if err != nil {
			return err
		}
		if err = write(f); err == nil {
			err = f.Sync()
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		return os.Rename(made, path)
	})
}

// Make makes a directory, or a file, with its parents: make writes it under the name that
// it is given, by the functions of this package. What has the path already gives way if
// replace says so, and comes back after an error; an empty directory always gives way.
func Make(path string, replace bool, make func(temp string) error) error {
	path = filepath.Clean(path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return aside(path, func(temp string) error {
		made, old := filepath.Join(temp, newName), filepath.Join(temp, oldName)
		if err := make(made); err != nil {
			return err
		}
		if info, err := os.Stat(made); err == nil && info.IsDir() { // a file is on the disk
			syncDir(made)
		}
		if err := giveWay(path, old, replace); err != nil {
			return err
		}
		err := os.Rename(made, path)
		if err != nil && exists(old) {
			err = errors.Join(err, os.Rename(old, path))
		}
		return err
	})
}

// giveWay makes room at a path: for a moment, what is there is called old.
func giveWay(path, old string, replace bool) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case replace:
		return os.Rename(path, old)
	case !info.IsDir():
		return &fs.PathError{Op: "make", Path: path, Err: fs.ErrExist}
	}
	return os.Remove(path) // fails if something has come into it meanwhile
}

// Remove removes a file or directory, if it is there, such that no part of it is left under
// its name.
func Remove(path string) error {
	if !exists(path) {
		return nil
	}
	return aside(path, func(temp string) error { return os.Rename(path, filepath.Join(temp, oldName)) })
}

// Clean removes what killed processes have left in a directory, of everything that is
// written with this package in it; or only of what has the given name, if it isn't empty.
func Clean(dir, name string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		rest, ours := strings.CutPrefix(e.Name(), tempPrefix)
		if name != "" && ours {
			rest, ours = strings.CutPrefix(rest, name+"-")
			ours = ours && strings.Trim(rest, "0123456789") == ""
		}
		if ours {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// tempPrefix begins the names of directories for what is being written, in which it has one
// of the other names.
const (
	tempPrefix = ".gpupeft-"
	newName    = "new"
	oldName    = "old"
)

// aside gives do a directory beside a path, and removes it afterwards.
func aside(path string, do func(temp string) error) (err error) {
	dir, name := filepath.Dir(path), filepath.Base(path)
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	if err := Clean(dir, name); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(dir, tempPrefix+name+"-*")
	if err != nil {
		return err
	}
	err = do(temp)
	var inside *fs.PathError // whose name says nothing to anybody
	if errors.As(err, &inside) && inside.Path == filepath.Join(temp, newName) {
		err = inside.Err
	}
	if err = errors.Join(err, os.RemoveAll(temp)); err == nil {
		syncDir(dir)
	}
	return err
}

// syncDir makes renames in a directory durable. Systems that can't do that do without:
// the renames themselves have succeeded.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

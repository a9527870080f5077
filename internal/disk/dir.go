package disk

import (
	"errors"
	"io/fs"
	"os"
)

// Dir is os.DirFS for a directory of a stranger's: what is neither a file nor a directory,
// such as a pipe or device that never ends, isn't opened. Links are followed, as in the
// caches of Hugging Face, where all files are links.
func Dir(path string) fs.FS { return regular{os.DirFS(path)} }

type regular struct{ fs.FS }

var errNotRegular = errors.New("not a regular file")

// Open implements fs.FS.
func (r regular) Open(name string) (fs.File, error) {
	if info, err := fs.Stat(r.FS, name); err == nil && !info.IsDir() && !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errNotRegular}
	}
	return r.FS.Open(name)
}

// Stat implements fs.StatFS.
func (r regular) Stat(name string) (fs.FileInfo, error) { return fs.Stat(r.FS, name) }

package data

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Files is a data set: the parts that it has, the others nil.
type Files struct{ Train, Valid, Test *Set }

// partNames are the files of a directory, by what they may be called.
var (
	partNames  = [][]string{{"train"}, {"valid", "validation", "val", "dev"}, {"test"}}
	extensions = []string{".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt"}
)

// Parts returns the parts that there are, in order.
func (f *Files) Parts() []*Set {
	var parts []*Set
	for _, s := range []*Set{f.Train, f.Valid, f.Test} {
		if s != nil {
			parts = append(parts, s)
		}
	}
	return parts
}

// Close removes the temporary files, if there are any.
func (f *Files) Close() error {
	var err error
	for _, s := range f.Parts() {
		err = errors.Join(err, s.Close())
	}
	return err
}

// Open reads a file, which becomes Train, or a directory with a file for each part.
func Open(ctx context.Context, dir fs.FS, name string, o Options) (*Files, error) {
	f := &Files{}
	if err := f.open(ctx, dir, name, o); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	for _, s := range f.Parts() { // a later file may have had more classes
		if last := f.Parts()[len(f.Parts())-1]; s.Format == Classes && last.Format == Classes {
			s.Classes = last.Classes
		}
	}
	return f, nil
}

func (f *Files) open(ctx context.Context, dir fs.FS, name string, o Options) error {
	info, err := fs.Stat(dir, name)
	if err != nil {
		return err
	}
	c := newClasses(&o)
	if !info.IsDir() {
		f.Train, err = openFile(ctx, dir, name, o, c)
		return err
	}
	entries, err := fs.ReadDir(dir, name)
	if err != nil {
		return err
	}
	found := false
	for i, part := range []**Set{&f.Train, &f.Valid, &f.Test} {
		file, err := partFile(entries, partNames[i])
		if err != nil {
			return err
		}
		if file == "" {
			continue
		}
		found = true
		if *part, err = openFile(ctx, dir, path.Join(name, file), o, c); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("no file named train, valid (or validation, val, dev) or test with an extension of %s: %w", strings.Join(extensions, ", "), fs.ErrNotExist)
	}
	return nil
}

// partFile returns the one file of a part, or "".
func partFile(entries []fs.DirEntry, names []string) (string, error) {
	found := ""
	for _, e := range entries {
		ext := path.Ext(e.Name())
		if e.IsDir() || !slices.Contains(extensions, ext) || !slices.Contains(names, strings.TrimSuffix(e.Name(), ext)) {
			continue
		}
		if found != "" {
			return "", fmt.Errorf("%s and %s are the same part of the data (keep one): %w", found, e.Name(), ErrFormat)
		}
		found = e.Name()
	}
	return found, nil
}

func openFile(ctx context.Context, dir fs.FS, name string, o Options, c *classes) (*Set, error) {
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readFile(ctx, name, f, o, c)
}

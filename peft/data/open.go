package data

import (
	"context"
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
	partNames  = [][]string{{"train"}, {"valid", "validation", "val"}, {"test"}}
	extensions = []string{".jsonl", ".ndjson", ".json", ".txt"}
)

// Open reads a file, which becomes Train, or a directory with a file for each part.
func Open(ctx context.Context, dir fs.FS, name string, o Options) (*Files, error) {
	info, err := fs.Stat(dir, name)
	if err != nil {
		return nil, err
	}
	var f Files
	if !info.IsDir() {
		f.Train, err = openFile(ctx, dir, name, o)
		return &f, err
	}
	entries, err := fs.ReadDir(dir, name)
	if err != nil {
		return nil, err
	}
	found := false
	for i, part := range []**Set{&f.Train, &f.Valid, &f.Test} {
		file, err := partFile(entries, partNames[i])
		if err != nil {
			return nil, err
		}
		if file == "" {
			continue
		}
		found = true
		if *part, err = openFile(ctx, dir, path.Join(name, file), o); err != nil {
			return nil, err
		}
	}
	if !found {
		return nil, fmt.Errorf("no file named train, valid or test with an extension of %s: %w", strings.Join(extensions, ", "), fs.ErrNotExist)
	}
	return &f, nil
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

func openFile(ctx context.Context, dir fs.FS, name string, o Options) (*Set, error) {
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Read(ctx, name, f, o)
}

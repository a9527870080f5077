package data_test

import (
	"errors"
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/gpupeft/gpupeft/peft/data"
)

func TestOpen(t *testing.T) {
	row := &fstest.MapFile{Data: []byte(`{"text":"ab"}`)}
	tests := []struct {
		name, path         string
		files              fstest.MapFS
		train, valid, test string
		err                error
	}{
		{name: "file", path: "a.jsonl", files: fstest.MapFS{"a.jsonl": row}, train: "a.jsonl"},
		{name: "directory", path: ".", files: fstest.MapFS{"train.jsonl": row, "valid.txt": row, "README.md": row}, train: "train.jsonl", valid: "valid.txt"},
		{
			name: "other names", path: "d", files: fstest.MapFS{"d/train.json": row, "d/validation.ndjson": row, "d/test.jsonl": row},
			train: "d/train.json", valid: "d/validation.ndjson", test: "d/test.jsonl",
		},
		{name: "val", path: ".", files: fstest.MapFS{"val.jsonl": row}, valid: "val.jsonl"},
		{name: "ambiguous", path: ".", files: fstest.MapFS{"train.json": row, "train.txt": row}, err: data.ErrFormat},
		{name: "ambiguous names", path: ".", files: fstest.MapFS{"val.json": row, "valid.json": row}, err: data.ErrFormat},
		{name: "nothing", path: ".", files: fstest.MapFS{"data.jsonl": row}, err: fs.ErrNotExist},
		{name: "missing", path: "a.jsonl", files: fstest.MapFS{}, err: fs.ErrNotExist},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := data.Open(t.Context(), test.files, test.path, options())
			if !errors.Is(err, test.err) {
				t.Fatalf("error %v, want %v", err, test.err)
			}
			if err != nil {
				return
			}
			for _, part := range []struct {
				set  *data.Set
				want string
			}{{got.Train, test.train}, {got.Valid, test.valid}, {got.Test, test.test}} {
				name := ""
				if part.set != nil {
					name = part.set.Name
				}
				if name != part.want {
					t.Errorf("file %q, want %q", name, part.want)
				}
			}
		})
	}
}

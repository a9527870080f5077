package torchfile_test

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/gpupeft/gpupeft/tensor"
)

// samples are the files that the tests below break.
var samples = []string{"shapes.pt", "views.pt", "checkpoint.pt", "protocol4.pt", "legacy.pt", "legacy-checkpoint.pt"}

// TestCutOff: no file loads that was cut off anywhere.
func TestCutOff(t *testing.T) {
	for _, name := range samples {
		good := read(t, name)
		for n := range len(good) {
			if err := readAll(good[:n]); !errors.Is(err, tensor.ErrFormat) && !errors.Is(err, tensor.ErrUnsupported) {
				t.Fatalf("%s: the first %d of %d bytes: %v", name, n, len(good), err)
			}
		}
	}
}

// TestMutated: files with wrong bytes load or give an error of the two kinds, with little
// memory.
func TestMutated(t *testing.T) {
	const tries = 2000
	rng := rand.New(rand.NewPCG(1, 2))
	for _, name := range samples {
		good := read(t, name)
		loaded := 0
		for range tries {
			file := slices.Clone(good)
			for range 1 + rng.IntN(3) {
				file[rng.IntN(len(file))] ^= byte(1 + rng.IntN(255))
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := readAll(file)
			runtime.ReadMemStats(&after)
			switch {
			case err == nil:
				loaded++
			case !errors.Is(err, tensor.ErrFormat) && !errors.Is(err, tensor.ErrUnsupported):
				t.Fatalf("%s: %v", name, err)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 {
				t.Fatalf("%s: %d bytes were allocated", name, n)
			}
		}
		if loaded == 0 || loaded == tries {
			t.Errorf("%s: %d of %d files load", name, loaded, tries)
		}
	}
}

// FuzzNew: no file makes the reader panic, or return more than it holds.
func FuzzNew(f *testing.F) {
	files, err := filepath.Glob(filepath.Join(golden, "*.pt"))
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, name := range files {
		f.Add(read(f, filepath.Base(name)))
	}
	f.Add(pt(f, one(doubled(5)), 16))
	f.Add([]byte(cat(legacyHead, legacyVector(4), legacyKeys("0"), elements(4, 16))))
	f.Fuzz(func(t *testing.T, file []byte) { checkRead(t, file) })
}

// FuzzPickle is FuzzNew for the pickle within an archive, which the fuzzer breaks as a whole.
func FuzzPickle(f *testing.F) {
	for _, seed := range []string{one(vector(4)), one(doubled(5)), one(global("os", "system")), "\x80\x04\x95\x02\x00\x00\x00\x00\x00\x00\x00N."} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, pickle []byte) { checkRead(t, pt(t, string(pickle), 16)) })
}

func checkRead(t *testing.T, file []byte) {
	opened, err := open(bytes.Clone(file))
	if err != nil {
		if !errors.Is(err, tensor.ErrFormat) && !errors.Is(err, tensor.ErrUnsupported) {
			t.Error(err)
		}
		return
	}
	for _, name := range opened.Names() {
		data, e, err := opened.Read(name)
		if err != nil || int64(len(data)) != e.Bytes || len(data) > len(file) {
			t.Errorf("%q: %d bytes of a file of %d, %v", name, len(data), len(file), err)
		}
	}
	if _, _, err := opened.Read("no such/tensor"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

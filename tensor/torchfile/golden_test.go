package torchfile_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/tensor/torchfile"
)

const golden = "../../testdata/torch"

// want is a tensor as Python sees it.
type want struct {
	DType string `json:"dtype"`
	Shape []int  `json:"shape"`
	Data  string `json:"data"` // hex
}

func open(data []byte) (*torchfile.File, error) {
	return torchfile.New(bytes.NewReader(data), int64(len(data)))
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(golden, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func openGolden(t testing.TB, name string) *torchfile.File {
	t.Helper()
	f, err := open(read(t, name))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return f
}

// TestGolden compares files of torch.save with what Python knows of them.
func TestGolden(t *testing.T) {
	var expected map[string]map[string]want
	if err := json.Unmarshal(read(t, "expected.json"), &expected); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(golden, "*.pt"))
	if err != nil || len(files) != len(expected) || len(files) == 0 {
		t.Fatalf("%d files, %d expected, %v", len(files), len(expected), err)
	}
	for name, tensors := range expected {
		t.Run(name, func(t *testing.T) {
			f := openGolden(t, name)
			if got := f.Names(); !slices.Equal(got, slices.Sorted(maps.Keys(tensors))) {
				t.Errorf("names %q", got)
			}
			for name, w := range tensors {
				data, e, err := f.Read(name)
				if err != nil || e.Name != name || e.DType != w.DType || !slices.Equal(e.Shape, w.Shape) || e.Bytes != int64(len(data)) {
					t.Errorf("%q: %+v, %v", name, e, err)
				}
				if got := hex.EncodeToString(data); got != w.Data {
					t.Errorf("%q: got  %s\nwant %s", name, got, w.Data)
				}
			}
		})
	}
}

// TestSub: a state dict is read alike from the top of a file and from within one.
func TestSub(t *testing.T) {
	plain, checkpoint := openGolden(t, "module.pt"), openGolden(t, "checkpoint.pt")
	model, err := checkpoint.Sub("model")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(model.Names(), plain.Names()) || !slices.Contains(model.Names(), "0.weight") {
		t.Errorf("names %q, want %q", model.Names(), plain.Names())
	}
	for _, name := range plain.Names() {
		a, _, err := plain.Read(name)
		b, e, err2 := model.Read(name)
		if !bytes.Equal(a, b) || e.Name != name || err != nil || err2 != nil {
			t.Errorf("%s: %v, %v, %v, %v", name, a, b, err, err2)
		}
	}
	moments, err := checkpoint.Sub("optimizer/state/0")
	if err != nil || !slices.Equal(moments.Names(), []string{"exp_avg", "exp_avg_sq", "step"}) {
		t.Errorf("%q, %v", moments.Names(), err)
	}
	for _, prefix := range []string{"mod", "model/", "text", ""} {
		if _, err := checkpoint.Sub(prefix); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("prefix %q: %v", prefix, err)
		}
	}
	if _, _, err := plain.Read("absent"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "absent") {
		t.Errorf("absent tensor: %v", err)
	}
	if _, ok := plain.Entry("absent"); ok {
		t.Error("there is an entry of an absent tensor")
	}
}

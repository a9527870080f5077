package peft_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gpupeft/gpupeft/internal/backends"
	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// TestParity trains adapters, saves them, loads them in HF PEFT, and compares the
// logits. It needs Python with the versions of testdata/requirements.txt, which
// `make parity` installs and names in the variable PYTHON.
func TestParity(t *testing.T) {
	python := os.Getenv("PYTHON")
	if python == "" {
		t.Skip("PYTHON isn't set: run make parity")
	}
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		for _, kind := range golden.Kinds {
			for _, adapter := range adapters {
				t.Run(kind+"/"+adapter, func(t *testing.T) { testParity(t, b, python, kind, adapter) })
			}
		}
	})
}

func testParity(t *testing.T, b tensor.Backend, python, kind, adapter string) {
	g := golden.Load(t, kind)
	m := g.Model(t, b)
	a := newAdapter(t, m, adapter)
	batch, width := g.Batch("")
	r := newRun(t, m, transformer.RunOptions{Batch: 2, Length: width + 20, Train: true, Adapters: []transformer.Adapter{a}})
	for _, err := range peft.Train(t.Context(), r, a, repeat(batch), peft.TrainConfig{Steps: 5, LR: 1e-2}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	if err := peft.Save(t.Context(), dir, a, peft.SaveOptions{BaseModel: kind}); err != nil {
		t.Fatal(err)
	}
	got := realLogits(t, r, batch)

	ids, err := json.Marshal(map[string]any{"input_ids": batch.IDs})
	if err != nil {
		t.Fatal(err)
	}
	in, out := filepath.Join(dir, "ids.json"), filepath.Join(dir, "logits.json")
	if err := os.WriteFile(in, ids, 0o644); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.CommandContext(t.Context(), python, filepath.Join(golden.Root(), "check_peft.py"), dir, g.Dir, in, out).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var peftLogits struct{ Logits [][][]float32 }
	if err := json.Unmarshal(data, &peftLogits); err != nil {
		t.Fatal(err)
	}
	golden.NearLogits(t, "logits in HF PEFT", got, slices.Concat(slices.Concat(peftLogits.Logits...)...))
}

// newAdapter makes an adapter with default settings.
func newAdapter(t *testing.T, m *transformer.Model, adapter string) peft.Method {
	t.Helper()
	var a peft.Method
	var err error
	if adapter == "prompt" {
		a, err = peft.New(t.Context(), m, peft.PromptConfig{})
	} else {
		a, err = peft.New(t.Context(), m, peft.LoRAConfig{Targets: peft.Named(peft.AllLinear)})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// repeat gives the same batch again and again.
func repeat(b transformer.Batch) func(func([]transformer.Batch, error) bool) {
	return func(yield func([]transformer.Batch, error) bool) {
		for yield([]transformer.Batch{b}, nil) {
		}
	}
}

package peft_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
	"github.com/gpupeft/gpupeft/transformer/tokenizer"
)

// sharedData is the directory of real models and data, or skips the test.
func sharedData(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("GPUPEFT_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "data")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no real models and data: %v (set GPUPEFT_DATA to their directory)", err)
	}
	return dir
}

// TestRealAdapters evaluates adapters that HF PEFT trained on Shakespeare, on the
// text they were evaluated on there.
func TestRealAdapters(t *testing.T) {
	dir := sharedData(t)
	b := tensor.NewCPU(0)
	defer b.Close()
	base := os.DirFS(filepath.Join(dir, "stories260k-hf"))
	m, err := transformer.Load(t.Context(), b, base, transformer.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	words, err := tokenizer.Load(base)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "data", "tinyshakespeare.txt"))
	if err != nil {
		t.Fatal(err)
	}
	ids, err := words.Encode(string(text[len(text)*9/10:]), false)
	if err != nil {
		t.Fatal(err)
	}
	data := func(yield func(transformer.Batch, error) bool) {
		for i := 0; i < 146; i += 2 {
			pair := [][]int32{ids[i*128:][:128], ids[(i+1)*128:][:128]}
			if !yield(transformer.Batch{IDs: pair, Labels: pair}, nil) {
				return
			}
		}
	}
	for _, c := range []struct {
		adapter string
		want    float64
	}{{"", 4.932}, {"stories260k-shakespeare-lora", 3.174}, {"stories260k-shakespeare-prompt", 3.893}} {
		var adapters []transformer.Adapter
		if c.adapter != "" {
			a, err := peft.Load(t.Context(), os.DirFS(filepath.Join(dir, "adapters", c.adapter)), m, peft.LoadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			adapters = append(adapters, a)
		}
		r := newRun(t, m, transformer.RunOptions{Batch: 2, Length: 150, Adapters: adapters})
		loss, err := peft.Evaluate(t.Context(), r, data)
		if err != nil {
			t.Fatal(err)
		}
		golden.NearNumber(t, "loss with adapter "+c.adapter, loss.Mean(), c.want, 1e-3)
	}
}

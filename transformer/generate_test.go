package transformer_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/gpupeft/gpupeft/internal/backends"
	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// TestGreedy continues a text with the KV cache as HF's generate does, whether
// the prompt goes in at once or in pieces.
func TestGreedy(t *testing.T) {
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		for _, kind := range golden.Kinds {
			for _, length := range []int{8, 2} {
				t.Run(fmt.Sprintf("%s/pieces of %d", kind, length), func(t *testing.T) {
					g := golden.Load(t, kind)
					m := g.Model(t, b)
					prompt, want := g.Greedy.Prompt, g.Greedy.New
					r, err := m.NewRun(transformer.RunOptions{Batch: 1, Length: length, Context: len(prompt) + len(want)})
					if err != nil {
						t.Fatal(err)
					}
					defer r.Close()
					for range 2 { // the second time in a used cache
						if got := generate(t, r, prompt, transformer.Generation{MaxTokens: len(want)}); !slices.Equal(got, want) {
							t.Errorf("got %v, want %v", got, want)
						}
					}
				})
			}
		}
	})
}

func generate(t *testing.T, r *transformer.Run, prompt []int32, g transformer.Generation) []int32 {
	t.Helper()
	var got []int32
	for id, err := range r.Generate(t.Context(), prompt, g) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, id)
	}
	return got
}

func TestGenerateOptions(t *testing.T) {
	b := tensor.NewCPU(0)
	defer b.Close()
	m := golden.Load(t, "llama2").Model(t, b)
	r, err := m.NewRun(transformer.RunOptions{Batch: 1, Length: 8, Context: 40})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	prompt := []int32{1, 5, 9}
	greedy := generate(t, r, prompt, transformer.Generation{MaxTokens: 10})
	top1 := generate(t, r, prompt, transformer.Generation{MaxTokens: 10, Sampling: transformer.Sampling{Temperature: 1, TopK: 1}})
	tinyP := generate(t, r, prompt, transformer.Generation{MaxTokens: 10, Sampling: transformer.Sampling{Temperature: 1, TopP: 1e-9}})
	if !slices.Equal(greedy, top1) || !slices.Equal(greedy, tinyP) {
		t.Errorf("greedy %v, top-1 %v, top-p 0 %v differ", greedy, top1, tinyP)
	}
	hot := transformer.Generation{MaxTokens: 30, Sampling: transformer.Sampling{Temperature: 2, Seed: 7}}
	first, again := generate(t, r, prompt, hot), generate(t, r, prompt, hot)
	hot.Seed = 8
	other := generate(t, r, prompt, hot)
	if !slices.Equal(first, again) || slices.Equal(first, other) {
		t.Errorf("seed 7 gave %v and %v, seed 8 %v", first, again, other)
	}
	if got := generate(t, r, prompt, transformer.Generation{MaxTokens: 10, Stop: greedy[3:4]}); !slices.Equal(got, greedy[:slices.Index(greedy, greedy[3])]) {
		t.Errorf("stop at %d: got %v of %v", greedy[3], got, greedy)
	}
}

func TestGenerateErrors(t *testing.T) {
	b := tensor.NewCPU(0)
	defer b.Close()
	m := golden.Load(t, "llama2").Model(t, b)
	r, err := m.NewRun(transformer.RunOptions{Batch: 1, Length: 8, Context: 12})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for name, c := range map[string]struct {
		ids []int32
		g   transformer.Generation
	}{
		"no prompt":        {nil, transformer.Generation{MaxTokens: 1}},
		"beyond context":   {[]int32{1, 2}, transformer.Generation{MaxTokens: 12}},
		"beyond vocab":     {[]int32{1, 1000}, transformer.Generation{MaxTokens: 1}},
		"virtual, no one":  {[]int32{-1, 1}, transformer.Generation{MaxTokens: 1}},
		"bad temperature":  {[]int32{1}, transformer.Generation{MaxTokens: 1, Sampling: transformer.Sampling{Temperature: -1}}},
		"bad top-p":        {[]int32{1}, transformer.Generation{MaxTokens: 1, Sampling: transformer.Sampling{TopP: 1.5}}},
		"negative maximum": {[]int32{1}, transformer.Generation{MaxTokens: -1}},
	} {
		for _, err := range r.Generate(t.Context(), c.ids, c.g) {
			if !errors.Is(err, transformer.ErrInput) {
				t.Errorf("%s: got %v", name, err)
			}
		}
	}
}

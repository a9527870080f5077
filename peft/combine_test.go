package peft_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// combined is testdata/methods/combine/golden.json.
type combined struct {
	LoRAs        []string
	Weights      []float64
	Combinations map[string]struct {
		Rank     int `json:"svd_rank"`
		Density  float64
		Majority string `json:"majority_sign_method"`
	}
}

func readState(t *testing.T, name string) *peft.State {
	t.Helper()
	s, err := peft.Read(os.DirFS(filepath.Join(golden.Root(), "..", "methods", name)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestCombine compares combinations with PEFT's.
func TestCombine(t *testing.T) {
	b := tensor.NewCPU(0)
	defer b.Close()
	base, g := golden.Load(t, "llama3"), golden.LoadTuned(t, filepath.Join("methods", "combine"))
	var settings combined
	text, err := os.ReadFile(filepath.Join(g.Dir, "golden.json"))
	if err == nil {
		err = json.Unmarshal(text, &settings)
	}
	if err != nil || len(settings.Combinations) < 8 {
		t.Fatal(err, settings)
	}
	var loras []*peft.State
	for _, name := range settings.LoRAs {
		loras = append(loras, readState(t, filepath.Join("llama3", name)))
	}
	m := base.Model(t, b)
	batch, width := base.Batch("")
	for name, o := range settings.Combinations {
		t.Run(name, func(t *testing.T) {
			how, _, _ := strings.Cut(name, "-")
			s, err := peft.Combine(t.Context(), loras, peft.Combination{
				How: how, Weights: settings.Weights,
				Rank: o.Rank, Density: o.Density, Frequency: o.Majority == "frequency",
			})
			if err != nil {
				t.Fatal(err)
			}
			a, err := s.New(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			r := newRun(t, m, transformer.RunOptions{Batch: 2, Length: width, Adapters: []transformer.Adapter{a}})
			golden.NearLogits(t, "logits", realLogits(t, r, batch), golden.Real(g.Floats[name], batch, width))
		})
	}
}

// pairState is a LoRA of one module.
func pairState(t *testing.T, a, b []float32, scale float64) *peft.State {
	t.Helper()
	const in = 6
	r := len(a) / in
	s, err := peft.FromPairs([]peft.LoRAPair{{
		Module: "model.layers.0.mlp.up_proj", Scale: scale,
		A: peft.Matrix{Shape: []int{r, in}, Values: a}, B: peft.Matrix{Shape: []int{len(b) / r, r}, Values: b},
	}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func onlyPair(t *testing.T, s *peft.State) peft.LoRAPair {
	t.Helper()
	pairs, err := s.Pairs()
	if err != nil || len(pairs) != 1 {
		t.Fatal(pairs, err)
	}
	return pairs[0]
}

// TestDrawn: DARE keeps the expected value and the share of values that it was told to,
// and the same seed draws the same.
func TestDrawn(t *testing.T) {
	a, b := slices.Repeat([]float32{1, 2, 3, -1, -2, 4}, 1), slices.Repeat([]float32{1}, 1000)
	s := pairState(t, a, b, 1)
	draw := func(how string, seed uint64) []float32 {
		c, err := peft.Combine(t.Context(), []*peft.State{s}, peft.Combination{How: how, Density: 0.25, Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		return onlyPair(t, c).B.Values
	}
	values := draw("dare_linear", 1)
	kept, sum := 0, float32(0)
	for _, v := range values {
		if sum += v; v != 0 {
			kept++
		}
		if v != 0 && v != 4 {
			t.Fatalf("a value of 1 became %v, want 0 or 1/0.25", v)
		}
	}
	if kept < 200 || kept > 300 || math.Abs(float64(sum)-1000) > 200 { // 250 ± 3.6 standard deviations of 13.7
		t.Errorf("%d of 1000 values kept, their sum is %v", kept, sum)
	}
	if !slices.Equal(values, draw("dare_linear", 1)) || slices.Equal(values, draw("dare_linear", 2)) {
		t.Error("draws don't follow the seed")
	}
	if !slices.Equal(values, draw("dare_ties", 1)) { // one LoRA is its own majority
		t.Error("dare_ties of one LoRA isn't dare_linear")
	}
	c, err := peft.Combine(t.Context(), []*peft.State{s}, peft.Combination{How: "dare_linear_svd"}) // all kept
	if err != nil {
		t.Fatal(err)
	}
	if p := onlyPair(t, c); math.Abs(float64(p.B.Values[0]*p.A.Values[5])-4) > 1e-5 {
		t.Errorf("product %v, want 4", p.B.Values[0]*p.A.Values[5])
	}
}

func TestCombineErrors(t *testing.T) {
	one := pairState(t, make([]float32, 6), make([]float32, 4), 2)
	two := pairState(t, make([]float32, 12), make([]float32, 8), 2) // of rank 2
	wide := pairState(t, make([]float32, 6), make([]float32, 5), 2)
	for _, test := range []struct {
		loras []*peft.State
		c     peft.Combination
		want  error
		say   string
	}{
		{nil, peft.Combination{How: "cat"}, peft.ErrConfig, "nothing to combine"},
		{[]*peft.State{one}, peft.Combination{How: "mean"}, peft.ErrConfig, "dare_ties_svd"},
		{[]*peft.State{one}, peft.Combination{How: "cat", Weights: []float64{1, 2}}, peft.ErrConfig, "2 weights for 1"},
		{[]*peft.State{one}, peft.Combination{How: "cat", Weights: []float64{math.NaN()}}, peft.ErrConfig, "NaN"},
		{[]*peft.State{one}, peft.Combination{How: "ties", Density: 1.5}, peft.ErrConfig, "density 1.5"},
		{[]*peft.State{one, two}, peft.Combination{How: "ties"}, peft.ErrConfig, "ranks 1 and 2"},
		{[]*peft.State{one, wide}, peft.Combination{How: "cat"}, peft.ErrMismatch, "up_proj: LoRA 2 is for 5×6, another for 4×6"},
		{[]*peft.State{one, readState(t, "llama3/dora")}, peft.Combination{How: "cat"}, transformer.ErrUnsupported, "LoRA 2: DoRA"},
		{[]*peft.State{readState(t, "llama3/prompt")}, peft.Combination{How: "cat"}, transformer.ErrUnsupported, "prompt is no LoRA"},
		{[]*peft.State{readState(t, "llama3/lora-save")}, peft.Combination{How: "cat"}, transformer.ErrUnsupported, "modules_to_save"},
	} {
		t.Run(fmt.Sprint(test.say), func(t *testing.T) {
			_, err := peft.Combine(t.Context(), test.loras, test.c)
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.say) {
				t.Errorf("error %v, want one of %v with %q", err, test.want, test.say)
			}
		})
	}
}

// Package golden gives tests the values that HF transformers and PEFT computed for
// seven tiny models, and the tolerances to compare with. The files and what is in
// them are described in testdata/golden/README.md.
package golden

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/safetensors"
	"github.com/gpupeft/gpupeft/transformer"
)

// Kinds are the models.
var Kinds = []string{"llama2", "llama3", "llama-linear", "mistral", "gemma", "gemma2", "gemma3"}

// Tolerances against HF in float32: what two right implementations differ by when
// they sum in another order.
const (
	MaxLogitError     = 2e-4
	MaxLogitNMSE      = 1e-9
	MaxLossError      = 1e-5 // relative
	MaxGradNMSE       = 1e-7
	MaxTrainLossError = 1e-4 // relative, over 20 AdamW steps
)

// Golden is what was computed for one model.
type Golden struct {
	Dir    string
	Floats map[string][]float32
	Ints   map[string][]int32
	Shape  map[string][]int
	Values
}

// Values are the numbers of golden.json.
type Values struct {
	Loss         float64
	Single       struct{ Loss float64 }
	Greedy       Greedy
	Prompt, LoRA Adapted
}

// Greedy is a continuation by the most likely tokens.
type Greedy struct{ Prompt, New []int32 }

// Adapted is what a model with an adapter gives.
type Adapted struct {
	Loss   float64
	Greedy Greedy
	Train  map[string]Plan
}

// Plan is a training run of PEFT's.
type Plan struct {
	LR           float64
	Betas        [2]float64
	Eps          float64
	WeightDecay  float64 `json:"weight_decay"`
	Schedule     string
	Warmup       int     `json:"warmup_steps"`
	MaxGradNorm  float64 `json:"max_grad_norm"`
	Accumulation int
	Steps        int
	Losses       []float64
	GradNorms    []float64 `json:"grad_norms"`
	LRs          []float64 `json:"lrs"`
}

// Root is the directory of all goldens.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "testdata", "golden")
}

// Load reads a model's goldens.
func Load(t testing.TB, kind string) *Golden {
	t.Helper()
	g := &Golden{Dir: filepath.Join(Root(), kind)}
	g.Floats, g.Ints, g.Shape = read(t, g.Dir, &g.Values)
	return g
}

// read reads golden.safetensors and golden.json of a directory.
func read(t testing.TB, dir string, values any) (floats map[string][]float32, ints map[string][]int32, shapes map[string][]int) {
	t.Helper()
	readJSON(t, filepath.Join(dir, "golden.json"), values)
	return readTensors(t, dir, "golden")
}

func readJSON(t testing.TB, file string, values any) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, values)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func readTensors(t testing.TB, dir, base string) (floats map[string][]float32, ints map[string][]int32, shapes map[string][]int) {
	t.Helper()
	floats, ints, shapes = map[string][]float32{}, map[string][]int32{}, map[string][]int{}
	c, err := safetensors.Open(os.DirFS(dir), base)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, name := range c.Names() {
		data, e, err := c.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		shapes[name] = e.Shape
		if e.DType == "I32" {
			for ; len(data) > 0; data = data[4:] {
				ints[name] = append(ints[name], int32(binary.LittleEndian.Uint32(data)))
			}
			continue
		}
		floats[name] = tensor.Unpack(nil, tensor.F32, data)
	}
	return floats, ints, shapes
}

// Tuned is what was computed with one method on one model: testdata/methods and
// testdata/hub describe it.
type Tuned struct {
	Dir    string
	Floats map[string][]float32
	Ints   map[string][]int32
	Shape  map[string][]int
	Loss   float64
	Train  struct {
		LR        float64
		PlusRatio float64 `json:"plus_ratio"`
		Losses    []float64
	}
}

// LoadTuned reads the goldens of a directory below testdata.
func LoadTuned(t testing.TB, dir string) *Tuned {
	t.Helper()
	g := &Tuned{Dir: filepath.Join(Root(), "..", dir)}
	g.Floats, g.Ints, g.Shape = read(t, g.Dir, g)
	return g
}

// Model loads the model itself; it is closed with the test.
func (g *Golden) Model(t testing.TB, b tensor.Backend) *transformer.Model {
	t.Helper()
	m, err := transformer.Load(t.Context(), b, os.DirFS(g.Dir), transformer.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// Batch returns the sequences and labels with the given prefix ("" or "train.0."),
// without padding, and the width that they were padded to.
func (g *Golden) Batch(prefix string) (b transformer.Batch, width int) {
	ids, labels, mask := g.Ints[prefix+"input_ids"], g.Ints[prefix+"labels"], g.Ints[prefix+"attention_mask"]
	width = g.Shape[prefix+"input_ids"][1]
	for i := range g.Shape[prefix+"input_ids"][0] {
		n := 0
		for n < width && mask[i*width+n] == 1 {
			n++
		}
		b.IDs = append(b.IDs, slices.Clone(ids[i*width:][:n]))
		b.Labels = append(b.Labels, slices.Clone(labels[i*width:][:n]))
	}
	return b, width
}

// Real drops the padded positions of values [B, width, …].
func Real(v []float32, b transformer.Batch, width int) []float32 {
	per := len(v) / (len(b.IDs) * width)
	var out []float32
	for i, ids := range b.IDs {
		out = append(out, v[i*width*per:][:len(ids)*per]...)
	}
	return out
}

// Distance is the normalised mean squared error of got.
func Distance(got, want []float32) float64 {
	var num, den float64
	for i, w := range want {
		d := float64(got[i]) - float64(w)
		num += d * d
		den += float64(w) * float64(w)
	}
	if num == 0 {
		return 0
	}
	return num / den
}

// Near fails unless the normalised mean squared error is within the limit.
func Near(t testing.TB, what string, got, want []float32, limit float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	if e := Distance(got, want); !(e <= limit) {
		t.Errorf("%s: NMSE %.3g, want at most %g", what, e, limit)
	}
}

// NearLogits compares logits as Near does, and by their largest difference.
func NearLogits(t testing.TB, what string, got, want []float32) {
	t.Helper()
	Near(t, what, got, want, MaxLogitNMSE)
	for i, w := range want {
		if d := math.Abs(float64(got[i]) - float64(w)); !(d <= MaxLogitError) {
			t.Errorf("%s: value %d is %v, want %v within %g", what, i, got[i], w, MaxLogitError)
			return
		}
	}
}

// NearNumber compares with a relative tolerance.
func NearNumber(t testing.TB, what string, got, want, limit float64) {
	t.Helper()
	if e := math.Abs(got/want - 1); !(e <= limit) {
		t.Errorf("%s: %v, want %v within %g", what, got, want, limit)
	}
}

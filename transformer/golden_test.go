package transformer_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/safetensors"
	"github.com/gpupeft/gpupeft/transformer"
)

// The seven tiny models whose values HF transformers computed; see
// testdata/golden/README.md.
var kinds = []string{"llama2", "llama3", "llama-linear", "mistral", "gemma", "gemma2", "gemma3"}

// Tolerances against HF in float32: what two right implementations differ by when
// they sum in another order.
const (
	maxLogitError = 2e-4
	maxLogitNMSE  = 1e-9
	maxLossError  = 1e-5 // relative
	maxGradNMSE   = 1e-7
)

type golden struct {
	dir    string
	tensor map[string][]float32
	ints   map[string][]int32
	shape  map[string][]int
	values struct {
		Loss   float64
		Single struct{ Loss float64 }
		Greedy struct{ Prompt, New []int32 }
	}
}

func goldenDir(kind string) string { return filepath.Join("..", "testdata", "golden", kind) }

func loadGolden(t testing.TB, kind string) *golden {
	t.Helper()
	g := &golden{dir: goldenDir(kind), tensor: map[string][]float32{}, ints: map[string][]int32{}, shape: map[string][]int{}}
	c, err := safetensors.Open(os.DirFS(g.dir), "golden")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, name := range c.Names() {
		data, e, err := c.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		g.shape[name] = e.Shape
		if e.DType == "I32" {
			for ; len(data) > 0; data = data[4:] {
				g.ints[name] = append(g.ints[name], int32(binary.LittleEndian.Uint32(data)))
			}
			continue
		}
		g.tensor[name] = tensor.Unpack(nil, tensor.F32, data)
	}
	data, err := os.ReadFile(filepath.Join(g.dir, "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &g.values); err != nil {
		t.Fatal(err)
	}
	return g
}

// batch cuts the padded rows of input_ids and labels to their lengths.
func (g *golden) batch(prefix string) (b transformer.Batch, width int) {
	ids, labels, mask := g.ints[prefix+"input_ids"], g.ints[prefix+"labels"], g.ints[prefix+"attention_mask"]
	shape := g.shape[prefix+"input_ids"]
	width = shape[1]
	for i := range shape[0] {
		n := 0
		for n < width && mask[i*width+n] == 1 {
			n++
		}
		b.IDs = append(b.IDs, ids[i*width:][:n])
		b.Labels = append(b.Labels, labels[i*width:][:n])
	}
	return b, width
}

func load(t testing.TB, b tensor.Backend, kind string) *transformer.Model {
	t.Helper()
	m, err := transformer.Load(t.Context(), b, os.DirFS(goldenDir(kind)), transformer.LoadOptions{})
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

// capture collects activations while a run is recorded.
type capture struct {
	mu     sync.Mutex
	copies map[string]*tensor.Tensor
	t      testing.TB
}

func (c *capture) tap(p *tensor.Pass, s transformer.Site, x *tensor.Tensor) {
	dup, err := p.Backend().New(s.String(), tensor.F32, x.Shape...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { dup.Close() })
	p.Do(tensor.Scale{Out: dup, X: x, Factor: 1})
	c.copies[s.String()] = dup
}

func (c *capture) floats(name string, b tensor.Backend) []float32 {
	x, ok := c.copies[name]
	if !ok {
		c.t.Fatalf("no activation %s", name)
	}
	v, err := tensor.Floats(context.Background(), b, x)
	if err != nil {
		c.t.Fatal(err)
	}
	return v
}

// realRows drops the padded positions of values [B, T, …].
func realRows(v []float32, b transformer.Batch, width int) []float32 {
	per := len(v) / (len(b.IDs) * width)
	var out []float32
	for i, ids := range b.IDs {
		out = append(out, v[i*width*per:][:len(ids)*per]...)
	}
	return out
}

func nmse(got, want []float32) float64 {
	var num, den float64
	for i, w := range want {
		d := float64(got[i]) - float64(w)
		num += d * d
		den += float64(w) * float64(w)
	}
	if den == 0 {
		return num
	}
	return num / den
}

func maxAbs(got, want []float32) float64 {
	m := 0.0
	for i, w := range want {
		m = max(m, math.Abs(float64(got[i])-float64(w)))
	}
	return m
}

func near(t *testing.T, what string, got, want []float32, limit float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	if e := nmse(got, want); !(e <= limit) {
		t.Errorf("%s: NMSE %.3g, want at most %g", what, e, limit)
	}
}

// TestForward compares logits, loss and every stored activation with HF.
func TestForward(t *testing.T) {
	onBackends(t, func(t *testing.T, b tensor.Backend) {
		for _, kind := range kinds {
			t.Run(kind, func(t *testing.T) { testForward(t, b, kind) })
		}
	})
}

func testForward(t *testing.T, b tensor.Backend, kind string) {
	g, m := loadGolden(t, kind), load(t, b, kind)
	batch, width := g.batch("")
	hooks := &capture{t: t, copies: map[string]*tensor.Tensor{}}
	for _, patterns := range []bool{false, true} {
		r, err := m.NewRun(transformer.RunOptions{Batch: 2, Length: width, Patterns: patterns, Tap: hooks.tap})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if err := r.Forward(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		logits, err := r.Logits(t.Context(), r.Rows())
		if err != nil {
			t.Fatal(err)
		}
		want := realRows(g.tensor["logits"], batch, width)
		near(t, "logits", logits, want, maxLogitNMSE)
		if e := maxAbs(logits, want); !(e <= maxLogitError) {
			t.Errorf("logits: off by %.3g, want at most %g", e, maxLogitError)
		}
		loss, err := r.Loss(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if e := math.Abs(loss.Mean()/g.values.Loss - 1); !(e <= maxLossError) {
			t.Errorf("loss %v, want %v", loss.Mean(), g.values.Loss)
		}
	}
	compared := 0
	for name, want := range g.tensor {
		_, err := transformer.ParseSite(name)
		if err != nil || strings.HasPrefix(name, "grad.") {
			continue
		}
		compared++
		got := hooks.floats(name, b)
		if strings.HasSuffix(name, "hook_pattern") {
			near(t, name, realPatterns(got, batch, m.Config.Heads, width), realPatterns(want, batch, m.Config.Heads, width), maxLogitNMSE)
			continue
		}
		near(t, name, realRows(got, batch, width), realRows(want, batch, width), maxLogitNMSE)
	}
	if compared < 15 {
		t.Errorf("only %d activations compared", compared)
	}
}

// realPatterns keeps the queries that aren't padding.
func realPatterns(v []float32, b transformer.Batch, heads, width int) []float32 {
	var out []float32
	for i, ids := range b.IDs {
		for h := range heads {
			out = append(out, v[(i*heads+h)*width*width:][:len(ids)*width]...)
		}
	}
	return out
}

// TestActivationGradients compares the gradient of the residual stream with HF.
func TestActivationGradients(t *testing.T) {
	onBackends(t, func(t *testing.T, b tensor.Backend) {
		for _, kind := range kinds {
			for _, patterns := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/patterns=%v", kind, patterns), func(t *testing.T) { testGradients(t, b, kind, patterns) })
			}
		}
	})
}

func testGradients(t *testing.T, b tensor.Backend, kind string, patterns bool) {
	g, m := loadGolden(t, kind), load(t, b, kind)
	batch, width := g.batch("")
	hooks := &capture{t: t, copies: map[string]*tensor.Tensor{}}
	r, err := m.NewRun(transformer.RunOptions{Batch: 2, Length: width, Train: true, Patterns: patterns, GradTap: hooks.tap})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Forward(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	loss, err := r.Loss(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Backward(t.Context(), 1/float32(loss.Tokens)); err != nil {
		t.Fatal(err)
	}
	compared := 0
	for name, want := range g.tensor {
		if site, ok := strings.CutPrefix(name, "grad."); ok {
			near(t, name, realRows(hooks.floats(site, b), batch, width), realRows(want, batch, width), maxGradNMSE)
			compared++
		}
	}
	if want := len(m.Config.Layers) + 1; compared != want {
		t.Errorf("%d gradients compared, want %d", compared, want)
	}
}

// onBackends runs a test on the CPU, and in TestGPU of package gpu's place, on
// whatever GPU there is.
func onBackends(t *testing.T, f func(t *testing.T, b tensor.Backend)) {
	t.Run("cpu", func(t *testing.T) {
		b := tensor.NewCPU(0)
		defer b.Close()
		f(t, b)
	})
}

package transformer_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/internal/backends"
	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// capture collects activations while a run is recorded.
type capture struct {
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

// TestForward compares logits, loss and every stored activation with HF.
func TestForward(t *testing.T) {
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		for _, kind := range golden.Kinds {
			t.Run(kind, func(t *testing.T) { testForward(t, b, kind) })
		}
	})
}

func testForward(t *testing.T, b tensor.Backend, kind string) {
	g := golden.Load(t, kind)
	m := g.Model(t, b)
	batch, width := g.Batch("")
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
		want := golden.Real(g.Floats["logits"], batch, width)
		golden.NearLogits(t, "logits", logits, want)
		loss, err := r.Loss(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		golden.NearNumber(t, "loss", loss.Mean(), g.Loss, golden.MaxLossError)
	}
	compared := 0
	for name, want := range g.Floats {
		_, err := transformer.ParseSite(name)
		if err != nil || strings.HasPrefix(name, "grad.") {
			continue
		}
		compared++
		got := hooks.floats(name, b)
		if strings.HasSuffix(name, "hook_pattern") {
			golden.Near(t, name, realPatterns(got, batch, m.Config.Heads, width), realPatterns(want, batch, m.Config.Heads, width), golden.MaxLogitNMSE)
			continue
		}
		golden.Near(t, name, golden.Real(got, batch, width), golden.Real(want, batch, width), golden.MaxLogitNMSE)
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
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		for _, kind := range golden.Kinds {
			for _, patterns := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/patterns=%v", kind, patterns), func(t *testing.T) { testGradients(t, b, kind, patterns) })
			}
		}
	})
}

func testGradients(t *testing.T, b tensor.Backend, kind string, patterns bool) {
	g := golden.Load(t, kind)
	m := g.Model(t, b)
	batch, width := g.Batch("")
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
	for name, want := range g.Floats {
		if site, ok := strings.CutPrefix(name, "grad."); ok {
			golden.Near(t, name, golden.Real(hooks.floats(site, b), batch, width), golden.Real(want, batch, width), golden.MaxGradNMSE)
			compared++
		}
	}
	if want := len(m.Config.Layers) + 1; compared != want {
		t.Errorf("%d gradients compared, want %d", compared, want)
	}
}

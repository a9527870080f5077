package transformer_test

import (
	"context"
	"maps"
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

// everywhere asks for all sites.
func everywhere(transformer.Site) bool { return true }

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
	for _, wants := range []func(transformer.Site) bool{nil, everywhere} {
		r, err := m.NewRun(transformer.RunOptions{Batch: 2, Length: width, Hooks: transformer.Hooks{Tap: hooks.tap, Wants: wants}})
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
		before := maps.Clone(hooks.copies) // the loss has fewer rows
		loss, err := r.Loss(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		golden.NearNumber(t, "loss", loss.Mean(), g.Loss, golden.MaxLossError)
		hooks.copies = before
	}
	compared := 0
	for name, want := range g.Floats {
		_, err := transformer.ParseSite(name)
		if err != nil || strings.HasPrefix(name, "grad.") {
			continue
		}
		compared++
		got := hooks.floats(name, b)
		if strings.HasPrefix(name, "ln_final.") { // of real tokens only, as the logits
			golden.Near(t, name, got, golden.Real(want, batch, width), golden.MaxLogitNMSE)
			continue
		}
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
			t.Run(kind, func(t *testing.T) { testGradients(t, b, kind, nil) })
			t.Run(kind+"/steps", func(t *testing.T) { testGradients(t, b, kind, everywhere) })
		}
	})
}

func testGradients(t *testing.T, b tensor.Backend, kind string, wants func(transformer.Site) bool) {
	g := golden.Load(t, kind)
	m := g.Model(t, b)
	batch, width := g.Batch("")
	hooks := &capture{t: t, copies: map[string]*tensor.Tensor{}}
	r, err := m.NewRun(transformer.RunOptions{Batch: 2, Length: width, Train: true, Hooks: transformer.Hooks{GradTap: hooks.tap, Wants: wants}})
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

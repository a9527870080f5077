package transformer_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gpupeft/gpupeft/internal/backends"
	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// randomBatch has sequences of the given lengths; a third of the labels is masked.
func randomBatch(seed uint64, vocab int, lengths ...int) transformer.Batch {
	rng := rand.New(rand.NewPCG(seed, 1))
	var b transformer.Batch
	for _, n := range lengths {
		ids, labels := make([]int32, n), make([]int32, n)
		for i := range ids {
			ids[i] = rng.Int32N(int32(vocab))
			labels[i] = ids[i]
			if rng.IntN(3) == 0 {
				labels[i] = transformer.Masked
			}
		}
		b.IDs, b.Labels = append(b.IDs, ids), append(b.Labels, labels)
	}
	return b
}

func mustRun(t *testing.T, m *transformer.Model, o transformer.RunOptions) *transformer.Run {
	t.Helper()
	r, err := m.NewRun(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// lossAndGradient returns the loss and the gradient of the embeddings.
func lossAndGradient(t *testing.T, r *transformer.Run, b transformer.Batch, grad *tensor.Tensor) (transformer.Loss, []float32) {
	t.Helper()
	if err := r.Forward(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	loss, err := r.Loss(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Backward(t.Context(), 1/float32(max(1, loss.Tokens))); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, ids := range b.IDs {
		n = max(n, len(ids))
	}
	v, err := tensor.Floats(t.Context(), r.Model().Backend(), grad)
	if err != nil {
		t.Fatal(err)
	}
	return loss, v[:n*len(b.IDs)*r.Model().Config.Hidden]
}

// embedGradient makes a GradTap that copies the gradient of the embeddings.
func embedGradient(t *testing.T, b tensor.Backend, rows, width int) (*tensor.Tensor, func(*tensor.Pass, transformer.Site, *tensor.Tensor)) {
	t.Helper()
	grad, err := b.New("embed.grad", tensor.F32, rows, width)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { grad.Close() })
	return grad, func(p *tensor.Pass, s transformer.Site, x *tensor.Tensor) {
		if s == (transformer.Site{Layer: 0, Point: transformer.ResidPre}) {
			p.Do(tensor.Copy{Dst: grad, Src: x, Batch: 1, Rows: x.Rows()})
		}
	}
}

// TestBuffersAreReused: a run that has seen other shapes gives the bits of a new one.
func TestBuffersAreReused(t *testing.T) {
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		m := golden.Load(t, "gemma2").Model(t, b)
		grad, tap := embedGradient(t, b, 60, m.Config.Hidden)
		options := transformer.RunOptions{Batch: 3, Length: 20, Train: true, Hooks: transformer.Hooks{GradTap: tap}}
		used := mustRun(t, m, options)
		for i, lengths := range [][]int{{20, 20, 20}, {3}, {5, 19}, {20, 1, 7}, {2, 2}} {
			batch := randomBatch(uint64(i), m.Config.VocabSize, lengths...)
			loss, g := lossAndGradient(t, used, batch, grad)
			wantLoss, wantG := lossAndGradient(t, mustRun(t, m, options), batch, grad)
			if loss.Sum != wantLoss.Sum || !slices.Equal(g, wantG) {
				t.Errorf("lengths %v: a used run gives other bits", lengths)
			}
		}
	})
}

// TestPadding: a sequence in a batch gives what it gives alone.
func TestPadding(t *testing.T) {
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		for _, kind := range []string{"llama3", "gemma3"} {
			m := golden.Load(t, kind).Model(t, b)
			r := mustRun(t, m, transformer.RunOptions{Batch: 3, Length: 18})
			batch := randomBatch(1, m.Config.VocabSize, 18, 4, 11)
			total := 0.0
			for i := range batch.IDs {
				one := transformer.Batch{IDs: batch.IDs[i : i+1], Labels: batch.Labels[i : i+1]}
				if err := r.Forward(t.Context(), one); err != nil {
					t.Fatal(err)
				}
				l, err := r.Loss(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				total += l.Sum
			}
			if err := r.Forward(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
			l, err := r.Loss(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			golden.NearNumber(t, kind+": loss of the batch", l.Sum, total, golden.MaxLossError)
		}
	})
}

// TestLossInParts: working through the vocabulary in parts changes nothing, with
// and without a soft-cap, down to the narrowest part.
func TestLossInParts(t *testing.T) {
	for _, extra := range []map[string]any{{}, {"model_type": "gemma2", "head_dim": 4, "final_logit_softcapping": 3.0, "sliding_window": 4}} {
		dir := transformer.RandomCheckpoint(t, string(edited(t, extra)), 3)
		backends.Each(t, func(t *testing.T, b tensor.Backend) {
			m, err := transformer.Load(t.Context(), b, dir, transformer.LoadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			grad, tap := embedGradient(t, b, 40, m.Config.Hidden)
			batch := randomBatch(2, m.Config.VocabSize, 20, 13)
			options := transformer.RunOptions{Batch: 2, Length: 20, Train: true, Hooks: transformer.Hooks{GradTap: tap}}
			whole := mustRun(t, m, options)
			want, wantG := lossAndGradient(t, whole, batch, grad)
			rows := whole.Rows()
			wantLogits, err := whole.Logits(t.Context(), rows)
			if err != nil {
				t.Fatal(err)
			}
			parted := mustRun(t, m, options)
			transformer.SetMaxLogits(parted, 40*128)
			got, gotG := lossAndGradient(t, parted, batch, grad)
			logits, err := parted.Logits(t.Context(), rows)
			if err != nil {
				t.Fatal(err)
			}
			golden.NearNumber(t, "loss", got.Sum, want.Sum, 1e-6)
			golden.Near(t, "gradient", gotG, wantG, 1e-11)
			golden.Near(t, "logits", logits, wantLogits, 1e-13)
			if got.Correct != want.Correct || got.Tokens != want.Tokens {
				t.Errorf("correct %d of %d, want %d of %d", got.Correct, got.Tokens, want.Correct, want.Tokens)
			}
		})
	}
}

// TestLossAndBackward: in one, by rows or, where there is no room for rows, by parts of the
// vocabulary, it gives what Loss and Backward give.
func TestLossAndBackward(t *testing.T) {
	dir := transformer.RandomCheckpoint(t, string(edited(t, map[string]any{"max_position_embeddings": 256})), 3)
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		m, err := transformer.Load(t.Context(), b, dir, transformer.LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		grad, tap := embedGradient(t, b, 180, m.Config.Hidden)
		options := transformer.RunOptions{Batch: 2, Length: 90, Train: true, Hooks: transformer.Hooks{GradTap: tap}}
		for _, lengths := range [][]int{{90, 88}, {20, 13}} {
			batch := randomBatch(2, m.Config.VocabSize, lengths...)
			want, wantG := lossAndGradient(t, mustRun(t, m, options), batch, grad)
			for _, rows := range []int{1000, 70, 62} { // which the buffer has room for
				r := mustRun(t, m, options)
				transformer.SetMaxLogits(r, min(r.LogitsSize(), rows*m.Config.VocabSize))
				for range 2 {
					if err := r.Forward(t.Context(), batch); err != nil {
						t.Fatal(err)
					}
					got, err := r.LossAndBackward(t.Context(), 1/float32(batch.Targets()))
					if err != nil {
						t.Fatal(err)
					}
					g, err := tensor.Floats(t.Context(), b, grad)
					if err != nil {
						t.Fatal(err)
					}
					golden.NearNumber(t, "loss", got.Sum, want.Sum, 1e-6)
					golden.Near(t, "gradient", g[:len(wantG)], wantG, 1e-11)
					if got.Correct != want.Correct || got.Tokens != want.Tokens {
						t.Errorf("correct %d of %d, want %d of %d", got.Correct, got.Tokens, want.Correct, want.Tokens)
					}
					if err := r.Backward(t.Context(), 1); !errors.Is(err, transformer.ErrInput) {
						t.Errorf("a second backward: got %v", err)
					}
				}
			}
		}
	})
}

// TestLossAgainstLogits computes loss and accuracy from the logits by hand.
func TestLossAgainstLogits(t *testing.T) {
	b := tensor.NewCPU(0)
	defer b.Close()
	m := golden.Load(t, "mistral").Model(t, b)
	r := mustRun(t, m, transformer.RunOptions{Batch: 2, Length: 12})
	batch := randomBatch(5, m.Config.VocabSize, 12, 7)
	if err := r.Forward(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	loss, err := r.Loss(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sum, n, right := 0.0, 0, 0
	for s, labels := range batch.Labels {
		for i := 1; i < len(labels); i++ {
			if labels[i] == transformer.Masked {
				continue
			}
			logits, err := r.Logits(t.Context(), []int32{int32(s*12 + i - 1)})
			if err != nil {
				t.Fatal(err)
			}
			total := 0.0
			for _, x := range logits {
				total += math.Exp(float64(x))
			}
			each := math.Log(total) - float64(logits[labels[i]])
			golden.NearNumber(t, "loss of a token", float64(loss.Each[n]), each, 1e-5)
			sum += each
			n++
			if slices.Max(logits) == logits[labels[i]] {
				right++
			}
		}
	}
	golden.NearNumber(t, "loss", loss.Sum, sum, 1e-6)
	if loss.Tokens != n || loss.Tokens != batch.Targets() || loss.Correct != right {
		t.Errorf("tokens %d, correct %d, want %d and %d", loss.Tokens, loss.Correct, n, right)
	}
}

func TestInputErrors(t *testing.T) {
	b := tensor.NewCPU(0)
	defer b.Close()
	m := golden.Load(t, "llama2").Model(t, b)
	r := mustRun(t, m, transformer.RunOptions{Batch: 2, Length: 8})
	ids := []int32{1, 2, 3}
	for name, batch := range map[string]transformer.Batch{
		"empty":           {},
		"empty sequence":  {IDs: [][]int32{{}}},
		"too many":        {IDs: [][]int32{ids, ids, ids}},
		"too long":        {IDs: [][]int32{make([]int32, 9)}},
		"id too high":     {IDs: [][]int32{{int32(m.Config.VocabSize)}}},
		"no virtual":      {IDs: [][]int32{{-1}}},
		"rows of labels":  {IDs: [][]int32{ids}, Labels: [][]int32{ids, ids}},
		"fewer labels":    {IDs: [][]int32{ids}, Labels: [][]int32{ids[:2]}},
		"label too high":  {IDs: [][]int32{ids}, Labels: [][]int32{{1, 2, 1 << 20}}},
		"negative label":  {IDs: [][]int32{ids}, Labels: [][]int32{{1, 2, -1}}},
		"id from min int": {IDs: [][]int32{{math.MinInt32}}},
	} {
		if err := r.Forward(t.Context(), batch); !errors.Is(err, transformer.ErrInput) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := r.Logits(t.Context(), []int32{0}); !errors.Is(err, transformer.ErrInput) {
		t.Errorf("logits before forward: got %v", err)
	}
	if err := r.Forward(t.Context(), transformer.Batch{IDs: [][]int32{ids}}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Loss(t.Context()); !errors.Is(err, transformer.ErrInput) {
		t.Errorf("loss without labels: got %v", err)
	}
	if err := r.Backward(t.Context(), 1); !errors.Is(err, transformer.ErrInput) {
		t.Errorf("backward without Train: got %v", err)
	}
	if _, err := r.Logits(t.Context(), []int32{3}); !errors.Is(err, transformer.ErrInput) {
		t.Errorf("row of padding: got %v", err)
	}
	for _, o := range []transformer.RunOptions{{}, {Batch: 1}, {Batch: 1, Length: 4, Context: -1}, {Batch: 1, Length: 4, Context: 8, Train: true}} {
		if _, err := m.NewRun(o); !errors.Is(err, transformer.ErrInput) {
			t.Errorf("%+v: got %v", o, err)
		}
	}
	r.Close()
	if err := r.Forward(t.Context(), transformer.Batch{IDs: [][]int32{ids}}); !errors.Is(err, tensor.ErrClosed) {
		t.Errorf("forward after close: got %v", err)
	}
}

// TestMaskedBatch: without any target the loss is zero and so is the gradient.
func TestMaskedBatch(t *testing.T) {
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		m := golden.Load(t, "llama2").Model(t, b)
		grad, tap := embedGradient(t, b, 4, m.Config.Hidden)
		r := mustRun(t, m, transformer.RunOptions{Batch: 1, Length: 4, Train: true, Hooks: transformer.Hooks{GradTap: tap}})
		no := int32(transformer.Masked)
		loss, g := lossAndGradient(t, r, transformer.Batch{IDs: [][]int32{{1, 2, 3}}, Labels: [][]int32{{5, no, no}}}, grad)
		if loss.Tokens != 0 || loss.Sum != 0 || loss.Mean() != 0 || slices.ContainsFunc(g, func(x float32) bool { return x != 0 }) {
			t.Errorf("loss %+v, gradient %v", loss, g)
		}
	})
}

func TestCancel(t *testing.T) {
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		m := golden.Load(t, "llama2").Model(t, b)
		r := mustRun(t, m, transformer.RunOptions{Batch: 1, Length: 8})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		batch := transformer.Batch{IDs: [][]int32{{1, 2, 3}}}
		if err := r.Forward(ctx, batch); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if err := r.Forward(t.Context(), batch); err != nil {
			t.Errorf("after a cancelled call: %v", err)
		}
	})
}

// TestNothingLeaks: what a run and a model took is given back.
func TestNothingLeaks(t *testing.T) {
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		dir := transformer.RandomCheckpoint(t, llamaConfig, 1)
		before := b.Memory()
		for range 3 {
			m, err := transformer.Load(t.Context(), b, dir, transformer.LoadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			r, err := m.NewRun(transformer.RunOptions{Batch: 2, Length: 8, Train: true})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(r.Close(), r.Close(), m.Close()); err != nil {
				t.Fatal(err)
			}
		}
		if after := b.Memory(); after.InUse != before.InUse || after.Tensors != before.Tensors {
			t.Errorf("memory %+v before, %+v after", before, after)
		}
	})
}

func TestCheckpointErrors(t *testing.T) {
	b := tensor.NewCPU(0)
	defer b.Close()
	good := transformer.RandomCheckpoint(t, llamaConfig, 1)
	weights := good["model.safetensors"].Data
	with := func(files fstest.MapFS) fstest.MapFS {
		m := maps.Clone(good)
		for name, f := range files {
			if m[name] = f; f == nil {
				delete(m, name)
			}
		}
		return m
	}
	file := func(data []byte) *fstest.MapFile { return &fstest.MapFile{Data: data} }
	rename := func(from, to string) []byte { // names of equal length
		return []byte(strings.Replace(string(weights), from, to, 1))
	}
	short := slices.Clone(weights)
	binary.LittleEndian.PutUint64(short, 1<<62)
	for name, c := range map[string]struct {
		dir  fs.FS
		kind error
		says string
	}{
		"no config":        {with(fstest.MapFS{"config.json": nil}), transformer.ErrCheckpoint, "config.json"},
		"no weights":       {with(fstest.MapFS{"model.safetensors": nil}), transformer.ErrCheckpoint, "model.safetensors"},
		"truncated":        {with(fstest.MapFS{"model.safetensors": file(weights[:len(weights)-4])}), transformer.ErrCheckpoint, "truncated"},
		"huge header":      {with(fstest.MapFS{"model.safetensors": file(short)}), transformer.ErrCheckpoint, "header"},
		"empty file":       {with(fstest.MapFS{"model.safetensors": file(nil)}), transformer.ErrCheckpoint, "model.safetensors"},
		"wrong shape":      {with(fstest.MapFS{"config.json": file(edited(t, map[string]any{"hidden_size": 24}))}), transformer.ErrCheckpoint, "model.embed_tokens.weight"},
		"missing tensor":   {with(fstest.MapFS{"config.json": file(edited(t, map[string]any{"num_hidden_layers": 3}))}), transformer.ErrCheckpoint, "model.layers.2"},
		"unknown tensor":   {with(fstest.MapFS{"config.json": file(edited(t, map[string]any{"num_hidden_layers": 1}))}), transformer.ErrCheckpoint, "model.layers.1"},
		"tensor with bias": {with(fstest.MapFS{"model.safetensors": file(rename("model.norm.weight", "model.norm.wei9ht"))}), transformer.ErrCheckpoint, "wei9ht"},
		"unknown type":     {with(fstest.MapFS{"model.safetensors": file(rename(`"F32","shape":[300,16]`, `"I32","shape":[300,16]`))}), transformer.ErrUnsupported, "I32"},
	} {
		before := b.Memory().InUse
		_, err := transformer.Load(t.Context(), b, c.dir, transformer.LoadOptions{})
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v", name, err)
		}
		if b.Memory().InUse != before {
			t.Errorf("%s: memory was kept", name)
		}
	}
}

package interp_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/interp"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// sheet is a file in memory; each, if set, is called before a write.
type sheet struct {
	data []byte
	each func() error
}

func (s *sheet) WriteAt(p []byte, at int64) (int, error) {
	if s.each != nil {
		if err := s.each(); err != nil {
			return 0, err
		}
	}
	if more := int(at) + len(p) - len(s.data); more > 0 {
		s.data = append(s.data, make([]byte, more)...)
	}
	return copy(s.data[at:], p), nil
}

// TestCaptureTo: the file is the one that Capture and Write make, for every hook of every
// kind of model, gradients included.
func TestCaptureTo(t *testing.T) {
	eachToyToo(t, func(t *testing.T, kind string, m *transformer.Model) {
		ids := [][]int32{{1, 5, 9, 4, 7}, {1, 8, 3, 6, 2}}
		for name, o := range map[string]interp.Options{
			"all":          {Hooks: []string{"*"}},
			"gradients":    {Hooks: []string{"*"}, Metric: interp.Loss(ids)},
			"positions":    {Hooks: []string{"*"}, Metric: interp.LogitDiff([]int32{3, 4}, []int32{5, 6}), Positions: interp.Of(1, 4)},
			"no positions": {Hooks: []string{"*"}, Positions: interp.Of()},
			"logits alone": {Metric: interp.Loss(ids)},
			"stop":         {Hooks: []string{"blocks.0.*"}, StopAtLayer: 1},
		} {
			if len(m.Config.Layers) == 1 && o.StopAtLayer > 0 {
				continue
			}
			sameFile(t, name, m, ids, o)
		}
	})
	b := tensor.NewCPU(0)
	defer b.Close()
	g := golden.Load(t, "llama2")
	m := g.Model(t, b)
	a, err := peft.Load(t.Context(), os.DirFS(filepath.Join(g.Dir, "adapter_prompt")), m, peft.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	sameFile(t, "soft prompt", m, [][]int32{{1, 5, 9}}, interp.Options{Hooks: []string{"*"}, Adapters: []transformer.Adapter{a}})
}

// sameFile compares CaptureTo's file, and what it returns, with Capture's.
func sameFile(t *testing.T, name string, m *transformer.Model, ids [][]int32, o interp.Options) {
	t.Helper()
	meta := map[string]string{"model": name}
	trace := capture(t, m, ids, o)
	var want bytes.Buffer
	if err := trace.Write(&want, meta); err != nil {
		t.Fatal(err)
	}
	var got sheet
	outline, err := interp.CaptureTo(t.Context(), m, ids, o, &got, meta)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if !bytes.Equal(got.data, want.Bytes()) {
		t.Errorf("%s: a file of %d bytes, not the %d of the trace", name, len(got.data), want.Len())
	}
	if outline.Value != trace.Value || len(outline.Activations) != len(trace.Activations) || len(outline.Gradients) != len(trace.Gradients) {
		t.Errorf("%s: %d activations, %d gradients, %v; want %d, %d, %v", name, len(outline.Activations), len(outline.Gradients), outline.Value,
			len(trace.Activations), len(trace.Gradients), trace.Value)
	}
}

// TestCaptureToMemory: the host holds one tensor, not the file.
func TestCaptureToMemory(t *testing.T) {
	ckpt, err := transformer.Random([]byte(`{"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 12,
		"num_attention_heads": 8, "num_key_value_heads": 8, "vocab_size": 100, "rms_norm_eps": 1e-5, "max_position_embeddings": 512,
		"rope_theta": 10000, "hidden_act": "silu", "tie_word_embeddings": true}`), 0.1, 1)
	if err != nil {
		t.Fatal(err)
	}
	b := tensor.NewCPU(0)
	defer b.Close()
	m, err := ckpt.Load(t.Context(), b, transformer.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	host := func() int64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc) - b.Memory().InUse
	}
	const tokens, largest = 256, 8 * 256 * 256 * 4
	ids := interp.RepeatedTokens(m.Config, 1, tokens/2, -1, nil, 1)
	before, most, calls := host(), int64(0), 0
	file, err := os.Create(filepath.Join(t.TempDir(), "acts.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := &through{file, func() {
		if calls++; calls%8 == 0 {
			most = max(most, host()-before)
		}
	}}
	o := interp.Options{Hooks: []string{"*hook_pattern", "*hook_attn_scores"}, Metric: interp.Loss(ids)}
	if _, err := interp.CaptureTo(t.Context(), m, ids, o, w, nil); err != nil {
		t.Fatal(err)
	}
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	const beside = 4 << 20 // tables, the logits, what operations need
	if most < largest/2 || most > 2*largest+beside || info.Size() < 48*largest {
		t.Errorf("the host holds up to %d bytes of a file of %d, whose largest tensor has %d", most, info.Size(), largest)
	}
}

// through calls a function before it writes to a file.
type through struct {
	*os.File
	each func()
}

func (w *through) WriteAt(p []byte, at int64) (int, error) {
	w.each()
	return w.File.WriteAt(p, at)
}

// TestCaptureToErrors: what goes wrong while a file is written ends the run, and nothing is kept.
func TestCaptureToErrors(t *testing.T) {
	b := tensor.NewCPU(0)
	defer b.Close()
	m := golden.Load(t, "gemma2").Model(t, b)
	ids := [][]int32{{1, 5, 9}}
	o := interp.Options{Hooks: []string{"*"}, Metric: interp.Loss(ids)}
	full := errors.New("no space left")
	for _, fails := range []int{1, 2, 3, 50, 90} {
		before, n := b.Memory().InUse, 0
		trace, err := interp.CaptureTo(t.Context(), m, ids, o, &sheet{each: func() error {
			if n++; n == fails {
				return full
			}
			return nil
		}}, nil)
		if !errors.Is(err, full) || trace != nil || b.Memory().InUse != before {
			t.Errorf("write %d fails: %v, %v, %d bytes kept", fails, err, trace, b.Memory().InUse-before)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	before, n := b.Memory().InUse, 0
	if _, err := interp.CaptureTo(ctx, m, ids, o, &sheet{each: func() error {
		if n++; n == 2 {
			cancel()
		}
		return nil
	}}, nil); !errors.Is(err, context.Canceled) || b.Memory().InUse != before {
		t.Errorf("canceled: %v, %d bytes kept", err, b.Memory().InUse-before)
	}
}

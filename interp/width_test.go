package interp_test

import (
	"math"
	"testing"

	"github.com/gpupeft/gpupeft/interp"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// TestScoresOfRealWidth runs one layer as wide as Llama-2-7B's on 512 tokens: the scores take
// their sums' memory beside the run's, and are those of the patterns written out.
func TestScoresOfRealWidth(t *testing.T) {
	if testing.Short() {
		t.Skip("a layer of 200 million weights")
	}
	const heads, tokens, period = 32, 512, 256
	ckpt, err := transformer.Random([]byte(`{"model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 1,
		"num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": 1000, "rms_norm_eps": 1e-5, "max_position_embeddings": 4096,
		"rope_theta": 10000, "hidden_act": "silu", "tie_word_embeddings": true}`), 0.02, 1)
	if err != nil {
		t.Fatal(err)
	}
	b := tensor.NewCPU(0)
	defer b.Close()
	m, err := ckpt.Load(t.Context(), b, transformer.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ids := interp.RepeatedTokens(m.Config, 1, period, -1, nil, 2)
	before := b.Memory().InUse
	r, err := m.NewRun(transformer.RunOptions{Batch: 1, Length: tokens, HeadsOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	run := b.Memory().InUse - before
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := interp.Patterns(t.Context(), m, ids, interp.PatternOptions{Period: period})
	if err != nil {
		t.Fatal(err)
	}
	const sums, patterns, tables = heads * tokens * tensor.NumFeatures * 4, heads * tokens * tokens * 4, 4 * tokens
	if more := b.Memory().Peak - before - run; more < sums || more > sums+tables {
		t.Errorf("the scores take %d bytes beside the run's %d; their sums are %d", more, run, sums)
	}
	trace := capture(t, m, ids, interp.Options{Hooks: []string{"*hook_pattern"}})
	if more := b.Memory().Peak - before - run; more < 2*patterns {
		t.Errorf("patterns take %d bytes, and are %d", more, patterns)
	}
	all := trace.Activations["blocks.0.attn.hook_pattern"].Values
	for _, h := range []int{0, 13, 31} {
		want := scoresOf(all[h*tokens*tokens:][:tokens*tokens], tokens, period)
		for name, w := range want {
			if v := got.Scores[name][0][h]; !(math.Abs(v-w) <= maxScore) {
				t.Errorf("%s of head %d is %v, want %v", name, h, v, w)
			}
		}
	}
}

// scoresOf are some scores of a pattern [tokens, tokens], by their definition.
func scoresOf(p []float32, tokens, period int) map[string]float64 {
	sums, n := map[string]float64{}, map[string]float64{}
	add := func(name string, v float64) { sums[name], n[name] = sums[name]+v, n[name]+1 }
	for i := range tokens {
		at := func(j int) float64 { return float64(p[i*tokens+j]) }
		entropy, distance := 0.0, 0.0
		for j := range i + 1 {
			distance += at(j) * float64(i-j)
			if at(j) > 0 {
				entropy -= at(j) * math.Log(at(j))
			}
		}
		add(interp.Current, at(i))
		add(interp.Entropy, entropy)
		add(interp.Locality, distance)
		if i > 0 {
			add(interp.Previous, at(i-1))
			add(interp.BOS, at(0))
		}
		if i >= period {
			add(interp.Duplicate, at(i-period))
			add(interp.Induction, at(i-period+1))
		}
	}
	for name := range sums {
		sums[name] /= n[name]
	}
	return sums
}

package interp_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/internal/backends"
	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/interp"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// scores is testdata/interp/KIND/scores.json.
type scores struct {
	Tokens      [][]int32
	Other       [][]int32
	Scores      map[string]interp.Table
	Composition map[string][][][][]float64
	Edges       [][3]any
	Direct      struct {
		DLA       interp.Table
		MLP       []float64
		Embed     float64
		Positions float64
		Logit     float64
	}
	Effects struct {
		Loss, Clean, Corrupted         float64
		Ablation, Attribution, Patched interp.Table
	}
	Sweeps struct {
		ResidPre interp.Table `json:"resid_pre"`
		AttnOut  interp.Table `json:"attn_out"`
		MLPOut   interp.Table `json:"mlp_out"`
		Path     interp.Table
		LensTop  [][][]int32 `json:"lens_top"`
		LensKL   [][]float64 `json:"lens_kl"`
	}
}

// period is REPEAT of testdata/interp/generate.py.
const period = 5

func loadScores(t *testing.T, kind string) *scores {
	t.Helper()
	s := &scores{}
	golden.LoadScores(t, kind, s)
	return s
}

// withinTable compares the scores of all heads.
func withinTable(t *testing.T, name string, got, want interp.Table) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d layers, want %d", name, len(got), len(want))
		return
	}
	for l := range want {
		for h, w := range want[l] {
			if d := math.Abs(got[l][h] - w); !(d <= maxScore) {
				t.Errorf("%s: L%dH%d is %v, want %v", name, l, h, got[l][h], w)
				return
			}
		}
	}
}

// TestPatternsAgainstTransformerLens compares every score of attention patterns.
func TestPatternsAgainstTransformerLens(t *testing.T) {
	eachToyToo(t, func(t *testing.T, kind string, m *transformer.Model) {
		want := loadScores(t, kind)
		got, err := interp.Patterns(t.Context(), m, want.Tokens, interp.PatternOptions{Period: period, BOS: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{
			interp.Previous, interp.Current, interp.BOS, interp.BOSArena, interp.Duplicate, interp.Induction,
			interp.InductionArena, interp.InductionText, interp.PreviousMul, interp.PreviousAbs, interp.DuplicateMul, interp.DuplicateAbs,
			interp.InductionMul, interp.InductionAbs, interp.Entropy, interp.EntropyNormalized, interp.Locality,
		} {
			withinTable(t, name, got.Scores[name], want.Scores[name])
		}
	})
}

// TestDirectAgainstTransformerLens: shares are right, and sum to the logits.
func TestDirectAgainstTransformerLens(t *testing.T) {
	eachToyToo(t, func(t *testing.T, kind string, m *transformer.Model) {
		want := loadScores(t, kind).Direct
		ids := [][]int32{golden.LoadHooked(t, kind, "hooks").Tokens}
		got, err := interp.Direct(t.Context(), m, ids, interp.NextTokens(ids), interp.DirectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		withinTable(t, "heads", got.Heads, want.DLA)
		withinTable(t, "MLPs", interp.Table{got.MLPs}, interp.Table{want.MLP})
		withinTable(t, "rest", interp.Table{{got.Embed, got.Positions, got.Logit}}, interp.Table{{want.Embed, want.Positions, want.Logit}})
		const maxSum = 1e-5
		for position := range ids[0] {
			terms := []interp.Term{{Position: position, Token: 7, Weight: 1}, {Position: position, Token: 11, Weight: -1}}
			a, err := interp.Direct(t.Context(), m, ids, terms, interp.DirectOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if d := math.Abs(a.Sum() - a.Logit); !(d <= maxSum*max(1, math.Abs(a.Logit))) {
				t.Errorf("position %d: shares sum to %v, the logits to %v", position, a.Sum(), a.Logit)
			}
		}
	})
}

// TestEffectsAgainstTransformerLens: ablation, patching, and its estimate.
func TestEffectsAgainstTransformerLens(t *testing.T) {
	eachToyToo(t, func(t *testing.T, kind string, m *transformer.Model) {
		s := loadScores(t, kind)
		clean, other, want := [][]int32{golden.LoadHooked(t, kind, "hooks").Tokens}, s.Other, s.Effects
		metric := interp.LogitDiff([]int32{5}, []int32{9})
		base := capture(t, m, clean, interp.Options{Metric: interp.Loss(clean)})
		golden.NearNumber(t, "loss", base.Value, want.Loss, golden.MaxLossError)
		for name, c := range map[string]struct {
			want interp.Table
			got  func() (interp.Table, error)
		}{
			"ablation": {want.Ablation, func() (interp.Table, error) {
				return interp.Ablation(t.Context(), m, clean, interp.Loss(clean), interp.Zero(), interp.Options{})
			}},
			"patched": {want.Patched, func() (interp.Table, error) {
				return interp.PatchHeads(t.Context(), m, clean, other, metric, interp.Options{})
			}},
			"attribution": {want.Attribution, func() (interp.Table, error) {
				return interp.AttributionPatch(t.Context(), m, clean, other, metric, interp.Options{})
			}},
		} {
			got, err := c.got()
			if err != nil {
				t.Fatal(err)
			}
			withinTable(t, name, got, c.want)
		}
	})
}

// TestWeightsAgainstTransformerLens: copying and composition.
func TestWeightsAgainstTransformerLens(t *testing.T) {
	eachToyToo(t, func(t *testing.T, kind string, m *transformer.Model) {
		want := loadScores(t, kind)
		for name, f := range map[string]func() (interp.Table, error){
			"copying":          func() (interp.Table, error) { return interp.Copying(t.Context(), m) },
			"copying_residual": func() (interp.Table, error) { return interp.CopyingResidual(t.Context(), m) },
			"copying_top1":     func() (interp.Table, error) { return interp.CopyingTop(t.Context(), m, 1, nil) },
			"copying_top5":     func() (interp.Table, error) { return interp.CopyingTop(t.Context(), m, 5, nil) },
		} {
			got, err := f()
			if err != nil {
				t.Fatal(err)
			}
			withinTable(t, name, got, want.Scores[name])
		}
		c, err := interp.Composition(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		for name, got := range map[string][][][][]float64{"q": c.Q, "k": c.K, "v": c.V} {
			for l := range got {
				for h := range got[l] {
					withinTable(t, name+"-composition", got[l][h], want.Composition[name][l][h])
				}
			}
		}
	})
}

// TestPromptScore: weight on virtual tokens and prefixes is what the patterns have there, and
// the other scores are of the text.
func TestPromptScore(t *testing.T) {
	b := tensor.NewCPU(0)
	defer b.Close()
	g := golden.Load(t, "gemma2")
	m := g.Model(t, b)
	prompt, err := peft.Load(t.Context(), os.DirFS(filepath.Join(g.Dir, "adapter_prompt")), m, peft.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer prompt.Close()
	prefix, err := peft.New(t.Context(), m, peft.PrefixConfig{Tokens: 3, Init: peft.InitKeys, Text: []int32{5, 6, 7}})
	if err != nil {
		t.Fatal(err)
	}
	defer prefix.Close()
	ids := [][]int32{{1, 5, 9, 4, 5, 9, 4}}
	for _, a := range []peft.Method{prompt, prefix} {
		adapters := []transformer.Adapter{a}
		lead := a.VirtualTokens() + a.PrefixTokens()
		got, err := interp.Patterns(t.Context(), m, ids, interp.PatternOptions{Period: 3, BOS: true, Adapters: adapters})
		if err != nil {
			t.Fatal(err)
		}
		trace := capture(t, m, ids, interp.Options{Hooks: []string{"*hook_pattern"}, Adapters: adapters})
		for l := range m.Config.Layers {
			pattern := trace.Activations[fmt.Sprintf("blocks.%d.attn.hook_pattern", l)]
			queries, keys := pattern.Shape[2], pattern.Shape[3]
			if want := lead + len(ids[0]); keys != want {
				t.Fatalf("%d keys, want %d", keys, want)
			}
			for h := range m.Config.Heads {
				var want, previous float64
				for i := range ids[0] {
					row := pattern.Values[(h*queries+queries-len(ids[0])+i)*keys:][:keys]
					for _, p := range row[:lead] {
						want += float64(p) / float64(len(ids[0]))
					}
					if i > 0 {
						previous += float64(row[lead+i-1]) / float64(len(ids[0])-1)
					}
				}
				if d := math.Abs(got.Scores[interp.Prompt][l][h] - want); !(d < 1e-5) {
					t.Errorf("L%dH%d: %v on the prompt, want %v", l, h, got.Scores[interp.Prompt][l][h], want)
				}
				if d := math.Abs(got.Scores[interp.Previous][l][h] - previous); !(d < 1e-5) {
					t.Errorf("L%dH%d: previous %v, want %v", l, h, got.Scores[interp.Previous][l][h], previous)
				}
			}
		}
	}
}

// TestBaseline: a head that looks at all tokens alike has the baseline's scores.
func TestBaseline(t *testing.T) {
	b := tensor.NewCPU(0)
	defer b.Close()
	for _, kind := range []string{"llama2", "mistral", "gemma3"} {
		m := golden.Load(t, kind).Model(t, b)
		for l := range m.Config.Layers { // no query, no preference
			q := m.Weights.Layers[l].Proj[transformer.QProj]
			zeros, err := b.New("zeros", tensor.F32, q.Shape...)
			if err != nil {
				t.Fatal(err)
			}
			defer zeros.Close()
			if err := tensor.WriteFloats(t.Context(), b, zeros, make([]float32, q.Len())); err != nil {
				t.Fatal(err)
			}
			m.Weights.Layers[l].Proj[transformer.QProj] = zeros
			defer q.Close()
		}
		ids := interp.RepeatedTokens(m.Config, 2, 6, 1, nil, 3)
		got, err := interp.Patterns(t.Context(), m, ids, interp.PatternOptions{Period: 6, BOS: true})
		if err != nil {
			t.Fatal(err)
		}
		for name, table := range got.Scores {
			for l, heads := range table {
				if want := got.Baseline[name][l]; math.Abs(heads[0]-want) > 1e-5 && !strings.HasSuffix(name, "_abs") {
					t.Errorf("%s: %s of layer %d is %v, baseline %v", kind, name, l, heads[0], want)
				}
			}
		}
	}
}

func TestScoreErrors(t *testing.T) {
	b := tensor.NewCPU(0)
	defer b.Close()
	m := golden.Load(t, "llama2").Model(t, b)
	ids := [][]int32{{1, 2, 3}}
	for name, err := range map[string]error{
		"period":        second(interp.Patterns(t.Context(), m, ids, interp.PatternOptions{Period: 3})),
		"no sequences":  second(interp.Patterns(t.Context(), m, nil, interp.PatternOptions{})),
		"id":            second(interp.Patterns(t.Context(), m, [][]int32{{1, 999}}, interp.PatternOptions{})),
		"no terms":      second(interp.Direct(t.Context(), m, ids, nil, interp.DirectOptions{})),
		"term":          second(interp.Direct(t.Context(), m, ids, []interp.Term{{Position: 9}}, interp.DirectOptions{})),
		"top 0":         second(interp.CopyingTop(t.Context(), m, 0, nil)),
		"top of id":     second(interp.CopyingTop(t.Context(), m, 1, []int32{999})),
		"other lengths": second(interp.PatchHeads(t.Context(), m, ids, [][]int32{{1, 2}}, interp.Loss(ids), interp.Options{})),
		"set":           second(interp.ParseSet("1-")),
	} {
		if !errors.Is(err, transformer.ErrInput) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if set, err := interp.ParseSet("0,3-5"); err != nil || set.Count() != 4 || !set.Test(4) {
		t.Errorf("set %v, %v", set, err)
	}
}

func second[T any](_ T, err error) error { return err }

// TestSweepsAgainstTransformerLens: activation and path patching.
func TestSweepsAgainstTransformerLens(t *testing.T) {
	eachHooked(t, func(t *testing.T, kind string, m *transformer.Model) {
		s := loadScores(t, kind)
		clean, other, want := [][]int32{golden.LoadHooked(t, kind, "hooks").Tokens}, s.Other, s.Sweeps
		metric := interp.LogitDiff([]int32{5}, []int32{9})
		for point, want := range map[transformer.Point]interp.Table{
			transformer.ResidPre: want.ResidPre, transformer.AttnOut: want.AttnOut,
			transformer.MLPOut: want.MLPOut,
		} {
			got, err := interp.PatchPositions(t.Context(), m, clean, other, point, metric, interp.Options{})
			if err != nil {
				t.Fatal(err)
			}
			withinTable(t, point.String(), got, want)
		}
		receivers := []interp.Receiver{{Layer: 2, Head: 1, Input: transformer.Q}, {Layer: 2, Head: 3, Input: transformer.V}}
		got, err := interp.PathPatch(t.Context(), m, clean, other, receivers, metric, interp.Options{})
		if err != nil {
			t.Fatal(err)
		}
		withinTable(t, "path", got, want.Path)
	})
}

// TestLensAgainstTransformerLens: guesses and divergences at every layer.
func TestLensAgainstTransformerLens(t *testing.T) {
	eachHooked(t, func(t *testing.T, kind string, m *transformer.Model) {
		want := loadScores(t, kind).Sweeps
		ids := [][]int32{golden.LoadHooked(t, kind, "hooks").Tokens}
		got, err := interp.LogitLens(t.Context(), m, ids, 3, interp.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want.LensKL) {
			t.Fatalf("%d places, want %d", len(got), len(want.LensKL))
		}
		for l, lens := range got {
			withinTable(t, lens.Hook, interp.Table{lens.KL[0]}, interp.Table{want.LensKL[l]})
			for p, guesses := range lens.Top[0] {
				for i, g := range guesses {
					if g.Token != want.LensTop[l][p][i] {
						t.Errorf("%s, token %d: guess %d is %d, want %d", lens.Hook, p, i, g.Token, want.LensTop[l][p][i])
					}
				}
			}
		}
	})
}

// TestSteering: a vector steers from one set of texts to the other.
func TestSteering(t *testing.T) {
	b := tensor.NewCPU(0)
	defer b.Close()
	m := golden.Load(t, "llama3").Model(t, b)
	const hook = "blocks.2.hook_resid_post"
	toward, away := [][]int32{{1, 5}, {1, 7, 9}}, [][]int32{{1, 8, 2}}
	v, err := interp.SteeringVector(t.Context(), m, hook, toward, away, interp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	last := func(ids []int32, edits ...interp.Edit) []float32 {
		trace := capture(t, m, [][]int32{ids}, interp.Options{Hooks: []string{hook}, Edits: edits, Positions: interp.Of(uint(len(ids) - 1))})
		return trace.Activations[hook].Values
	}
	one, two := last(toward[0]), last(toward[1])
	for i, got := range last(away[0], interp.Edit{Hook: hook, Change: interp.Add(v...)}) {
		if want := (one[i] + two[i]) / 2; math.Abs(float64(got-want)) > 1e-5*(1+math.Abs(float64(want))) {
			t.Fatalf("value %d is %v, want %v", i, got, want)
		}
	}
	if _, err := interp.SteeringVector(t.Context(), m, "*", toward, away, interp.Options{}); !errors.Is(err, transformer.ErrInput) {
		t.Errorf("of all hooks: got %v", err)
	}
}

// TestEdges: scores are TransformerLens' where it has them; and what reaches a reader over all
// edges is the whole change of its stream times its gradient.
func TestEdges(t *testing.T) {
	eachToyToo(t, func(t *testing.T, kind string, m *transformer.Model) {
		s := loadScores(t, kind)
		clean := [][]int32{golden.LoadHooked(t, kind, "hooks").Tokens}
		metric := interp.LogitDiff([]int32{5}, []int32{9})
		edges, err := interp.Edges(t.Context(), m, clean, s.Other, metric, 1)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		into := map[interp.Node]float64{}
		for _, e := range edges {
			got[e.From.String()+"→"+e.To.String()] = e.Score
			into[e.To] += e.Score
		}
		for _, e := range s.Edges {
			name, want := fmt.Sprint(e[0], "→", e[1]), e[2].(float64)
			if d := math.Abs(got[name] - want); !(d <= maxScore*max(1, math.Abs(want))) {
				t.Errorf("%s is %v, want %v", name, got[name], want)
			}
		}
		if kind != "gemma2" && len(s.Edges) != len(edges) {
			t.Errorf("%d edges, want %d", len(edges), len(s.Edges))
		}
		// All readers of a layer's queries, keys and values together have the gradient of the
		// stream that passes through the first norm.
		right := capture(t, m, clean, interp.Options{Hooks: []string{"*"}, Metric: metric})
		wrong := capture(t, m, s.Other, interp.Options{Hooks: []string{"*"}})
		for l := range m.Config.Layers {
			sum := 0.0
			for node, v := range into {
				if node.Layer == l && (node.Point == transformer.Q || node.Point == transformer.K || node.Point == transformer.V) {
					sum += v
				}
			}
			hook := func(p transformer.Point) string { return transformer.Site{Layer: l, Point: p}.String() }
			want, behind := 0.0, transformer.ResidMid
			if m.Config.FFN == 0 {
				behind = transformer.ResidPost
			}
			pre, mid := right.Gradients[hook(transformer.ResidPre)].Values, right.Gradients[hook(behind)].Values
			for i, v := range wrong.Activations[hook(transformer.ResidPre)].Values {
				want += float64(v-right.Activations[hook(transformer.ResidPre)].Values[i]) * float64(pre[i]-mid[i])
			}
			if d := math.Abs(sum - want); !(d <= 1e-3*max(1, math.Abs(want))) {
				t.Errorf("layer %d: edges into its heads sum to %v, want %v", l, sum, want)
			}
		}
		if _, err := interp.Edges(t.Context(), m, clean, s.Other, metric, 3); err != nil {
			t.Error(err)
		}
	})
}

// TestSteer: a run with a cache that is steered gives the logits of a whole one with the edit.
func TestSteer(t *testing.T) {
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		m := golden.Load(t, "gemma2").Model(t, b)
		v := make([]float32, m.Config.Hidden)
		for i := range v {
			v[i] = float32(i%5) / 3
		}
		var file bytes.Buffer
		const hook = "blocks.1.hook_mlp_out"
		if err := interp.WriteSteering(&file, nil, interp.Steering{Hook: hook, Vector: v, Factor: 2}); err != nil {
			t.Fatal(err)
		}
		read, err := interp.ReadSteering(bytes.NewReader(file.Bytes()), int64(file.Len()))
		if err != nil {
			t.Fatal(err)
		}
		steer, err := interp.NewSteer(t.Context(), m, read...)
		if err != nil {
			t.Fatal(err)
		}
		defer steer.Close()
		r, err := m.NewRun(transformer.RunOptions{Batch: 1, Length: 3, Context: 8, Hooks: steer.Hooks()})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		ids := []int32{1, 5, 9, 4, 7}
		for _, part := range [][]int32{ids[:3], ids[3:]} {
			if err := r.Forward(t.Context(), transformer.Batch{IDs: [][]int32{part}}); err != nil {
				t.Fatal(err)
			}
		}
		got, err := r.Logits(t.Context(), r.LastRows())
		if err != nil {
			t.Fatal(err)
		}
		for i := range v {
			v[i] *= 2
		}
		want := capture(t, m, [][]int32{ids}, interp.Options{Positions: interp.Of(4), Edits: []interp.Edit{{Hook: hook, Change: interp.Add(v...)}}})
		within(t, "logits", got, want.Logits.Values, maxLogit)
		for name, s := range map[string]interp.Steering{
			"size": {Hook: hook, Vector: v[1:]}, "hook": {Hook: "nothing", Vector: v},
			"pattern": {Hook: "blocks.0.attn.hook_pattern", Vector: v},
		} {
			if _, err := interp.NewSteer(t.Context(), m, s); !errors.Is(err, transformer.ErrInput) {
				t.Errorf("%s: got %v", name, err)
			}
		}
	})
}

// TestMemoryOfScores: for Llama-2-7B and 512 tokens, the scores of all patterns take what their
// sums take, which is little beside the run itself, and far from what the patterns would.
func TestMemoryOfScores(t *testing.T) {
	const tokens = 512
	plain := peakOfLlama(t, func(m *transformer.Model) error {
		r, err := m.NewRun(transformer.RunOptions{Batch: 1, Length: tokens, HeadsOnly: true})
		return errors.Join(err, r.Close())
	})
	ids := [][]int32{make([]int32, tokens)}
	scored := peakOfLlama(t, func(m *transformer.Model) error {
		_, err := interp.Patterns(t.Context(), m, ids, interp.PatternOptions{})
		return err
	})
	const layers, heads, patterns = 32, 32, 32 * 32 * tokens * tokens * 4
	sums := int64(layers * heads * tokens * tensor.NumFeatures * 4)
	if more := scored - plain; more < sums || more > sums+1<<16 || more > patterns/20 {
		t.Errorf("scores take %d bytes more than a run, their sums are %d", more, sums)
	}
}

// peakOfLlama is the memory that Llama-2-7B and what is done with it would take.
func peakOfLlama(t *testing.T, f func(m *transformer.Model) error) int64 {
	t.Helper()
	text, err := os.ReadFile("../testdata/configs/llama-2-7b/config.json")
	if err != nil {
		t.Fatal(err)
	}
	ckpt, err := transformer.OpenConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	plan := tensor.NewPlan(tensor.Limits{})
	m, err := ckpt.Plan(plan, transformer.LoadOptions{})
	if err == nil {
		err = f(m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return plan.Memory().Peak
}

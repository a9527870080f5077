package interp_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/gpupeft/gpupeft/interp"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
	"github.com/gpupeft/gpupeft/transformer/tokenizer"
)

// openSmolLM2 loads SmolLM2-135M-Instruct in Q4_1, which isn't in the repository.
func openSmolLM2(t *testing.T) (*transformer.Model, *tokenizer.Tokenizer) {
	t.Helper()
	dir := filepath.Join("..", "out", "smollm2")
	if _, err := os.Stat(filepath.Join(dir, "model.gguf")); err != nil {
		if os.Getenv("GPUPEFT_REQUIRE_SMOLLM2") == "1" {
			t.Fatal(err)
		}
		t.Skip("the real model is not here: make smollm2 gets it")
	}
	c, err := transformer.OpenGGUF(os.DirFS(dir), "model.gguf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	tok, err := tokenizer.FromGGUF(c.GGUF)
	if err != nil {
		t.Fatal(err)
	}
	b := tensor.NewCPU(0)
	t.Cleanup(func() { b.Close() })
	m, err := c.Load(t.Context(), b, transformer.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m, tok
}

// TestSmolLM2Heads: a real model has previous-token, induction and duplicate-token heads, far from
// the baseline.
func TestSmolLM2Heads(t *testing.T) {
	if testing.Short() {
		t.Skip("a real model")
	}
	m, _ := openSmolLM2(t)
	ids := interp.RepeatedTokens(m.Config, 2, 40, 1, []int32{0, 2}, 5)
	s, err := interp.Patterns(t.Context(), m, ids, interp.PatternOptions{Period: 40, BOS: true})
	if err != nil {
		t.Fatal(err)
	}
	h := &interp.Heads{Scores: s.Scores, Baseline: s.Baseline}
	for name, least := range map[string]float64{interp.Previous: 0.7, interp.Induction: 0.6, interp.Duplicate: 0.5} {
		for _, top := range h.Top(name, 2, nil, nil) {
			t.Logf("%s: L%dH%d %.3f, baseline %.3f", name, top.Layer, top.Head, top.Score, top.Baseline)
			if top.Score < least || top.Baseline > 0.1 {
				t.Errorf("%s: L%dH%d has %.3f, want at least %v; baseline %.3f", name, top.Layer, top.Head, top.Score, least, top.Baseline)
			}
		}
	}
}

// TestSmolLM2Names: whose name comes next (Wang et al. 2022, arXiv 2211.00593): the head that adds
// most to the right name's logit is missed when it is taken out.
func TestSmolLM2Names(t *testing.T) {
	if testing.Short() {
		t.Skip("a real model")
	}
	m, tok := openSmolLM2(t)
	ids := [][]int32{encode(t, tok, "When Mary and John went to the store, John gave a drink to")}
	right, wrong := encode(t, tok, " Mary"), encode(t, tok, " John")
	if len(right) != 1 || len(wrong) != 1 {
		t.Fatalf("names of %d and %d tokens", len(right), len(wrong))
	}
	terms := []interp.Term{{Position: -1, Token: right[0], Weight: 1}, {Position: -1, Token: wrong[0], Weight: -1}}
	a, err := interp.Direct(t.Context(), m, ids, terms, interp.DirectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if a.Logit < 1 {
		t.Errorf("the right name's logit is higher by %.2f only", a.Logit)
	}
	if d := a.Sum() - a.Logit; d > 1e-4 || d < -1e-4 {
		t.Errorf("shares sum to %v, the logits to %v", a.Sum(), a.Logit)
	}
	mover := (&interp.Heads{Scores: map[string]interp.Table{interp.DirectScore: a.Heads}}).Top(interp.DirectScore, 1, nil, nil)[0]
	without := []interp.Edit{{Hook: transformer.Site{Layer: mover.Layer, Point: transformer.Z}.String(), Heads: interp.Of(uint(mover.Head)), Change: interp.Zero()}}
	values, err := interp.Sweep(t.Context(), m, ids, interp.Sum(terms...), [][]interp.Edit{nil, without}, interp.Options{Positions: interp.Of(uint(len(ids[0]) - 1))})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("L%dH%d adds %.2f to a difference of %.2f; without it, %.2f", mover.Layer, mover.Head, mover.Score, values[0], values[1])
	if mover.Score < 1 || values[1] > values[0]-1 {
		t.Errorf("L%dH%d adds %.2f; the difference is %.2f, without it %.2f", mover.Layer, mover.Head, mover.Score, values[0], values[1])
	}
}

// nameTask is a text in which two names occur, one of them twice; the other comes next.
type nameTask struct {
	ids          []int32
	right, wrong int32
	at           map[int32][]int // where the names are
}

// nameTasks reads the first texts of data/ioi in which the names are single tokens. The data
// aren't in the repository.
func nameTasks(t *testing.T, tok *tokenizer.Tokenizer, n int) []nameTask {
	t.Helper()
	root := os.Getenv("GPUPEFT_DATA")
	if root == "" {
		root = "../../shared/data"
	}
	file := filepath.Join(root, "data", "ioi", "ioi.json")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Skip("the texts are not here: ", err)
	}
	var rows []struct{ Prompt, Answer string }
	if err := json.Unmarshal(text, &rows); err != nil {
		t.Fatal(err)
	}
	var all []nameTask
	for _, r := range rows {
		twice := ""
		words := strings.FieldsFunc(r.Prompt, func(c rune) bool { return !unicode.IsLetter(c) })
		for i, w := range words {
			if unicode.IsUpper([]rune(w)[0]) && slices.Contains(words[i+1:], w) {
				twice = w
			}
		}
		x := nameTask{ids: encode(t, tok, r.Prompt), at: map[int32][]int{}}
		right, wrong := encode(t, tok, " "+r.Answer), encode(t, tok, " "+twice)
		if len(right) != 1 || len(wrong) != 1 || r.Answer == twice {
			continue
		}
		x.right, x.wrong = right[0], wrong[0]
		for i, id := range x.ids {
			x.at[id] = append(x.at[id], i)
		}
		if len(x.at[x.right]) == 1 && len(x.at[x.wrong]) == 2 {
			if all = append(all, x); len(all) == n {
				break
			}
		}
	}
	return all
}

func encode(t *testing.T, tok *tokenizer.Tokenizer, text string) []int32 {
	t.Helper()
	ids, err := tok.Encode(text, false)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func (x nameTask) terms() []interp.Term {
	return []interp.Term{{Position: -1, Token: x.right, Weight: 1}, {Position: -1, Token: x.wrong, Weight: -1}}
}

// difference is how much higher the right name's logit is, with edits.
func (x nameTask) difference(t *testing.T, m *transformer.Model, edits ...interp.Edit) float64 {
	t.Helper()
	o := interp.Options{Positions: interp.Of(uint(len(x.ids) - 1))}
	values, err := interp.Sweep(t.Context(), m, [][]int32{x.ids}, interp.Sum(x.terms()...), [][]interp.Edit{edits}, o)
	if err != nil {
		t.Fatal(err)
	}
	return values[0]
}

// without takes heads out.
func without(heads []interp.Ranked) []interp.Edit {
	var edits []interp.Edit
	for _, h := range heads {
		hook := transformer.Site{Layer: h.Layer, Point: transformer.Z}.String()
		edits = append(edits, interp.Edit{Hook: hook, Heads: interp.Of(uint(h.Head)), Change: interp.Zero()})
	}
	return edits
}

// nameHead is what a head does about the names, the mean over tasks.
type nameHead struct {
	interp.Ranked
	raisesRight, raisesWrong float64 // logits, on the direct path
	seesRight, seesWrong     float64 // attention from the end
}

// shares attributes a logit of each task to heads.
func shares(t *testing.T, m *transformer.Model, tasks []nameTask, token func(x nameTask) int32) interp.Table {
	t.Helper()
	sum := make(interp.Table, len(m.Config.Layers))
	for l := range sum {
		sum[l] = make([]float64, m.Config.Heads)
	}
	for _, x := range tasks {
		a, err := interp.Direct(t.Context(), m, [][]int32{x.ids}, []interp.Term{{Position: -1, Token: token(x), Weight: 1}}, interp.DirectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for l, heads := range a.Heads {
			for h, v := range heads {
				sum[l][h] += v / float64(len(tasks))
			}
		}
	}
	return sum
}

// nameHeads are the three heads that add most to the difference of the names' logits.
func nameHeads(t *testing.T, m *transformer.Model, tasks []nameTask) []nameHead {
	t.Helper()
	right := shares(t, m, tasks, func(x nameTask) int32 { return x.right })
	wrong := shares(t, m, tasks, func(x nameTask) int32 { return x.wrong })
	difference := make(interp.Table, len(right))
	for l := range right {
		for h, v := range right[l] {
			difference[l] = append(difference[l], v-wrong[l][h])
		}
	}
	var all []nameHead
	for _, top := range (&interp.Heads{Scores: map[string]interp.Table{"": difference}}).Top("", 3, nil, nil) {
		h := nameHead{Ranked: top, raisesRight: right[top.Layer][top.Head], raisesWrong: wrong[top.Layer][top.Head]}
		hook := transformer.Site{Layer: h.Layer, Point: transformer.Pattern}.String()
		for _, x := range tasks {
			n := len(x.ids)
			p := capture(t, m, [][]int32{x.ids}, interp.Options{Hooks: []string{hook}}).Activations[hook]
			row := p.Values[(h.Head*n+n-1)*n:][:n]
			h.seesRight += float64(row[x.at[x.right][0]]) / float64(len(tasks))
			for _, at := range x.at[x.wrong] {
				h.seesWrong += float64(row[at]) / float64(len(tasks))
			}
		}
		all = append(all, h)
	}
	return all
}

// TestSmolLM2NameMovers: over texts of the task, the model prefers the right name. Among the heads
// that add most to that is one that looks from the end at the right name and raises it (a name
// mover), and one that looks at the name that has come twice and lowers it. Without the three
// of them more than half of the preference is gone; without three others of the same layers,
// little.
func TestSmolLM2NameMovers(t *testing.T) {
	if testing.Short() {
		t.Skip("a real model")
	}
	m, tok := openSmolLM2(t)
	tasks := nameTasks(t, tok, 20)
	found := nameHeads(t, m, tasks)
	var movers, others []interp.Ranked
	mover, suppressor := false, false
	for _, h := range found {
		t.Logf("L%dH%d: right %+.2f, wrong %+.2f; sees %.2f and %.2f", h.Layer, h.Head, h.raisesRight, h.raisesWrong, h.seesRight, h.seesWrong)
		mover = mover || h.seesRight > 2*h.seesWrong && h.raisesRight > 0.5
		suppressor = suppressor || h.seesWrong > 2*h.seesRight && h.raisesWrong < -0.5
		movers = append(movers, h.Ranked)
	}
	for _, h := range movers {
		other := h
		for other.Head = 0; slices.ContainsFunc(slices.Concat(movers, others), func(x interp.Ranked) bool {
			return x.Layer == other.Layer && x.Head == other.Head
		}); other.Head++ {
		}
		others = append(others, other)
	}
	var right int
	var with, ablated, control float64
	n := float64(len(tasks))
	for _, x := range tasks {
		d := x.difference(t, m)
		if d > 0 {
			right++
		}
		with, ablated, control = with+d/n, ablated+x.difference(t, m, without(movers)...)/n, control+x.difference(t, m, without(others)...)/n
	}
	t.Logf("%d of %d right, difference %.2f; without them %.2f, without %+v %.2f", right, len(tasks), with, ablated, others, control)
	if float64(right) < 0.8*n || with < 1 {
		t.Errorf("%d of %d right, with a difference of %.2f", right, len(tasks), with)
	}
	if ablated > 0.5*with || control < 0.8*with {
		t.Errorf("the difference is %.2f, without the three %.2f, without others %.2f", with, ablated, control)
	}
	if !mover || !suppressor {
		t.Errorf("a head that moves the right name: %v; one that lowers the wrong one: %v", mover, suppressor)
	}
}

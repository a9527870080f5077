package interp_test

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/interp"
	"github.com/gpupeft/gpupeft/transformer"
)

// lensSequences are of different lengths.
func lensSequences(vocab int) [][]int32 {
	var all [][]int32
	for s := range 9 {
		seq := []int32{1}
		for i := range 5 + s {
			seq = append(seq, int32((7*s*s+5*i*i+3*i)%vocab))
		}
		all = append(all, seq)
	}
	return all
}

// TestTunedLensIsLeastSquares: whatever is changed about W or b makes the sum that it is to make
// smallest larger, computed here from captured streams.
func TestTunedLensIsLeastSquares(t *testing.T) {
	const ridge = 0.7
	eachHooked(t, func(t *testing.T, kind string, m *transformer.Model) {
		sequences := lensSequences(m.Config.VocabSize)
		lens, err := interp.FitTunedLens(t.Context(), m, sequences, ridge, interp.Options{})
		if err != nil {
			t.Fatal(err)
		}
		hook, last := "blocks.1.hook_resid_pre", transformer.Site{Layer: len(m.Config.Layers) - 1, Point: transformer.ResidPost}.String()
		var x, y []float32
		for _, seq := range sequences {
			trace := capture(t, m, [][]int32{seq}, interp.Options{Hooks: []string{hook, last}})
			x, y = append(x, trace.Activations[hook].Values...), append(y, trace.Activations[last].Values...)
		}
		d := m.Config.Hidden
		w, b := lens.Weight[hook], lens.Bias[hook]
		best := lensObjective(x, y, w, b, d, ridge)
		for _, i := range []int{0, d + 1, 3*d - 2, d*d - 1} {
			for _, step := range []float32{0.02, -0.02} {
				w[i] += step
				if worse := lensObjective(x, y, w, b, d, ridge); worse <= best {
					t.Errorf("W[%d] %+v: %v, not above %v", i, step, worse, best)
				}
				w[i] -= step
				b[i%d] += step
				if worse := lensObjective(x, y, w, b, d, ridge); worse <= best {
					t.Errorf("b[%d] %+v: %v, not above %v", i%d, step, worse, best)
				}
				b[i%d] -= step
			}
		}
		plain, zero := make([]float32, d*d), make([]float32, d)
		for i := range d {
			plain[i*d+i] = 1
		}
		if logit := lensObjective(x, y, plain, zero, d, ridge); best >= logit {
			t.Errorf("%v, and %v for the logit lens", best, logit)
		}
		within(t, "W at the end", lens.Weight[last], plain, 1e-6)
		within(t, "b at the end", lens.Bias[last], zero, 1e-5)
	})
}

// lensObjective is what FitTunedLens says.
func lensObjective(x, y, w, b []float32, d int, ridge float64) float64 {
	n := len(x) / d
	share, total := make([]float64, n), 0.0
	for t := range n {
		for _, v := range y[t*d:][:d] {
			share[t] += float64(v) * float64(v) / float64(d)
		}
		share[t] = 1 / share[t]
		total += share[t]
	}
	sum, variance := 0.0, 0.0
	for i := range d {
		mean := 0.0
		for t := range n {
			mean += share[t] / total * float64(x[t*d+i])
		}
		for t := range n {
			variance += share[t] * (float64(x[t*d+i]) - mean) * (float64(x[t*d+i]) - mean) / float64(n*d)
		}
	}
	for t := range n {
		for j := range d {
			e := float64(b[j]) - float64(y[t*d+j])
			for i := range d {
				e += float64(x[t*d+i]) * float64(w[i*d+j])
			}
			sum += share[t] * e * e
		}
	}
	for i := range d {
		for j := range d {
			v := float64(w[i*d+j])
			if i == j {
				v--
			}
			sum += ridge * variance * v * v
		}
	}
	return sum
}

// TestTunedLensFile: what is read back reads the same, and a lens is of one model.
func TestTunedLensFile(t *testing.T) {
	eachHooked(t, func(t *testing.T, kind string, m *transformer.Model) {
		lens, err := interp.FitTunedLens(t.Context(), m, lensSequences(m.Config.VocabSize), 1, interp.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var file bytes.Buffer
		if err := lens.Write(&file, nil); err != nil {
			t.Fatal(err)
		}
		back, err := interp.ReadTunedLens(bytes.NewReader(file.Bytes()), int64(file.Len()), m.Config)
		if err != nil {
			t.Fatal(err)
		}
		ids := [][]int32{{1, 5, 9, 7}}
		one, err := lens.LogitLens(t.Context(), m, ids, 3, interp.Options{})
		if err != nil {
			t.Fatal(err)
		}
		two, err := back.LogitLens(t.Context(), m, ids, 3, interp.Options{})
		if err != nil || !slices.EqualFunc(one, two, func(a, b interp.Lens) bool { return slices.Equal(a.KL[0], b.KL[0]) }) {
			t.Errorf("read back: %v, %v, want %v", two, err, one)
		}
		plain, err := interp.LogitLens(t.Context(), m, ids, 3, interp.Options{})
		if err != nil || one[1].KL[0][2] == plain[1].KL[0][2] || one[len(one)-1].KL[0][2] > 1e-6 {
			t.Errorf("KL %v, of the logit lens %v, %v", one[1].KL, plain[1].KL, err)
		}
		other := *m.Config
		other.Hidden++
		if _, err := interp.ReadTunedLens(bytes.NewReader(file.Bytes()), int64(file.Len()), &other); err == nil || !strings.Contains(err.Error(), "width") {
			t.Errorf("for another width: %v", err)
		}
	})
	if _, err := interp.FitTunedLens(t.Context(), nil, nil, 1, interp.Options{}); err == nil {
		t.Error("a lens from nothing")
	}
}

// TestSmolLM2TunedLens: on other text than it was fitted on, the middle of a real model is read
// far better than by the logit lens.
func TestSmolLM2TunedLens(t *testing.T) {
	if testing.Short() {
		t.Skip("a real model")
	}
	m, tok := openSmolLM2(t)
	root := os.Getenv("GPUPEFT_DATA")
	if root == "" {
		root = "../../shared/data"
	}
	text, err := os.ReadFile(filepath.Join(root, "data", "tinyshakespeare.txt"))
	if err != nil {
		t.Skip("the text is not here: ", err)
	}
	ids := encode(t, tok, string(text[:12_000]))
	var sequences [][]int32
	for part := range slices.Chunk(ids, 64) {
		if len(part) == 64 {
			sequences = append(sequences, part)
		}
	}
	held := sequences[len(sequences)-1:]
	lens, err := interp.FitTunedLens(t.Context(), m, sequences[:len(sequences)-2], 1, interp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	some := interp.Options{Positions: interp.Of(10, 20, 30, 40, 50, 60)}
	tuned, err := lens.LogitLens(t.Context(), m, held, 1, some)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := interp.LogitLens(t.Context(), m, held, 1, some)
	if err != nil {
		t.Fatal(err)
	}
	mean := func(l interp.Lens) float64 {
		sum := 0.0
		for _, v := range l.KL[0] {
			sum += v / float64(len(l.KL[0]))
		}
		return sum
	}
	for _, place := range []int{5, 15, 25} {
		a, b := mean(tuned[place]), mean(plain[place])
		t.Logf("%s: KL %.2f, of the logit lens %.2f, from %d tokens", tuned[place].Hook, a, b, 64*(len(sequences)-2))
		if !(a < b/2) || math.IsNaN(a) {
			t.Errorf("%s: KL %.2f, of the logit lens %.2f", tuned[place].Hook, a, b)
		}
	}
}

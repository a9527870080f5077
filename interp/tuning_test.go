package interp_test

import (
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/interp"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// tuned makes a method whose values are far from what it starts from.
func tuned(t *testing.T, m *transformer.Model, c peft.Config) peft.Method {
	t.Helper()
	x, err := peft.New(t.Context(), m, c)
	if err != nil {
		t.Fatal(err)
	}
	values, err := x.Params().Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, list := range values {
		for j := range list {
			list[j] += float32(math.Sin(float64(7*i + 3*j + 1)))
		}
	}
	if err := x.Params().Write(t.Context(), values); err != nil {
		t.Fatal(err)
	}
	return x
}

// promptMethods put positions in front of a text, each so many.
var promptMethods = []struct {
	config    peft.Config
	positions int
}{
	{peft.PromptConfig{Tokens: 3}, 3},
	{peft.PrefixConfig{Tokens: 2, Init: peft.InitNormal}, 2},
	{peft.PTuningConfig{Tokens: 3}, 3},
}

// TestPromptAttention: the means are those of the captured patterns, by head and position.
func TestPromptAttention(t *testing.T) {
	eachHooked(t, func(t *testing.T, kind string, m *transformer.Model) {
		ids := [][]int32{{1, 5, 9, 7, 5}, {1, 8, 3, 3, 2}}
		for _, method := range promptMethods {
			x := tuned(t, m, method.config)
			defer x.Close()
			a := []transformer.Adapter{x}
			got, err := interp.PromptAttention(t.Context(), m, ids, a, 0)
			if err != nil {
				t.Fatal(err)
			}
			trace := capture(t, m, ids, interp.Options{Hooks: []string{"*.hook_pattern"}, Adapters: a})
			for l, heads := range got {
				p := trace.Activations[transformer.Site{Layer: l, Point: transformer.Pattern}.String()]
				queries, keys := p.Shape[2], p.Shape[3]
				if keys != 5+method.positions || len(heads) != m.Config.Heads || len(heads[0]) != method.positions {
					t.Fatalf("%s: %d heads of %d positions, %d keys", method.config.Name(), len(heads), len(heads[0]), keys)
				}
				for h := range heads {
					for j, have := range heads[h] {
						want := 0.0
						for b := range ids {
							for q := queries - 5; q < queries; q++ {
								want += float64(p.Values[((b*m.Config.Heads+h)*queries+q)*keys+j]) / 10
							}
						}
						if math.Abs(have-want) > 1e-6 {
							t.Fatalf("%s: L%dH%d, position %d: %v, want %v", method.config.Name(), l, h, j, have, want)
						}
					}
				}
			}
			if len(got) != len(m.Config.Layers) {
				t.Errorf("%s: %d layers", method.config.Name(), len(got))
			}
		}
		if none, err := interp.PromptAttention(t.Context(), m, ids, nil, 0); none != nil || err != nil {
			t.Errorf("without a prompt: %v, %v", none, err)
		}
	})
}

// TestLensDivergence: at the end it is that of the logits, at the beginning there is none, and
// a model does not differ from itself.
func TestLensDivergence(t *testing.T) {
	eachHooked(t, func(t *testing.T, kind string, m *transformer.Model) {
		ids := [][]int32{slices.Repeat([]int32{1, 5, 9, 7}, 9), slices.Repeat([]int32{1, 8, 3, 2}, 9)} // more than are held at a time
		for _, c := range []peft.Config{peft.PromptConfig{Tokens: 3}, peft.LoRAConfig{Rank: 2, Targets: peft.Named("q_proj", "down_proj")}} {
			x := tuned(t, m, c)
			defer x.Close()
			a := []transformer.Adapter{x}
			got, err := interp.LensDivergence(t.Context(), m, ids, interp.Options{}, interp.Options{Adapters: a})
			if err != nil {
				t.Fatal(err)
			}
			base, with := capture(t, m, ids, interp.Options{}).Logits, capture(t, m, ids, interp.Options{Adapters: a}).Logits
			lead, end := with.Shape[1]-len(ids[0]), got[len(got)-1]
			for s := range ids {
				for i := range ids[s] {
					p := softmax(with.Values[(s*with.Shape[1]+lead+i)*with.Shape[2]:][:with.Shape[2]])
					q := softmax(base.Values[(s*base.Shape[1]+i)*base.Shape[2]:][:base.Shape[2]])
					want := 0.0
					for n := range p {
						want += p[n] * math.Log(p[n]/q[n])
					}
					if d := math.Abs(end.KL[s][i] - want); !(d < 1e-4*max(1, want)) {
						t.Fatalf("%s, sequence %d, token %d: %v, want %v", c.Name(), s, i, end.KL[s][i], want)
					}
					if got[0].KL[s][i] > 1e-6 {
						t.Fatalf("%s: %v before the first layer", c.Name(), got[0].KL[s][i])
					}
				}
			}
			if len(got) != len(m.Config.Layers)+1 || end.KL[0][3] < 1e-3 {
				t.Errorf("%s: %d places, at the end %v", c.Name(), len(got), end.KL[0][3])
			}
		}
		same, err := interp.LensDivergence(t.Context(), m, ids, interp.Options{}, interp.Options{})
		if err != nil || same[len(same)-1].KL[1][5] != 0 {
			t.Errorf("of itself: %v, %v", same, err)
		}
	})
}

// softmax is in float64.
func softmax(x []float32) []float64 {
	top := float64(slices.Max(x))
	p, sum := make([]float64, len(x)), 0.0
	for i, v := range x {
		p[i] = math.Exp(float64(v) - top)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

// lowRank is a LoRA of a layer's matrix.
func lowRank(c *transformer.Config, layer int, p transformer.Proj, rank int) interp.LowRank {
	out, in := p.Size(c)
	x := interp.LowRank{Layer: layer, Proj: p, Rank: rank, Scale: 1.5, A: make([]float32, rank*in), B: make([]float32, out*rank)}
	for i := range x.A {
		x.A[i] = float32(math.Sin(float64(i*i + layer + int(p))))
	}
	for i := range x.B {
		x.B[i] = float32(math.Cos(float64(3*i*i + layer)))
	}
	return x
}

// TestSingularDirections compares with the decomposition of the whole matrix, and with the
// last norm and output matrix by hand.
func TestSingularDirections(t *testing.T) {
	eachHooked(t, func(t *testing.T, kind string, m *transformer.Model) {
		c, layer := m.Config, m.Weights.Layers[1]
		norms := map[transformer.Proj]*tensor.Tensor{
			transformer.QProj: layer.Norm1, transformer.OProj: layer.Norm1Post,
			transformer.UpProj: layer.Norm2, transformer.DownProj: layer.Norm2Post,
		}
		for p, norm := range norms {
			x := lowRank(c, 1, p, 3)
			got, err := interp.SingularDirections(t.Context(), m, []interp.LowRank{x}, 2, 4)
			if err != nil {
				t.Fatal(err)
			}
			out, in := p.Size(c)
			var whole mat.Dense
			whole.Mul(matrix(x.B, out, 3), matrix(x.A, 3, in))
			whole.Scale(x.Scale, &whole)
			var svd mat.SVD
			if !svd.Factorize(&whole, mat.SVDThin) {
				t.Fatal("no decomposition")
			}
			sizes := svd.Values(nil)
			var vectors mat.Dense
			if reads := in == c.Hidden && p != transformer.OProj; reads {
				svd.VTo(&vectors)
			} else {
				svd.UTo(&vectors)
			}
			weight := floats(t, m, norm)
			for i, d := range got {
				if d.Layer != 1 || d.Proj != p || d.Index != i || math.Abs(d.Size-sizes[i]) > 1e-5*sizes[0] {
					t.Errorf("%v: %d of size %v, want %v", p, d.Index, d.Size, sizes[i])
				}
				if share := sizes[i] * sizes[i] / (sizes[0]*sizes[0] + sizes[1]*sizes[1] + sizes[2]*sizes[2]); math.Abs(d.Share-share) > 1e-5 {
					t.Errorf("%v: share %v, want %v", p, d.Share, share)
				}
				want := make([]float64, c.Hidden)
				for j := range want {
					want[j] = vectors.At(j, i)
					if weight != nil {
						want[j] *= float64(weight[j] + c.NormOffset)
					}
				}
				if want[0]*float64(d.Vector[0]) < 0 { // the sign is free
					for j := range want {
						want[j] = -want[j]
					}
				}
				for j := range want {
					if math.Abs(float64(d.Vector[j])-want[j]) > 1e-5 {
						t.Fatalf("%v: direction %d at %d is %v, want %v", p, i, j, d.Vector[j], want[j])
					}
				}
				checkRead(t, m, want, d.Along, 1)
				checkRead(t, m, want, d.Against, -1)
			}
			if len(got) != 2 {
				t.Errorf("%v: %d directions", p, len(got))
			}
		}
		bad := lowRank(c, 1, transformer.QProj, 2)
		bad.A = bad.A[1:]
		if _, err := interp.SingularDirections(t.Context(), m, []interp.LowRank{bad}, 1, 1); err == nil {
			t.Error("a matrix that is too small is taken")
		}
	})
}

// checkRead computes the likeliest tokens of a direction on the host.
func checkRead(t *testing.T, m *transformer.Model, direction []float64, got []interp.Guess, sign float64) {
	t.Helper()
	c := m.Config
	norm, unembed := floats(t, m, m.Weights.Norm), floats(t, m, m.Weights.Unembed)
	square := 0.0
	for _, v := range direction {
		square += v * v
	}
	scale := sign / math.Sqrt(square/float64(c.Hidden)+float64(c.NormEps))
	logits := make([]float32, c.VocabSize)
	for id := range logits {
		sum := 0.0
		for j, v := range direction {
			sum += scale * v * float64(norm[j]+c.NormOffset) * float64(unembed[id*c.Hidden+j])
		}
		if soft := float64(c.FinalSoftCap); soft > 0 {
			sum = soft * math.Tanh(sum/soft)
		}
		logits[id] = float32(sum)
	}
	p := softmax(logits)
	best := slices.Max(p)
	if len(got) != 4 || math.Abs(p[got[0].Token]-best) > 1e-5 || math.Abs(math.Exp(got[0].LogProb)-best) > 1e-5 || got[0].LogProb < got[3].LogProb {
		t.Errorf("%+v, the likeliest has %v", got, best)
	}
}

func matrix(values []float32, rows, cols int) *mat.Dense {
	m := mat.NewDense(rows, cols, nil)
	for i, v := range values {
		m.Set(i/cols, i%cols, float64(v))
	}
	return m
}

// floats are a weight's values; nil without it.
func floats(t *testing.T, m *transformer.Model, w *tensor.Tensor) []float32 {
	t.Helper()
	if w == nil {
		return nil
	}
	data := make([]byte, w.Bytes())
	if err := m.Backend().Read(t.Context(), w, data); err != nil {
		t.Fatal(err)
	}
	return tensor.Unpack(nil, w.DType, data)
}

// TestCompareTuned: each side is what it is by itself.
func TestCompareTuned(t *testing.T) {
	eachHooked(t, func(t *testing.T, kind string, m *transformer.Model) {
		ids := [][]int32{{1, 5, 9, 7, 5, 9, 7}}
		for _, c := range []peft.Config{peft.PromptConfig{Tokens: 2}, peft.PrefixConfig{Tokens: 2, Init: peft.InitNormal}, peft.LoRAConfig{Rank: 2, Targets: peft.Named("v_proj")}} {
			x := tuned(t, m, c)
			defer x.Close()
			a := []transformer.Adapter{x}
			o := interp.InspectOptions{PatternOptions: interp.PatternOptions{Period: 3, BOS: true, Adapters: a}, Weights: true, Ablate: true}
			got, err := interp.CompareTuned(t.Context(), m, ids, o, 3)
			if err != nil {
				t.Fatal(err)
			}
			with, err := interp.InspectHeads(t.Context(), m, ids, o)
			if err != nil {
				t.Fatal(err)
			}
			o.Adapters = nil
			without, err := interp.InspectHeads(t.Context(), m, ids, o)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{interp.Induction, interp.DirectScore, interp.AblationScore} {
				withinTable(t, name, got.Tuned.Scores[name], with.Scores[name])
				withinTable(t, name, got.Base.Scores[name], without.Scores[name])
				far := got.Changed(name, 2)
				first, second := math.Abs(far[0].Score-far[0].Baseline), math.Abs(far[1].Score-far[1].Baseline)
				if first == 0 || first < second {
					t.Errorf("%s: %s changed by %v and %v", c.Name(), name, first, second)
				}
			}
			_, soft := c.(peft.PromptConfig)
			_, prefix := c.(peft.PrefixConfig)
			if (got.Prompt != nil) != soft || (got.Attention != nil) != (soft || prefix) || len(got.Divergence) != len(m.Config.Layers)+1 {
				t.Errorf("%s: %+v", c.Name(), got)
			}
			if got.Changed(interp.CopyingScore, 1) != nil || got.Base.Scores[interp.CopyingScore] == nil {
				t.Errorf("%s: scores of weights are the base's", c.Name())
			}
		}
	})
}

// TestPrefixMatching compares with sums over captured patterns.
func TestPrefixMatching(t *testing.T) {
	b := tensor.NewCPU(0)
	defer b.Close()
	m := golden.Load(t, "llama2").Model(t, b)
	got, err := interp.PrefixMatching(t.Context(), m, 2, 1, []int32{0, 2}, 3, interp.PatternOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ids := interp.RepeatedTokens(m.Config, 2, 25, 1, []int32{0, 2}, 3)
	for i := range ids {
		ids[i] = append(ids[i], ids[i][1:]...)
	}
	if len(ids[0]) != interp.PrefixMatchingTokens {
		t.Fatalf("%d tokens", len(ids[0]))
	}
	trace := capture(t, m, ids, interp.Options{Hooks: []string{"*.hook_pattern"}})
	for l, heads := range got.Scores[interp.PrefixMatch] {
		p := trace.Activations[transformer.Site{Layer: l, Point: transformer.Pattern}.String()].Values
		for h, have := range heads {
			sum, n := 0.0, 0
			for s, seq := range ids {
				for i := range seq {
					repeated := false
					for j := range i {
						if seq[j] == seq[i] {
							repeated = true
							sum += float64(p[((s*m.Config.Heads+h)*len(seq)+i)*len(seq)+j+1])
						}
					}
					if repeated {
						n++
					}
				}
			}
			if math.Abs(have-sum/float64(n)) > 1e-5 {
				t.Errorf("L%dH%d: %v, want %v", l, h, have, sum/float64(n))
			}
		}
	}
}

package ngram_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gpupeft/gpupeft/peft/ngram"
)

func fit(t *testing.T, n, vocab int, texts ...[]int32) *ngram.Model {
	t.Helper()
	m, err := ngram.Fit(n, vocab, slices.Values(texts))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestByHand computes a bigram model of two short texts on paper: a b a c, b a.
func TestByHand(t *testing.T) {
	const a, b, c = 0, 1, 2
	m := fit(t, 2, 4, []int32{a, b, a, c}, []int32{b, a})
	// Pairs: ^a 1, ab 1, ba 2, ac 1, ^b 1. Before a: ^ and b; before b: a and ^; before c: a.
	const d2, d1 = 4.0 / (4 + 2*1), 1.0 / (1 + 2*2)
	unigram := func(n float64) float64 { return (max(n-d1, 0) + d1*3/4.0) / 5 }
	for _, x := range []struct {
		text []int32
		next int32
		want float64
	}{
		{[]int32{b}, a, (2 - d2 + d2*1*unigram(2)) / 2},
		{[]int32{b}, c, (d2 * 1 * unigram(1)) / 2},
		{[]int32{c, a}, b, (1 - d2 + d2*2*unigram(2)) / 2},
		{[]int32{a}, 3, d2 * 2 * unigram(0) / 2},
		{nil, b, (1 - d2 + d2*2*unigram(2)) / 2},
		{[]int32{c}, a, unigram(2)}, // nothing has followed c
	} {
		if got := math.Exp(m.LogProb(x.text, x.next)); math.Abs(got-x.want) > 1e-12 {
			t.Errorf("P(%d|%v) = %v, want %v", x.next, x.text, got, x.want)
		}
	}
}

// TestDistribution: the probabilities after any context add up to 1, and the likeliest
// token is the one with the highest.
func TestDistribution(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const vocab = 12
	text := make([]int32, 400)
	for i := range text {
		text[i] = int32(rng.IntN(rng.IntN(vocab-1) + 1))
	}
	for n := 1; n <= 4; n++ {
		m := fit(t, n, vocab, text[:250], text[250:])
		for i := range 60 {
			after := text[:i*5]
			if i%3 == 0 { // one that hasn't been seen
				after = []int32{int32(rng.IntN(vocab)), int32(rng.IntN(vocab)), vocab - 1}
			}
			sum, best := 0.0, math.Inf(-1)
			for id := range int32(vocab) {
				p := m.LogProb(after, id)
				sum, best = sum+math.Exp(p), max(best, p)
			}
			if math.Abs(sum-1) > 1e-12 {
				t.Errorf("n %d: probabilities after %v add up to %v", n, after, sum)
			}
			if p := m.LogProb(after, m.Likeliest(after)); p != best {
				t.Errorf("n %d: the likeliest token after %v has %v, another %v", n, after, p, best)
			}
		}
	}
}

func TestErrors(t *testing.T) {
	for _, x := range []struct{ n, vocab int }{{0, 4}, {9, 4}, {2, 0}, {2, 1}} {
		if _, err := ngram.Fit(x.n, x.vocab, slices.Values([][]int32{{0, 1}})); !errors.Is(err, ngram.ErrOrder) {
			t.Errorf("%+v: %v", x, err)
		}
	}
	if m := fit(t, 3, 5); math.Abs(m.LogProb(nil, 2)-math.Log(0.2)) > 1e-12 || m.Likeliest(nil) != 0 {
		t.Error("a model of nothing isn't uniform")
	}
}

func ExampleFit() {
	text := []int32{3, 1, 4, 1, 5, 3, 1, 4}
	m, err := ngram.Fit(2, 10, slices.Values([][]int32{text}))
	if err != nil {
		panic(err)
	}
	fmt.Println("after 3 comes", m.Likeliest([]int32{3}))
	// Output: after 3 comes 1
}

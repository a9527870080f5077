package transformer

import "math"

// Divergence says how much two models' predictions differ.
type Divergence struct {
	Mean  float64 `json:"mean_kl"` // over the positions, in nats
	Max   float64 `json:"max_kl"`
	Agree float64 `json:"top1_agreement"` // share of positions with the same most likely token
}

// Diverge returns the Kullback-Leibler divergence Σ p·log(p/q) of the predictions that
// two models' logits stand for, both [positions, vocab].
func Diverge(p, q []float32, vocab int) Divergence {
	var d Divergence
	n := len(p) / vocab
	for i := range n {
		a, b := logSoftmax(p[i*vocab:][:vocab]), logSoftmax(q[i*vocab:][:vocab])
		kl, bestA, bestB := 0.0, 0, 0
		for v := range vocab {
			kl += math.Exp(a[v]) * (a[v] - b[v])
			if a[v] > a[bestA] {
				bestA = v
			}
			if b[v] > b[bestB] {
				bestB = v
			}
		}
		d.Mean += kl / float64(n)
		d.Max = max(d.Max, kl)
		if bestA == bestB {
			d.Agree += 1 / float64(n)
		}
	}
	return d
}

// logSoftmax returns the logarithms of the probabilities.
func logSoftmax(logits []float32) []float64 {
	most := math.Inf(-1)
	for _, v := range logits {
		most = max(most, float64(v))
	}
	sum := 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v) - most)
	}
	out := make([]float64, len(logits))
	for i, v := range logits {
		out[i] = float64(v) - most - math.Log(sum)
	}
	return out
}

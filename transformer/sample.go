package transformer

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Sampling says how the next token is chosen. The zero value is greedy.
type Sampling struct {
	Temperature float64 // 0: always the most likely token
	TopK        int     // only the k most likely; 0: all
	TopP        float64 // only the most likely whose probabilities sum to p; 0 or 1: all
	Seed        uint64  // the same seed gives the same text
}

func (s Sampling) check() error {
	if !(s.Temperature >= 0) || math.IsInf(s.Temperature, 0) || s.TopK < 0 || !(s.TopP >= 0 && s.TopP <= 1) {
		return fmt.Errorf("sampling %+v: %w", s, ErrInput)
	}
	return nil
}

// candidate is a token with its weight.
type candidate struct {
	id     int32
	weight float64
}

// pick chooses a token from logits, in the order of HF's logits processors:
// temperature, top-k, top-p.
func (s Sampling) pick(logits []float32, rng *rand.Rand) int32 {
	best := argmax(logits)
	if s.Temperature == 0 || s.TopK == 1 {
		return best
	}
	list := make([]candidate, len(logits))
	for i, x := range logits {
		list[i] = candidate{int32(i), math.Exp((float64(x) - float64(logits[best])) / s.Temperature)}
	}
	slices.SortStableFunc(list, func(a, b candidate) int { return cmp.Compare(b.weight, a.weight) })
	if s.TopK > 0 {
		list = list[:min(s.TopK, len(list))]
	}
	total := sum(list)
	if s.TopP > 0 && s.TopP < 1 {
		reached := 0.0
		for i, c := range list {
			if reached += c.weight / total; reached >= s.TopP {
				list = list[:i+1]
				break
			}
		}
		total = sum(list)
	}
	point := rng.Float64() * total
	for _, c := range list {
		if point -= c.weight; point < 0 {
			return c.id
		}
	}
	return list[len(list)-1].id
}

func sum(list []candidate) float64 {
	total := 0.0
	for _, c := range list {
		total += c.weight
	}
	return total
}

// argmax returns the first of the largest values.
func argmax(x []float32) int32 {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return int32(best)
}

package data

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
)

// How many rows of the embedding matrix are read: of tokens that the data uses, special
// ones first, and of the vocabulary at large to compare with.
const (
	maxRows   = 2048
	someRows  = 512
	minSample = 16
	// nearMean is how near to the mean of all rows, as a part of the usual distance, a row
	// is that was never trained: resized vocabularies begin there.
	nearMean = 0.1
)

// untrained warns of tokens whose embeddings are zero, or the mean of all.
func (x *examiner) untrained(ctx context.Context) error {
	if x.Embeddings == nil || x.Vocab < minSample || len(x.Parts) == 0 {
		return nil
	}
	var ids, others []int32
	for id, used := range x.used {
		switch {
		case !used:
		case x.Tokens != nil && x.Tokens.IsSpecial(int32(id)):
			ids = append(ids, int32(id))
		default:
			others = append(others, int32(id))
		}
	}
	ids = append(ids, others[:min(len(others), max(0, maxRows-len(ids)))]...)
	var sample []int32
	for i := range min(someRows, x.Vocab) {
		sample = append(sample, int32(i*x.Vocab/min(someRows, x.Vocab)))
	}
	rows, err := x.Embeddings(ctx, slices.Concat(sample, ids))
	if err != nil {
		return fmt.Errorf("embeddings: %w", err)
	}
	width := len(rows) / (len(sample) + len(ids))
	row := func(i int) []float32 { return rows[i*width:][:width] }
	mean := make([]float64, width)
	for i := range sample {
		for k, v := range row(i) {
			mean[k] += float64(v) / float64(len(sample))
		}
	}
	distance := func(v []float32) float64 {
		sum := 0.0
		for k := range v {
			d := float64(v[k]) - mean[k]
			sum += d * d
		}
		return math.Sqrt(sum)
	}
	var usual []float64
	for i := range sample {
		usual = append(usual, distance(row(i)))
	}
	slices.Sort(usual)
	zero := func(v []float32) bool {
		return !slices.ContainsFunc(v, func(f float32) bool { return math.Abs(float64(f)) > 1e-12 })
	}
	var found []int32
	for i, id := range ids {
		if v := row(len(sample) + i); zero(v) || distance(v) < nearMean*usual[len(usual)/2] {
			found = append(found, id)
		}
	}
	x.warnUntrained(found)
	return nil
}

func (x *examiner) warnUntrained(ids []int32) {
	if len(ids) == 0 {
		return
	}
	var names []string
	for _, id := range ids[:min(len(ids), named)] {
		name := fmt.Sprint(id)
		if x.Tokens != nil {
			name = fmt.Sprintf("%q (%d)", x.Tokens.Piece(id), id)
		}
		names = append(names, name)
	}
	x.Warnings = append(x.Warnings, Warning{
		Untrained, x.Parts[0].Part, x.Parts[0].File, len(ids), nil,
		fmt.Sprintf("the data uses tokens that the model never learned: %s; take the model's instruct version, or train them (--method tokens, --modules-to-save embed_tokens)", strings.Join(names, ", ")),
	})
}

package peft

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gpupeft/gpupeft/transformer"
)

// PartNorm is how large the values of an adapter are in one layer, or outside the
// layers.
type PartNorm struct {
	Name   string  `json:"name"` // "layer 3", or the name of a tensor
	Layer  int     `json:"layer"`
	Values int     `json:"values"`
	Norm   float64 `json:"norm"` // of all values together
	// Change is the norm of the change of weights, for LoRA: √Σ‖s·B·A‖².
	Change float64 `json:"change,omitempty"`
}

// Norms returns the sizes by layer; first those outside the layers, each tensor by
// itself.
func (s *State) Norms() []PartNorm {
	parts := map[string]*PartNorm{}
	for _, name := range sortedKeys(s.Tensors) {
		layer := layerOf(strings.TrimPrefix(name, prefix))
		key := fmt.Sprintf("layer %d", layer)
		if layer < 0 {
			key = strings.TrimPrefix(name, prefix)
		}
		if parts[key] == nil {
			parts[key] = &PartNorm{Name: key, Layer: layer}
		}
		values := s.Tensors[name].Values
		parts[key].Values += len(values)
		parts[key].Norm += square(values)
		parts[key].Change += s.change(name)
	}
	var all []PartNorm
	for _, p := range parts {
		p.Norm, p.Change = math.Sqrt(p.Norm), math.Sqrt(p.Change)
		all = append(all, *p)
	}
	slices.SortFunc(all, func(a, b PartNorm) int {
		if a.Layer != b.Layer {
			return a.Layer - b.Layer
		}
		return strings.Compare(a.Name, b.Name)
	})
	return all
}

func square(values []float32) float64 {
	l := length(values)
	return l * l
}

// change is ‖s·B·A‖² of the LoRA whose A a tensor is, and 0 for others. It is the trace
// of (BᵀB)·(AAᵀ), so that B·A is never made.
func (s *State) change(name string) float64 {
	c, ok := s.Config.(LoRAConfig)
	module, is := strings.CutSuffix(name, ".lora_A.weight")
	a, b := s.Tensors[name], s.Tensors[module+".lora_B.weight"]
	if !ok || !is || len(a.Shape) != 2 || len(b.Shape) != 2 || a.Shape[0] != b.Shape[1] {
		return 0
	}
	alpha, err := c.AlphaOf(strings.TrimPrefix(module, prefix))
	if err != nil {
		return 0
	}
	r, in, out := a.Shape[0], a.Shape[1], b.Shape[0]
	scale := c.scale(alpha, r)
	sum := 0.0
	for i := range r {
		for j := range r {
			var left, right float64
			for o := range out {
				left += float64(b.Values[o*r+i]) * float64(b.Values[o*r+j])
			}
			for k := range in {
				right += float64(a.Values[i*in+k]) * float64(a.Values[j*in+k])
			}
			sum += left * right
		}
	}
	return scale * scale * max(sum, 0)
}

// Prompt returns the vectors of a soft prompt, [n, D], if the adapter has one.
func (s *State) Prompt() (Matrix, bool) {
	if _, prefix := s.Config.(PrefixConfig); prefix {
		return Matrix{}, false
	}
	m, ok := s.Tensors[promptName]
	return m, ok && len(m.Shape) == 2
}

// NearToken is a token whose embedding points in much the same direction as a vector.
type NearToken struct {
	ID     int32
	Cosine float64
}

// NearestTokens returns, for each vector [n, D], the top tokens by the cosine of their
// embeddings, the nearest first. Errors wrap ErrMismatch if the width isn't the model's.
func NearestTokens(ctx context.Context, m *transformer.Model, vectors Matrix, top int) ([][]NearToken, error) {
	d, vocab := m.Config.Hidden, m.Config.VocabSize
	if len(vectors.Shape) != 2 || vectors.Shape[1] != d {
		return nil, fmt.Errorf("vectors %v for a model of width %d: %w", vectors.Shape, d, ErrMismatch)
	}
	near := make([][]NearToken, vectors.Shape[0])
	const piece = 4096 // tokens whose embeddings are held at a time
	for first := 0; first < vocab; first += piece {
		ids := make([]int32, min(piece, vocab-first))
		for i := range ids {
			ids[i] = int32(first + i)
		}
		rows, err := m.EmbedRows(ctx, ids)
		if err != nil {
			return nil, err
		}
		for v := range near {
			near[v] = nearer(near[v], vectors.Values[v*d:(v+1)*d], ids, rows, top)
		}
	}
	return near, nil
}

// nearer keeps the top of a list and of some more tokens.
func nearer(list []NearToken, vector []float32, ids []int32, rows []float32, top int) []NearToken {
	d := len(vector)
	size := length(vector)
	for i, id := range ids {
		row, dot := rows[i*d:(i+1)*d], 0.0
		for j, v := range row {
			dot += float64(v) * float64(vector[j])
		}
		if l := length(row) * size; l > 0 {
			list = append(list, NearToken{id, dot / l})
		}
	}
	slices.SortFunc(list, func(a, b NearToken) int {
		switch {
		case a.Cosine > b.Cosine:
			return -1
		case a.Cosine < b.Cosine:
			return 1
		}
		return int(a.ID - b.ID)
	})
	return list[:min(top, len(list))]
}

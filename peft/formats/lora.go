package formats

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/transformer"
)

const embedModule = "model.embed_tokens"

// pairsOf takes a state's LoRA apart. The error names what isn't LoRA.
func pairsOf(f Format, s *peft.State) ([]peft.LoRAPair, error) {
	pairs, err := s.Pairs()
	if errors.Is(err, transformer.ErrUnsupported) {
		return nil, fmt.Errorf("%s can't express this: %w", f, err)
	}
	return pairs, err
}

// layerOf returns the number in "model.layers.3.mlp.up_proj".
func layerOf(module string) (string, bool) {
	rest, ok := strings.CutPrefix(module, "model.layers.")
	if !ok {
		return "", false
	}
	number, _, ok := strings.Cut(rest, ".")
	return number, ok
}

// transposed exchanges a matrix's rows and columns.
func transposed(m peft.Matrix) peft.Matrix {
	rows, cols := m.Shape[0], m.Shape[1]
	t := peft.Matrix{Shape: []int{cols, rows}, Values: make([]float32, len(m.Values))}
	for r := range rows {
		for c := range cols {
			t.Values[c*rows+r] = m.Values[r*cols+c]
		}
	}
	return t
}

// matrix checks that a tensor has two dimensions.
func matrix(name string, m peft.Matrix) (peft.Matrix, error) {
	if len(m.Shape) != 2 {
		return m, malformed("tensor %q: shape %v, want two dimensions", name, m.Shape)
	}
	return m, nil
}

func sorted[T any](m map[string]T) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

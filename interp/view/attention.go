package view

import (
	"fmt"
	"math"
)

// Attention is a section with the attention patterns of all heads of a model on one
// sequence: a heat map, lines from each token to what it attends to, the text coloured by
// the attention of a token, and all heads at a glance. Sections of one page show the same
// head.
type Attention struct {
	Title, About string
	// Tokens are the keys. The queries are the last of them: all, or fewer where keys
	// without queries come first, as a tuned prefix has.
	Tokens []string // [K]
	Heads  int
	// Patterns are softmax weights by layer, each row-major [Heads, Q, K] as TransformerLens'
	// blocks.N.attn.hook_pattern of one sequence. Query i must not see keys beyond K−Q+i.
	Patterns [][]float32
	Group    int // heads that share keys and values
	Layer    int // shown first, with Head
	Head     int
}

// fineCells is how many weights a page holds with 16 bits; with more, each has 8.
const fineCells = 1 << 20

func (a Attention) section() (heading, any, error) {
	h := heading{"attention", a.Title, a.About}
	keys := len(a.Tokens)
	if keys == 0 || a.Heads < 1 || a.Group < 0 || len(a.Patterns) == 0 {
		return h, nil, fmt.Errorf("%d layers, %d heads, %d tokens, groups of %d: %w", len(a.Patterns), a.Heads, keys, a.Group, ErrInput)
	}
	if a.Layer < 0 || a.Layer >= len(a.Patterns) || a.Head < 0 || a.Head >= a.Heads {
		return h, nil, fmt.Errorf("head %d of layer %d, of %d × %d: %w", a.Head, a.Layer, len(a.Patterns), a.Heads, ErrInput)
	}
	queries := len(a.Patterns[0]) / (a.Heads * keys)
	if queries < 1 || queries > keys {
		return h, nil, fmt.Errorf("%d weights for %d heads and %d tokens: %w", len(a.Patterns[0]), a.Heads, keys, ErrInput)
	}
	seen := queries*(keys-queries) + queries*(queries+1)/2 // of a head
	bits := 16
	if seen*a.Heads*len(a.Patterns) > fineCells {
		bits = 8
	}
	var layers [][]byte
	for l, p := range a.Patterns {
		if len(p) != a.Heads*queries*keys {
			return h, nil, fmt.Errorf("layer %d: %d weights, not %d heads × %d × %d: %w", l, len(p), a.Heads, queries, keys, ErrInput)
		}
		packed, err := pack(p, queries, keys, bits)
		if err != nil {
			return h, nil, fmt.Errorf("layer %d, %w", l, err)
		}
		layers = append(layers, packed)
	}
	return h, map[string]any{
		"tokens": labels(a.Tokens), "heads": a.Heads, "queries": queries, "bits": bits,
		"layers": layers, "group": a.Group, "layer": a.Layer, "head": a.Head,
	}, nil
}

// pack writes the weights that a query may see, row after row, as fractions of 255 or
// 65535, low byte first.
func pack(p []float32, queries, keys, bits int) ([]byte, error) {
	var b []byte
	for row := range len(p) / keys {
		query := row % queries
		sees := keys - queries + query + 1
		for key, w := range p[row*keys : (row+1)*keys] {
			switch {
			case !(w >= 0 && w <= 1.001):
				return nil, fmt.Errorf("head %d, query %d, key %d: weight %v: %w", row/queries, query, key, w, ErrInput)
			case key < sees && bits == 8:
				b = append(b, uint8(math.Round(min(1, float64(w))*255)))
			case key < sees:
				v := uint16(math.Round(min(1, float64(w)) * 65535))
				b = append(b, uint8(v), uint8(v>>8))
			case w != 0:
				return nil, fmt.Errorf("head %d, query %d: weight %v on key %d, which comes later: %w", row/queries, query, w, key, ErrInput)
			}
		}
	}
	return b, nil
}

// Matrix is the pattern of one head as a heat map of queries × keys, for PNG and Terminal.
// Cells of keys that a query can't see have no value.
func (a Attention) Matrix(layer, head int) (Matrix, error) {
	if _, _, err := a.section(); err != nil {
		return Matrix{}, err
	}
	if layer < 0 || layer >= len(a.Patterns) || head < 0 || head >= a.Heads {
		return Matrix{}, fmt.Errorf("head %d of layer %d, of %d × %d: %w", head, layer, len(a.Patterns), a.Heads, ErrInput)
	}
	tokens := labels(a.Tokens)
	keys := len(tokens)
	queries := len(a.Patterns[layer]) / (a.Heads * keys)
	m := Matrix{
		Title: fmt.Sprintf("L%dH%d", layer, head), RowName: "from (query)", ColumnName: "to (key)",
		Rows: tokens[keys-queries:], Columns: tokens, Max: 1,
	}
	for q := range queries {
		row := append([]float32(nil), a.Patterns[layer][(head*queries+q)*keys:][:keys]...)
		for k := keys - queries + q + 1; k < keys; k++ {
			row[k] = float32(math.NaN())
		}
		m.Values = append(m.Values, row)
	}
	return m, nil
}

package transformer

import (
	"fmt"
	"strconv"
	"strings"
)

// Point is a kind of activation, the same in every layer.
type Point uint8

// The points, in the order of the forward pass. B·T is written N; D, F, H, K and h
// are Config's Hidden, FFN, Heads, KVHeads and HeadDim.
const (
	Embed          Point = iota // [N, D] token embeddings as they enter the stream (scaled, for Gemma)
	ResidPre                    // [N, D] the stream before the layer
	Norm1Scale                  // [N] the divisor of the first norm
	Norm1                       // [N, D] what attention reads: normalised, times the weight
	Q                           // [N, H·h]
	K                           // [N, K·h]
	V                           // [N, K·h]
	QNormScale                  // [N·H], Gemma 3
	QNorm                       // [N, H·h], Gemma 3
	KNormScale                  // [N·K], Gemma 3
	KNorm                       // [N, K·h], Gemma 3
	RotQ                        // [N, H·h] after the rotary embedding
	RotK                        // [N, K·h]
	Scores                      // [B·H·T, keys] masked and soft-capped, only on request
	Pattern                     // [B·H·T, keys] their softmax, only on request
	AttnStats                   // [N·H, 2] log-sum-exp of the scores, for the backward pass
	AttnZ                       // [N, H·h] the heads' mixed values; Z itself, unless an adapter adds to it
	Z                           // [N, H·h] what the output projection reads
	AttnProj                    // [N, D] the output projection
	Norm1PostScale              // [N], Gemma 2 and 3
	AttnOut                     // [N, D] what attention adds to the stream
	ResidMid                    // [N, D]
	Norm2Scale                  // [N]
	Norm2                       // [N, D] what the MLP reads
	MLPPre                      // [N, F] gate, before the activation
	MLPPreLinear                // [N, F] up projection
	MLPPost                     // [N, F] act(gate)·up
	MLPProj                     // [N, D] the down projection
	Norm2PostScale              // [N], Gemma 2 and 3
	MLPOut                      // [N, D] what the MLP adds to the stream
	ResidPost                   // [N, D] the stream after the layer
	numPoints
)

// pointInfo gives each point its name and size. Names are TransformerLens' where
// it has the activation in the same form.
var pointInfo = [numPoints]struct {
	name string
	dims func(c *Config) []int // of one token's values; nil: one row of keys per head
}{
	Embed:          {"hook_embed", width},
	ResidPre:       {"hook_resid_pre", width},
	Norm1Scale:     {"ln1.hook_scale", one},
	Norm1:          {"ln1.hook_out", width},
	Q:              {"attn.hook_q", queries},
	K:              {"attn.hook_k", keys},
	V:              {"attn.hook_v", keys},
	QNormScale:     {"attn.q_norm.hook_scale", func(c *Config) []int { return []int{c.Heads, 1} }},
	QNorm:          {"attn.q_norm.hook_out", queries},
	KNormScale:     {"attn.k_norm.hook_scale", func(c *Config) []int { return []int{c.KVHeads, 1} }},
	KNorm:          {"attn.k_norm.hook_out", keys},
	RotQ:           {"attn.hook_rot_q", queries},
	RotK:           {"attn.hook_rot_k", keys},
	Scores:         {"attn.hook_attn_scores", nil},
	Pattern:        {"attn.hook_pattern", nil},
	AttnStats:      {"attn.hook_lse", func(c *Config) []int { return []int{c.Heads, 2} }},
	AttnZ:          {"attn.hook_z_base", queries},
	Z:              {"attn.hook_z", queries},
	AttnProj:       {"attn.hook_out", width},
	Norm1PostScale: {"ln1_post.hook_scale", one},
	AttnOut:        {"hook_attn_out", width},
	ResidMid:       {"hook_resid_mid", width},
	Norm2Scale:     {"ln2.hook_scale", one},
	Norm2:          {"ln2.hook_out", width},
	MLPPre:         {"mlp.hook_pre", hiddenUnits},
	MLPPreLinear:   {"mlp.hook_pre_linear", hiddenUnits},
	MLPPost:        {"mlp.hook_post", hiddenUnits},
	MLPProj:        {"mlp.hook_out", width},
	Norm2PostScale: {"ln2_post.hook_scale", one},
	MLPOut:         {"hook_mlp_out", width},
	ResidPost:      {"hook_resid_post", width},
}

func one(*Config) []int           { return []int{1} }
func width(c *Config) []int       { return []int{c.Hidden} }
func queries(c *Config) []int     { return []int{c.Heads, c.HeadDim} }
func keys(c *Config) []int        { return []int{c.KVHeads, c.HeadDim} }
func hiddenUnits(c *Config) []int { return []int{c.FFN} }

// Points returns all points in the order of the forward pass.
func Points() []Point {
	all := make([]Point, numPoints)
	for i := range all {
		all[i] = Point(i)
	}
	return all
}

// Shape returns the dimensions that TransformerLens gives a point's values for
// sequences of the given length: [batch, length, …], and for Scores and Pattern
// [batch, heads, length, keys].
func (p Point) Shape(c *Config, batch, length, keys int) []int {
	if dims := pointInfo[p].dims; dims != nil {
		return append([]int{batch, length}, dims(c)...)
	}
	return []int{batch, c.Heads, length, keys}
}

// size returns how many values a point has for each token.
func (p Point) size(c *Config, keys int) int {
	n := 1
	for _, d := range p.Shape(c, 1, 1, keys) {
		n *= d
	}
	return n
}

// Site is an activation of a model: a point of a layer. Embed has no layer.
type Site struct {
	Layer int
	Point Point
}

// String gives TransformerLens' name: "blocks.3.attn.hook_z", "hook_embed".
func (s Site) String() string {
	if s.Point >= numPoints {
		return fmt.Sprintf("blocks.%d.point(%d)", s.Layer, s.Point)
	}
	if s.Point == Embed {
		return pointInfo[Embed].name
	}
	return fmt.Sprintf("blocks.%d.%s", s.Layer, pointInfo[s.Point].name)
}

// ParseSite is the inverse of String.
func ParseSite(name string) (Site, error) {
	if name == pointInfo[Embed].name {
		return Site{Point: Embed}, nil
	}
	rest, ok := strings.CutPrefix(name, "blocks.")
	number, point, found := strings.Cut(rest, ".")
	layer, err := strconv.Atoi(number)
	if ok && found && err == nil && layer >= 0 {
		for p := ResidPre; p < numPoints; p++ {
			if pointInfo[p].name == point {
				return Site{Layer: layer, Point: p}, nil
			}
		}
	}
	return Site{}, fmt.Errorf("hook name %q: %w", name, ErrInput)
}

// Proj is one of a layer's seven matrices.
type Proj uint8

// The projections, by the names HF gives them.
const (
	QProj Proj = iota
	KProj
	VProj
	OProj
	GateProj
	UpProj
	DownProj
	NumProj
)

var projInfo = [NumProj]struct {
	name, module string
	size         func(c *Config) (out, in int)
}{
	QProj:    {"q_proj", "self_attn", func(c *Config) (int, int) { return c.Heads * c.HeadDim, c.Hidden }},
	KProj:    {"k_proj", "self_attn", func(c *Config) (int, int) { return c.KVHeads * c.HeadDim, c.Hidden }},
	VProj:    {"v_proj", "self_attn", func(c *Config) (int, int) { return c.KVHeads * c.HeadDim, c.Hidden }},
	OProj:    {"o_proj", "self_attn", func(c *Config) (int, int) { return c.Hidden, c.Heads * c.HeadDim }},
	GateProj: {"gate_proj", "mlp", func(c *Config) (int, int) { return c.FFN, c.Hidden }},
	UpProj:   {"up_proj", "mlp", func(c *Config) (int, int) { return c.FFN, c.Hidden }},
	DownProj: {"down_proj", "mlp", func(c *Config) (int, int) { return c.Hidden, c.FFN }},
}

// String gives the module's own name: "q_proj".
func (p Proj) String() string {
	if p >= NumProj {
		return fmt.Sprintf("proj(%d)", uint8(p))
	}
	return projInfo[p].name
}

// Size returns the shape [out, in] of the projection's matrix.
func (p Proj) Size(c *Config) (out, in int) { return projInfo[p].size(c) }

// Module returns the name that HF gives a layer's projection:
// "model.layers.3.self_attn.q_proj".
func (p Proj) Module(layer int) string {
	return fmt.Sprintf("model.layers.%d.%s.%s", layer, projInfo[p].module, projInfo[p].name)
}

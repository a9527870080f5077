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
	Embed               Point = iota // [N, D] token embeddings as they enter the stream (scaled, for Gemma)
	PosEmbed                         // [N, D] learned vectors of the positions (toys), added to those of the tokens
	ResidPre                         // [N, D] the stream before the layer
	Norm1Scale                       // [N] the divisor of the first norm
	Norm1Normalized                  // [N, D] what it divides, only on request
	Norm1                            // [N, D] what attention reads: normalised, times the weight
	Q                                // [N, H·h]
	K                                // [N, K·h]
	V                                // [N, K·h]
	QNormScale                       // [N·H], Gemma 3
	QNormNormalized                  // [N, H·h], Gemma 3, only on request
	QNorm                            // [N, H·h], Gemma 3
	KNormScale                       // [N·K], Gemma 3
	KNormNormalized                  // [N, K·h], Gemma 3, only on request
	KNorm                            // [N, K·h], Gemma 3
	RotQ                             // [N, H·h] after the rotary embedding
	RotK                             // [N, K·h]
	Scores                           // [B·H·T, keys] masked and soft-capped, only on request
	Pattern                          // [B·H·T, keys] their softmax, only on request
	AttnStats                        // [N·H, 2] log-sum-exp of the scores, for the backward pass
	AttnZ                            // [N, H·h] the heads' mixed values; Z itself, unless an adapter adds to it
	Z                                // [N, H·h] what the output projection reads
	AttnProj                         // [N, D] the output projection
	Norm1PostScale                   // [N], Gemma 2 and 3
	Norm1PostNormalized              // [N, D], only on request
	AttnOut                          // [N, D] what attention adds to the stream
	ResidMid                         // [N, D]
	Norm2Scale                       // [N]
	Norm2Normalized                  // [N, D], only on request
	Norm2                            // [N, D] what the MLP reads
	MLPPre                           // [N, F] gate, before the activation
	MLPPreLinear                     // [N, F] up projection
	MLPPost                          // [N, F] act(gate)·up
	MLPProj                          // [N, D] the down projection
	Norm2PostScale                   // [N], Gemma 2 and 3
	Norm2PostNormalized              // [N, D], only on request
	MLPOut                           // [N, D] what the MLP adds to the stream
	ResidPost                        // [N, D] the stream after the layer
	FinalScale                       // [M] the divisor of the last norm, M being the rows that Logits or Loss is for
	FinalNormalized                  // [M, D] only on request
	UnembedIn                        // [M, D] what the output matrix reads
	UnembedOut                       // [M, V] logits before the soft-cap; only a part of V at a time, unless on request
	numPoints
)

// pointInfo gives each point its name and size. Names are TransformerLens' where
// it has the activation in the same form.
var pointInfo = [numPoints]struct {
	name string
	dims func(c *Config) []int // of one token's values; nil: one row of keys per head
}{
	Embed:               {"hook_embed", width},
	PosEmbed:            {"hook_pos_embed", width},
	ResidPre:            {"hook_resid_pre", width},
	Norm1Scale:          {"ln1.hook_scale", one},
	Norm1Normalized:     {"ln1.hook_normalized", width},
	Norm1:               {"ln1.hook_out", width},
	Q:                   {"attn.hook_q", queries},
	K:                   {"attn.hook_k", keys},
	V:                   {"attn.hook_v", keys},
	QNormScale:          {"attn.q_norm.hook_scale", func(c *Config) []int { return []int{c.Heads, 1} }},
	QNormNormalized:     {"attn.q_norm.hook_normalized", queries},
	QNorm:               {"attn.q_norm.hook_out", queries},
	KNormScale:          {"attn.k_norm.hook_scale", func(c *Config) []int { return []int{c.KVHeads, 1} }},
	KNormNormalized:     {"attn.k_norm.hook_normalized", keys},
	KNorm:               {"attn.k_norm.hook_out", keys},
	RotQ:                {"attn.hook_rot_q", queries},
	RotK:                {"attn.hook_rot_k", keys},
	Scores:              {"attn.hook_attn_scores", nil},
	Pattern:             {"attn.hook_pattern", nil},
	AttnStats:           {"attn.hook_lse", func(c *Config) []int { return []int{c.Heads, 2} }},
	AttnZ:               {"attn.hook_z_base", queries},
	Z:                   {"attn.hook_z", queries},
	AttnProj:            {"attn.hook_out", width},
	Norm1PostScale:      {"ln1_post.hook_scale", one},
	Norm1PostNormalized: {"ln1_post.hook_normalized", width},
	AttnOut:             {"hook_attn_out", width},
	ResidMid:            {"hook_resid_mid", width},
	Norm2Scale:          {"ln2.hook_scale", one},
	Norm2Normalized:     {"ln2.hook_normalized", width},
	Norm2:               {"ln2.hook_out", width},
	MLPPre:              {"mlp.hook_pre", hiddenUnits},
	MLPPreLinear:        {"mlp.hook_pre_linear", hiddenUnits},
	MLPPost:             {"mlp.hook_post", hiddenUnits},
	MLPProj:             {"mlp.hook_out", width},
	Norm2PostScale:      {"ln2_post.hook_scale", one},
	Norm2PostNormalized: {"ln2_post.hook_normalized", width},
	MLPOut:              {"hook_mlp_out", width},
	ResidPost:           {"hook_resid_post", width},
	FinalScale:          {"ln_final.hook_scale", one},
	FinalNormalized:     {"ln_final.hook_normalized", width},
	UnembedIn:           {"unembed.hook_in", width},
	UnembedOut:          {"unembed.hook_out", func(c *Config) []int { return []int{c.VocabSize} }},
}

func one(*Config) []int           { return []int{1} }
func width(c *Config) []int       { return []int{c.Hidden} }
func queries(c *Config) []int     { return []int{c.Heads, c.HeadDim} }
func keys(c *Config) []int        { return []int{c.KVHeads, c.HeadDim} }
func hiddenUnits(c *Config) []int { return []int{c.FFN} }

// String gives the name within a layer: "attn.hook_z", "hook_resid_pre".
func (p Point) String() string {
	if p >= numPoints {
		return fmt.Sprintf("point(%d)", uint8(p))
	}
	return pointInfo[p].name
}

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

// Layered says whether every layer has the point: Embed, PosEmbed and what comes after
// ResidPost are there once.
func (p Point) Layered() bool { return p > PosEmbed && p < FinalScale }

// Exists says whether a model has the point at all.
func (p Point) Exists(c *Config) bool {
	switch p {
	case QNormScale, QNormNormalized, QNorm, KNormScale, KNormNormalized, KNorm:
		return c.QKNorm
	case Norm1PostScale, Norm1PostNormalized, Norm2PostScale, Norm2PostNormalized:
		return c.PostNorms
	case Norm1Scale, Norm1Normalized, FinalScale, FinalNormalized:
		return !c.NoNorms
	case Norm2Scale, Norm2Normalized:
		return !c.NoNorms && c.FFN > 0
	case ResidMid, Norm2, MLPPre, MLPPreLinear, MLPPost, MLPProj, MLPOut:
		return c.FFN > 0
	case PosEmbed:
		return c.LearnedPositions
	}
	return p < numPoints
}

// Site is an activation of a model: a point of a layer, 0 where the point isn't layered.
type Site struct {
	Layer int
	Point Point
}

// String gives TransformerLens' name: "blocks.3.attn.hook_z", "hook_embed".
func (s Site) String() string {
	if !s.Point.Layered() && s.Point < numPoints {
		return s.Point.String()
	}
	return fmt.Sprintf("blocks.%d.%v", s.Layer, s.Point)
}

// ParseSite is the inverse of String.
func ParseSite(name string) (Site, error) {
	rest, ok := strings.CutPrefix(name, "blocks.")
	number, point, found := strings.Cut(rest, ".")
	layer, err := strconv.Atoi(number)
	inLayer := ok && found && err == nil && layer >= 0
	for _, p := range Points() {
		switch {
		case !p.Layered() && pointInfo[p].name == name:
			return Site{Point: p}, nil
		case p.Layered() && inLayer && pointInfo[p].name == point:
			return Site{layer, p}, nil
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

package transformer

import (
	"encoding/json"
	"fmt"
	"math"
)

// RoPE is a layer's rotary position embedding. Its kinds differ only in the
// frequencies (HF modeling_rope_utils.py): default, linear (positions divided by
// Factor) and llama3 (only the slow frequencies are, with a smooth passage). With none, all
// angles are 0: nothing is rotated.
type RoPE struct {
	Kind   string // "default", "linear", "llama3" or "none"
	Theta  float64
	Factor float64

	// llama3 only.
	LowFreqFactor, HighFreqFactor float64
	OriginalPositions             float64
}

// hfRoPE is rope_scaling or rope_parameters in JSON.
type hfRoPE struct {
	Type         string   `json:"rope_type"`
	OldType      string   `json:"type"`
	Theta        float64  `json:"rope_theta"`
	Factor       *float64 `json:"factor"`
	LowFreq      float64  `json:"low_freq_factor"`
	HighFreq     float64  `json:"high_freq_factor"`
	Original     float64  `json:"original_max_position_embeddings"`
	PartialRotes *float64 `json:"partial_rotary_factor"`
}

// ropes returns the embeddings of the layers that see everything and of those
// that see a window.
func (hf *hfConfig) ropes(f family) (full, sliding RoPE, err error) {
	if f.toy && hf.PositionType == "learned" {
		return RoPE{Kind: "none"}, RoPE{Kind: "none"}, nil
	}
	if len(hf.RoPEParameters) > 0 && string(hf.RoPEParameters) != "null" {
		var both struct {
			Full    json.RawMessage `json:"full_attention"`
			Sliding json.RawMessage `json:"sliding_attention"`
		}
		if err := json.Unmarshal(hf.RoPEParameters, &both); err != nil {
			return full, sliding, fmt.Errorf("rope_parameters: %v: %w", err, ErrCheckpoint)
		}
		if both.Full == nil && both.Sliding == nil {
			full, err = parseRoPE("rope_parameters", hf.RoPEParameters, hf.RoPETheta)
			return full, full, err
		}
		if full, err = parseRoPE("rope_parameters.full_attention", both.Full, hf.RoPETheta); err != nil {
			return full, sliding, err
		}
		sliding, err = parseRoPE("rope_parameters.sliding_attention", both.Sliding, hf.RoPELocalTheta)
		return full, sliding, err
	}
	if full, err = parseRoPE("rope_scaling", hf.RoPEScaling, hf.RoPETheta); err != nil {
		return full, sliding, err
	}
	sliding = full
	if f.localTheta != 0 {
		sliding = RoPE{Kind: "default", Theta: hf.RoPELocalTheta, Factor: 1}
	}
	return full, sliding, nil
}

func parseRoPE(field string, raw json.RawMessage, theta float64) (RoPE, error) {
	var hf hfRoPE
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &hf); err != nil {
			return RoPE{}, fmt.Errorf("%s: %v: %w", field, err, ErrCheckpoint)
		}
	}
	r := RoPE{Kind: hf.Type, Theta: hf.Theta, Factor: 1, LowFreqFactor: hf.LowFreq, HighFreqFactor: hf.HighFreq, OriginalPositions: hf.Original}
	if r.Kind == "" {
		r.Kind = hf.OldType
	}
	if r.Kind == "" {
		r.Kind = "default"
	}
	if r.Theta == 0 {
		r.Theta = theta
	}
	if hf.Factor != nil {
		r.Factor = *hf.Factor
	}
	if hf.PartialRotes != nil && *hf.PartialRotes != 1 {
		return r, fmt.Errorf("%s: partial_rotary_factor %v: %w", field, *hf.PartialRotes, ErrUnsupported)
	}
	return r, r.check(field)
}

func (r RoPE) check(field string) error {
	wrong := func(name string, v float64) error {
		return fmt.Errorf("%s: %s is %v: %w", field, name, v, ErrCheckpoint)
	}
	if !(r.Theta > 0) {
		return wrong("rope_theta", r.Theta)
	}
	switch r.Kind {
	case "default":
	case "linear":
		if !(r.Factor > 0) {
			return wrong("factor", r.Factor)
		}
	case "llama3":
		if !(r.Factor > 0) {
			return wrong("factor", r.Factor)
		}
		if !(r.OriginalPositions > 0) {
			return wrong("original_max_position_embeddings", r.OriginalPositions)
		}
		if !(r.LowFreqFactor > 0) || !(r.HighFreqFactor > r.LowFreqFactor) {
			return wrong("high_freq_factor", r.HighFreqFactor)
		}
	default:
		return fmt.Errorf("%s: rope type %q (known: default, linear, llama3): %w", field, r.Kind, ErrUnsupported)
	}
	return nil
}

// frequencies returns the angle per position of each of the dim/2 pairs, rounded
// as HF's float32 arithmetic does.
func (r RoPE) frequencies(dim int) []float32 {
	freq := make([]float32, dim/2)
	if r.Kind == "none" {
		return freq
	}
	for j := range freq {
		f := float32(1 / math.Pow(r.Theta, float64(2*j)/float64(dim)))
		switch r.Kind {
		case "linear":
			f /= float32(r.Factor)
		case "llama3":
			f = r.llama3(f)
		}
		freq[j] = f
	}
	return freq
}

// llama3 slows a frequency down by Factor if its wave is longer than the original
// context divided by LowFreqFactor, keeps it if shorter than the one divided by
// HighFreqFactor, and mixes the two in between.
func (r RoPE) llama3(f float32) float32 {
	wave := 2 * math.Pi / float64(f)
	switch {
	case wave > r.OriginalPositions/r.LowFreqFactor:
		return f / float32(r.Factor)
	case wave < r.OriginalPositions/r.HighFreqFactor:
		return f
	}
	smooth := float32((r.OriginalPositions/wave - r.LowFreqFactor) / (r.HighFreqFactor - r.LowFreqFactor))
	return (1-smooth)*f/float32(r.Factor) + smooth*f
}

// table returns cosines and sines for the given number of positions, as
// tensor.RoPE wants them: [positions, dim].
func (r RoPE) table(positions, dim int) []float32 {
	freq, half := r.frequencies(dim), dim/2
	t := make([]float32, positions*dim)
	for p := range positions {
		for j, f := range freq {
			angle := float64(float32(p) * f)
			t[p*dim+j] = float32(math.Cos(angle))
			t[p*dim+half+j] = float32(math.Sin(angle))
		}
	}
	return t
}

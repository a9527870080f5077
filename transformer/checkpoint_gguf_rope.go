package transformer

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/gpupeft/gpupeft/tensor"
)

// ropeFreqs is the tensor with what Llama 3.1 and later divide each rotary frequency
// by: [h/2].
const ropeFreqs = "rope_freqs.weight"

// llama3Passage are the settings of all published models that divide frequencies,
// which GGUF doesn't store: LowFreqFactor, HighFreqFactor and OriginalPositions.
var llama3Passage = RoPE{Kind: "llama3", LowFreqFactor: 1, HighFreqFactor: 4, OriginalPositions: 8192}

// rope sets rope_scaling.
func (k *ggufKeys) rope(hf *hfConfig) {
	if k.f.Has(k.arch + ".rope.scaling.type") {
		kind, err := k.f.String(k.arch + ".rope.scaling.type")
		switch {
		case err != nil:
			k.fail(fmt.Errorf("%w: %w", err, ErrCheckpoint))
		case kind == "linear":
			k.set(hf, RoPE{Kind: kind, Factor: k.float("rope.scaling.factor")})
		case kind != "none":
			k.fail(fmt.Errorf("metadata %s.rope.scaling.type is %q (known: none, linear): %w", k.arch, kind, ErrUnsupported))
		}
	}
	if _, ok := k.f.Entry(ropeFreqs); ok && k.err == nil {
		k.llama3(hf)
	}
}

func (k *ggufKeys) set(hf *hfConfig, r RoPE) {
	hf.RoPEScaling, _ = json.Marshal(map[string]any{ // numbers and a string: never fails
		"rope_type": r.Kind, "factor": r.Factor, "low_freq_factor": r.LowFreqFactor, "high_freq_factor": r.HighFreqFactor,
		"original_max_position_embeddings": r.OriginalPositions,
	})
}

// llama3 finds the factor that the divisors were made with, and makes sure that they
// were.
func (k *ggufKeys) llama3(hf *hfConfig) {
	data, e, err := k.f.Read(ropeFreqs)
	if err != nil {
		k.fail(fmt.Errorf("%w: %w", err, ErrCheckpoint))
		return
	}
	divisors := tensor.Unpack(nil, e.DType, data)
	r := llama3Passage
	if r.Theta = hf.RoPETheta; r.Theta == 0 {
		r.Theta = families[hf.ModelType].theta
	}
	r.Factor = float64(slices.Max(append(divisors, 1)))
	plain := RoPE{Kind: "default", Theta: r.Theta, Factor: 1}.frequencies(2 * len(divisors))
	for i, f := range r.frequencies(2 * len(divisors)) {
		if want := float64(plain[i]) / float64(f); !(math.Abs(want-float64(divisors[i])) <= 1e-3*want) {
			k.fail(fmt.Errorf("tensor %s: frequency %d is divided by %v, Llama 3's rule with factor %v gives %v: %w",
				ropeFreqs, i, divisors[i], r.Factor, want, ErrUnsupported))
			return
		}
	}
	k.set(hf, r)
}

package interp

import (
	"context"
	"fmt"

	"github.com/gpupeft/gpupeft/transformer"
)

// Sweep runs the sequences once for each list of edits, in the place of o.Edits, and
// returns the metric's values: how ablations and patches are compared.
func Sweep(ctx context.Context, m *transformer.Model, ids [][]int32, metric Metric, edits [][]Edit, o Options) ([]float64, error) {
	values := make([]float64, len(edits))
	o.Hooks, o.Metric = nil, nil // the value is enough
	for i, list := range edits {
		o.Edits = list
		trace, err := Capture(ctx, m, ids, o)
		if err != nil {
			return nil, err
		}
		if values[i], _, err = metric(trace.Logits); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// sweepHeads is Sweep over one change to the hook_z of every head.
func sweepHeads(ctx context.Context, m *transformer.Model, ids [][]int32, metric Metric, change Change, o Options) (Table, error) {
	var edits [][]Edit
	for l := range m.Config.Layers {
		for h := range m.Config.Heads {
			edits = append(edits, []Edit{{Hook: zHook(l), Heads: Of(uint(h)), Change: change}})
		}
	}
	values, err := Sweep(ctx, m, ids, metric, edits, o)
	if err != nil {
		return nil, err
	}
	t := make(Table, len(m.Config.Layers))
	for l := range t {
		t[l] = values[l*m.Config.Heads:][:m.Config.Heads]
	}
	return t, nil
}

func zHook(layer int) string {
	return transformer.Site{Layer: layer, Point: transformer.Z}.String()
}

// Ablation is how much a metric grows when a change, Zero or Mean, is made to the output
// of one head (hook_z) after the other.
func Ablation(ctx context.Context, m *transformer.Model, ids [][]int32, metric Metric, change Change, o Options) (Table, error) {
	base, err := Sweep(ctx, m, ids, metric, [][]Edit{nil}, o)
	if err != nil {
		return nil, err
	}
	t, err := sweepHeads(ctx, m, ids, metric, change, o)
	for _, heads := range t {
		for h := range heads {
			heads[h] -= base[0]
		}
	}
	return t, err
}

// PatchHeads is the metric of the corrupted sequences when one head's output after the
// other is as in the clean ones (activation patching).
func PatchHeads(ctx context.Context, m *transformer.Model, clean, corrupted [][]int32, metric Metric, o Options) (Table, error) {
	from, err := cleanRun(ctx, m, clean, corrupted, "*.hook_z", o)
	if err != nil {
		return nil, err
	}
	return sweepHeads(ctx, m, corrupted, metric, Patch(from), o)
}

// AttributionPatch estimates how much PatchHeads changes the metric of the corrupted
// sequences, for all heads at once: Σ ∂metric/∂z·(z clean − z corrupted), the gradient
// being that of the corrupted run (Nanda 2023).
func AttributionPatch(ctx context.Context, m *transformer.Model, clean, corrupted [][]int32, metric Metric, o Options) (Table, error) {
	from, err := cleanRun(ctx, m, clean, corrupted, "*.hook_z", o)
	if err != nil {
		return nil, err
	}
	o.Hooks, o.Metric, o.Positions = []string{"*.hook_z"}, metric, nil
	to, err := Capture(ctx, m, corrupted, o)
	if err != nil {
		return nil, err
	}
	t := newTable(m.Config)
	for l := range t {
		z, grad := to.Activations[zHook(l)].Values, to.Gradients[zHook(l)].Values
		way := make([]float32, len(z))
		for i, v := range from.Activations[zHook(l)].Values {
			way[i] = v - z[i]
		}
		headDots(t[l], m.Config.HeadDim, way, grad)
	}
	return t, nil
}

// cleanRun captures what patches are taken from.
func cleanRun(ctx context.Context, m *transformer.Model, clean, corrupted [][]int32, hook string, o Options) (*Trace, error) {
	if len(clean) != len(corrupted) || len(clean) > 0 && len(clean[0]) != len(corrupted[0]) {
		return nil, fmt.Errorf("clean and corrupted sequences of different number or length: %w", transformer.ErrInput)
	}
	o.Hooks, o.Metric, o.Positions, o.Edits = []string{hook}, nil, nil, nil
	return Capture(ctx, m, clean, o)
}

package interp

import (
	"context"
	"fmt"

	"github.com/gpupeft/gpupeft/transformer"
)

// PatchPositions is the metric of the corrupted sequences when one activation after the
// other is as in the clean ones: a point of the stream or what is added to it (hook_resid_pre,
// hook_attn_out, hook_mlp_out and the like), at one layer and one token: [layer][token].
func PatchPositions(ctx context.Context, m *transformer.Model, clean, corrupted [][]int32, point transformer.Point, metric Metric, o Options) (Table, error) {
	if !point.Layered() || !offered(m.Config, point) {
		return nil, fmt.Errorf("%v is in no layer of the model: %w", point, transformer.ErrInput)
	}
	from, err := cleanRun(ctx, m, clean, corrupted, "blocks.*."+point.String(), o)
	if err != nil {
		return nil, err
	}
	length := virtualTokens(o.Adapters) + len(clean[0])
	var edits [][]Edit
	for l := range m.Config.Layers {
		for t := range length {
			hook := transformer.Site{Layer: l, Point: point}.String()
			edits = append(edits, []Edit{{Hook: hook, Positions: Of(uint(t)), Change: Patch(from)}})
		}
	}
	values, err := Sweep(ctx, m, corrupted, metric, edits, o)
	if err != nil {
		return nil, err
	}
	t := make(Table, len(m.Config.Layers))
	for l := range t {
		t[l] = values[l*length:][:length]
	}
	return t, nil
}

// Receiver is what path patching is about: the queries, keys or values of one head.
type Receiver struct {
	Layer int
	Head  int               // a query head; its key head, if Input is K or V
	Input transformer.Point // Q, K or V
}

// edit patches what the receiver reads.
func (r Receiver) edit(c *transformer.Config, from *Trace) Edit {
	head := r.Head
	if r.Input != transformer.Q {
		head = KVHead(c, head)
	}
	return Edit{Hook: transformer.Site{Layer: r.Layer, Point: r.Input}.String(), Heads: Of(uint(head)), Change: Patch(from)}
}

// PathPatch is the metric of the clean sequences when one head after the other reaches the
// receivers as in the corrupted ones, and along no other path but that and the MLPs between:
// first the receivers' inputs are computed with that head's output from the corrupted run and
// all other heads' from the clean one, then a clean run is given those (Wang et al. 2022, arXiv
// 2211.00593, Goldowsky-Dill et al. 2023). Heads that no receiver comes after have the clean
// metric.
func PathPatch(ctx context.Context, m *transformer.Model, clean, corrupted [][]int32, receivers []Receiver, metric Metric, o Options) (Table, error) {
	last, hooks := -1, []string(nil)
	for _, r := range receivers {
		if r.Layer < 0 || r.Layer >= len(m.Config.Layers) || r.Head < 0 || r.Head >= m.Config.Heads || r.Input != transformer.Q &&
			r.Input != transformer.K && r.Input != transformer.V {
			return nil, fmt.Errorf("receiver %+v: %w", r, transformer.ErrInput)
		}
		last = max(last, r.Layer)
		hooks = append(hooks, transformer.Site{Layer: r.Layer, Point: r.Input}.String())
	}
	right, err := cleanRun(ctx, m, clean, corrupted, "*.hook_z", o)
	if err != nil {
		return nil, err
	}
	wrong, err := cleanRun(ctx, m, corrupted, clean, "*.hook_z", o)
	if err != nil {
		return nil, err
	}
	base, err := Sweep(ctx, m, clean, metric, [][]Edit{nil}, o)
	if err != nil {
		return nil, err
	}
	table := newTable(m.Config)
	for l, heads := range table {
		for h := range heads {
			if heads[h] = base[0]; l >= last {
				continue
			}
			first := o
			first.Hooks, first.Metric, first.Positions = hooks, nil, nil
			first.Edits = []Edit{{Hook: "*.hook_z", Change: Patch(right)}, {Hook: zHook(l), Heads: Of(uint(h)), Change: Patch(wrong)}}
			inputs, err := Capture(ctx, m, clean, first)
			if err != nil {
				return nil, err
			}
			var second []Edit
			for _, r := range receivers {
				second = append(second, r.edit(m.Config, inputs))
			}
			values, err := Sweep(ctx, m, clean, metric, [][]Edit{second}, o)
			if err != nil {
				return nil, err
			}
			heads[h] = values[0]
		}
	}
	return table, nil
}

// SteeringVector is the difference of the means of an activation's last token over two sets
// of sequences: what to Add at the same hook to steer from the second set to the first
// (Turner et al. 2023, arXiv 2308.10248).
func SteeringVector(ctx context.Context, m *transformer.Model, hook string, toward, away [][]int32, o Options) ([]float32, error) {
	plus, err := meanLast(ctx, m, hook, toward, o)
	if err != nil {
		return nil, err
	}
	minus, err := meanLast(ctx, m, hook, away, o)
	for i, v := range minus {
		plus[i] -= v
	}
	return plus, err
}

// meanLast averages an activation of the last token over sequences of any length.
func meanLast(ctx context.Context, m *transformer.Model, hook string, ids [][]int32, o Options) ([]float32, error) {
	if len(ids) == 0 {
		return nil, fmt.Errorf("no sequences: %w", transformer.ErrInput)
	}
	var mean []float32
	for _, seq := range ids {
		o.Hooks, o.Metric, o.Positions = []string{hook}, nil, Of(uint(virtualTokens(o.Adapters)+len(seq)-1))
		trace, err := Capture(ctx, m, [][]int32{seq}, o)
		if err != nil {
			return nil, err
		}
		a, ok := trace.Activations[hook]
		if !ok {
			return nil, fmt.Errorf("steering vector of %q: want the name of one hook: %w", hook, transformer.ErrInput)
		}
		if mean == nil {
			mean = make([]float32, len(a.Values))
		}
		for i, v := range a.Values {
			mean[i] += v / float32(len(ids))
		}
	}
	return mean, nil
}

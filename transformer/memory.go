package transformer

import "github.com/gpupeft/gpupeft/tensor"

// RunMemory is what a run's buffers take, in bytes, without its adapters' part.
type RunMemory struct {
	Activations int64 `json:"activations"` // of the blocks
	Gradients   int64 `json:"gradients"`   // of the activations
	Logits      int64 `json:"logits"`      // one part of them, and the rows that they are computed from
	Cache       int64 `json:"cache"`       // keys and values, for generation or behind a prefix
	Tables      int64 `json:"tables"`      // ids, positions, angles
}

// Total is the sum.
func (m RunMemory) Total() int64 {
	return m.Activations + m.Gradients + m.Logits + m.Cache + m.Tables
}

// Memory returns what the run takes. Together with [tensor.NewPlan] it tells before
// a model is loaded whether a run will fit.
func (r *Run) Memory() RunMemory {
	var m RunMemory
	for key, t := range r.slots {
		if key.grad {
			m.Gradients += t.Bytes()
		} else {
			m.Activations += t.Bytes()
		}
	}
	m.Logits = r.head.bytes()
	if r.cache != nil {
		m.Cache = sumBytes(r.cache.k...) + sumBytes(r.cache.v...)
	}
	m.Cache += sumBytes(r.prefixed.k, r.prefixed.v, r.prefixed.dk, r.prefixed.dv)
	m.Tables = sumBytes(r.input.ids, r.input.positions, r.input.segments, r.input.learned)
	for _, t := range r.ropes {
		m.Tables += t.Bytes()
	}
	return m
}

func (h *head) bytes() int64 {
	return sumBytes(h.rows, h.inverse, h.targets, h.resid, h.norm, h.scale, h.stats, h.logits, h.capped, h.dresid, h.dnorm,
		h.normalized, h.dlogits, h.dnormalized, h.dscale)
}

// sumBytes adds up tensors, some of which may be nil.
func sumBytes(ts ...*tensor.Tensor) int64 {
	n := int64(0)
	for _, t := range ts {
		if t != nil {
			n += t.Bytes()
		}
	}
	return n
}

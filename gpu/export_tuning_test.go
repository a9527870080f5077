package gpu

// LimitDispatches lowers the work that one dispatch may hold, so that small
// operations are spread over several.
func (b *Backend) LimitDispatches(flops float64) { b.tune.dispatchFlops = flops }

// Package interp looks inside a model: it captures activations under the names and
// in the shapes of TransformerLens, of any base model and with any adapter in place.
//
//	trace, err := interp.Capture(ctx, model, [][]int32{ids}, interp.Options{Hooks: []string{"blocks.*.attn.hook_pattern"}})
//	pattern := trace.Activations["blocks.0.attn.hook_pattern"] // Shape [1, heads, T, T]
//
// Errors wrap the sentinels of packages transformer and tensor. A Trace holds plain
// slices and owns no memory of the backend.
package interp

// Package bench measures a backend: single operations with the shapes of a model, and
// whole passes of one, with random weights; no files are needed.
//
//	for r, err := range bench.Run(ctx, backend, bench.Config{Shape: "llama-3.2-1b", DType: tensor.Q4_0}) {
//		…
//		fmt.Println(r.Name, r.Median, r.GFlops(), r.GBytes(), r.TokensPerSecond())
//	}
//
// [Run] measures the [Parts] in turn:
//
//   - [Kernels]: the products of a block forward and backward, of one token and of LoRA,
//     attention, and what moves memory; many in a call, so that the device is timed and not
//     the call. Weights of one-token products change with each call, as in decoding, so that
//     they come from memory and not from a cache.
//   - [Forward], [Step], [Decode]: what a user gets, with everything on the way. Beside a
//     step stands how long its products of matrices take alone, see [Result.ProductShare].
//
// Rates are by the median. The floating-point operations of a pass are 2 for each weight
// and token on the way forward and 4 for a step, whose frozen weights have no gradient;
// attention and the trained matrices come for free in this count. Bytes are those of the operands, each counted once.
//
// [Dry] does the same passes where nothing is computed, to count their work.
package bench

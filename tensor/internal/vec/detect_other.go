//go:build !amd64 || purego

package vec

// hasAVX2 is false without assembly, and the compiler drops the calls of the functions below.
const hasAVX2 = false

func dot(x, y *float32, n int) float32                           { return 0 }
func axpy(alpha float32, x, y *float32, n int)                   {}
func expSum(dst, src *float32, n int, shift float32) float32     { return 0 }
func scaleTo(dst, src *float32, n int, alpha float32)            {}
func add(dst, x, y *float32, n int)                              {}
func normalize(dst, x, w *float32, n int, alpha, offset float32) {}
func scoreGradient(g, p *float32, n int, mean, scale float32)    {}
func gate(out, gate, up *float32, n int)                         {}
func gateBackward(dgate, dup, dout, gate, up *float32, n int)    {}
func maximum(x *float32, n int) float32                          { return 0 }

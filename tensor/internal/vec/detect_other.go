//go:build !amd64 || purego

package vec

// hasAVX2 is false without assembly, and the compiler drops the calls of the functions below.
const hasAVX2 = false

func dot(x, y *float32, n int) float32                       { return 0 }
func axpy(alpha float32, x, y *float32, n int)               {}
func scale(alpha float32, x *float32, n int)                 {}
func expSum(dst, src *float32, n int, shift float32) float32 { return 0 }

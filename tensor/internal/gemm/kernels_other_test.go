//go:build !amd64 || purego

package gemm

// slower are kernels that this processor can run and doesn't use.
var slower map[string]*kernels

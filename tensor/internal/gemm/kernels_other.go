//go:build !amd64 || purego

package gemm

// native are the fastest kernels of this build.
var native = &plain

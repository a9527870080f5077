//go:build purego || !(amd64 || arm64)

package gemm

// native are the fastest kernels of this build.
var native = &plain

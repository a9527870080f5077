//go:build !purego

package gemm

// slower are kernels that this processor can run and doesn't use.
var slower = map[string]*kernels{}

func init() {
	if native == &avx512 {
		slower["avx2"] = &avx2
	}
}

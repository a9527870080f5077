//go:build !amd64 || purego

package quant

// Without assembly nothing is unpacked ahead of the portable loop.
func (f *Format) unpackVector([]float32, []byte, int) bool { return false }

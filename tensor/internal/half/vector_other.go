//go:build !amd64 || purego

package half

// Without assembly no leading elements are converted ahead of the scalar loops.

func f16ToF32Vector([]float32, []uint16) int  { return 0 }
func f32ToF16Vector([]uint16, []float32) int  { return 0 }
func bf16ToF32Vector([]float32, []uint16) int { return 0 }
func f32ToBF16Vector([]uint16, []float32) int { return 0 }

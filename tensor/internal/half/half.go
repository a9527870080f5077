package half

// F16ToF32 sets dst to the values of the f16 elements of src.
func F16ToF32(dst []float32, src []uint16) {
	n := min(len(dst), len(src))
	dst, src = dst[:n], src[:n]
	for i := f16ToF32Vector(dst, src); i < n; i++ {
		dst[i] = FromF16(src[i])
	}
}

// F32ToF16 sets dst to the elements of src rounded to f16.
func F32ToF16(dst []uint16, src []float32) {
	n := min(len(dst), len(src))
	dst, src = dst[:n], src[:n]
	for i := f32ToF16Vector(dst, src); i < n; i++ {
		dst[i] = ToF16(src[i])
	}
}

// BF16ToF32 sets dst to the values of the bf16 elements of src.
func BF16ToF32(dst []float32, src []uint16) {
	n := min(len(dst), len(src))
	dst, src = dst[:n], src[:n]
	for i := bf16ToF32Vector(dst, src); i < n; i++ {
		dst[i] = FromBF16(src[i])
	}
}

// F32ToBF16 sets dst to the elements of src rounded to bf16.
func F32ToBF16(dst []uint16, src []float32) {
	n := min(len(dst), len(src))
	dst, src = dst[:n], src[:n]
	for i := f32ToBF16Vector(dst, src); i < n; i++ {
		dst[i] = ToBF16(src[i])
	}
}

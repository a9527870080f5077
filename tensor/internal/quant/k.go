package quant

// ggml's k-quants: super-blocks of 256 values, in sub-blocks that have small integer scales.
//
//	Q4_K  d f16, dmin f16, scales[12], nibbles[128]             8 sub-blocks of 32: d·sc·n − dmin·mn
//	Q5_K  d f16, dmin f16, scales[12], bits[32], nibbles[128]   the same, n with its fifth bit
//	Q6_K  low nibbles[128], high bits[64], sc int8[16], d f16   16 sub-blocks of 16: d·sc·(n−32)
//
// In Q4_K and Q5_K, sub-blocks 2k and 2k+1 are the low and high nibbles of bytes 32k to 32k+31, and bit j of
// bits[l] belongs to value l of sub-block j.

// scaleMin reads the 6-bit scale and minimum of sub-block j from the 12 bytes that hold eight of each.
func scaleMin(s []byte, j int) (scale, minimum float32) {
	if j < 4 {
		return float32(s[j] & 63), float32(s[j+4] & 63)
	}
	return float32(s[j+4]&15 | s[j-4]>>6<<4), float32(s[j+4]>>4 | s[j]>>6<<4)
}

func unpackQ4_K(v []float32, b []byte) {
	d, dmin := f16(b), f16(b[2:])
	for j := range 8 {
		sc, mn := scaleMin(b[4:], j)
		scale, minimum := d*sc, dmin*mn
		for l, q := range b[16+j/2*32:][:32] {
			v[32*j+l] = scale*float32(q>>(j%2*4)&15) - minimum
		}
	}
}

func unpackQ5_K(v []float32, b []byte) {
	d, dmin, fifth := f16(b), f16(b[2:]), b[16:48]
	for j := range 8 {
		sc, mn := scaleMin(b[4:], j)
		scale, minimum := d*sc, dmin*mn
		for l, q := range b[48+j/2*32:][:32] {
			v[32*j+l] = scale*float32(q>>(j%2*4)&15|fifth[l]>>j&1<<4) - minimum
		}
	}
}

func unpackQ6_K(v []float32, b []byte) {
	low, high, scales, d := b[:128], b[128:192], b[192:208], f16(b[208:])
	for i := range v {
		n, k, l := i/128, i%128/32, i%32 // half, quarter of it, value of that
		nibble := low[64*n+k%2*32+l] >> (k / 2 * 4) & 15
		bits := high[32*n+l] >> (2 * k) & 3
		scale := d * float32(int8(scales[8*n+2*k+l/16]))
		v[i] = scale * float32(int(nibble|bits<<4)-32)
	}
}

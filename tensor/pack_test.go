package tensor_test

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/tensor"
)

var floatTypes = []tensor.DType{
	tensor.F32, tensor.F16, tensor.BF16, tensor.Q8_0, tensor.Q4_0, tensor.Q4_1, tensor.Q5_0,
	tensor.Q5_1, tensor.Q4_K, tensor.Q5_K, tensor.Q6_K, tensor.NF4, tensor.FP4,
}

// TestPackAppends packs and unpacks behind what is there, whatever the length.
func TestPackAppends(t *testing.T) {
	for _, dt := range floatTypes {
		block := dt.Block()
		for _, n := range []int{0, 1, block - 1, block, block + 1, 2*block + 5} {
			values := make([]float32, n)
			for i := range values {
				values[i] = float32(i%16)/8 - 1
			}
			whole := n / block * block
			data := tensor.Pack([]byte{1, 2, 3}, dt, values)
			if len(data) != 3+int(dt.Bytes(whole)) || !bytes.Equal(data[:3], []byte{1, 2, 3}) {
				t.Fatalf("%v: %d values in %d bytes, the first %v", dt, n, len(data)-3, data[:3])
			}
			got := tensor.Unpack([]float32{7}, dt, data[3:])
			if len(got) != 1+whole || got[0] != 7 {
				t.Fatalf("%v: %d values come back as %d after %v", dt, n, len(got)-1, got[0])
			}
			for i, v := range got[1:] {
				if math.Abs(float64(v-values[i])) > 0.16 { // half of FP4's widest gap
					t.Errorf("%v: value %d of %d, %v, comes back as %v", dt, i, n, values[i], v)
				}
			}
			odd := tensor.Unpack(nil, dt, append(data[3:], 0))
			if !slices.Equal(odd, got[1:]) {
				t.Errorf("%v: a byte more makes %d values of %d", dt, len(odd), whole)
			}
		}
	}
	for _, dt := range []tensor.DType{tensor.I32, 77} {
		if data, values := tensor.Pack(nil, dt, []float32{1}), tensor.Unpack(nil, dt, make([]byte, 64)); data != nil || values != nil {
			t.Errorf("%v is packed to %v and unpacked to %v", dt, data, values)
		}
	}
}

func TestParseDType(t *testing.T) {
	for _, dt := range append([]tensor.DType{tensor.I32}, floatTypes...) {
		if got, err := tensor.ParseDType(dt.String()); got != dt || err != nil {
			t.Errorf("%v is read as %v, %v", dt, got, err)
		}
	}
	for _, name := range []string{"", "F32", "q4", "dtype(77)"} {
		if got, err := tensor.ParseDType(name); !errors.Is(err, tensor.ErrType) || !strings.Contains(err.Error(), "q4_0") {
			t.Errorf("%q is read as %v, %v", name, got, err)
		}
	}
}

func TestNestedScales(t *testing.T) {
	code := make([]float32, 256)
	code[3], code[255] = 0.5, 1
	got, err := tensor.NestedScales([]byte{3, 255, 255}, code, []float32{2, 8}, 2, 0.25)
	if want := []float32{1.25, 2.25, 8.25}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	for _, bad := range []struct {
		name         string
		code, scales []float32
		block        int
	}{
		{"no blocks", code, []float32{1}, 0},
		{"short code", code[:255], []float32{1, 2}, 2},
		{"few scales", code, []float32{1}, 2},
		{"many scales", code, []float32{1, 2, 3}, 2},
	} {
		if _, err := tensor.NestedScales([]byte{3, 255, 255}, bad.code, bad.scales, bad.block, 0); !errors.Is(err, tensor.ErrFormat) {
			t.Errorf("%s: %v", bad.name, err)
		}
	}
}

package tensor

import (
	"fmt"
	"strings"

	"github.com/gpupeft/gpupeft/tensor/internal/quant"
)

// DType is the element type of a tensor as it is stored.
type DType uint8

// The element types. Arithmetic is done in float32 whatever the storage. All but
// F32 and I32 are for weights only. The quantized types store whole blocks of a
// row's values; Q8_0 to Q6_K are laid out as in GGUF files.
const (
	F32  DType = iota // IEEE 754 binary32
	F16               // IEEE 754 binary16
	BF16              // the upper half of a binary32
	I32               // indices
	Q8_0              // blocks of 32: an 8-bit integer times a binary16 scale
	Q4_0              // blocks of 32: 4 bits, scale
	Q4_1              // blocks of 32: 4 bits, scale and minimum
	Q5_0              // blocks of 32: 5 bits, scale
	Q5_1              // blocks of 32: 5 bits, scale and minimum
	Q4_K              // blocks of 256: 4 bits, scales and minima of 6 bits for each 32
	Q5_K              // blocks of 256: 5 bits, scales and minima of 6 bits for each 32
	Q6_K              // blocks of 256: 6 bits, scales of 8 bits for each 16
	NF4               // blocks of 64: a binary32 scale, then indices into QLoRA's NormalFloat codebook
	FP4               // blocks of 64: a binary32 scale, then 4-bit floats as bitsandbytes has them
)

// dtypeInfo describes a storage type: block values fill bytes bytes.
var dtypeInfo = [...]struct {
	name         string
	block, bytes int
	quant        *quant.Format // nil: not quantized
}{
	F32:  {"f32", 1, 4, nil},
	F16:  {"f16", 1, 2, nil},
	BF16: {"bf16", 1, 2, nil},
	I32:  {"i32", 1, 4, nil},
	Q8_0: {"q8_0", quant.Q8_0.Block, quant.Q8_0.Bytes, &quant.Q8_0},
	Q4_0: {"q4_0", quant.Q4_0.Block, quant.Q4_0.Bytes, &quant.Q4_0},
	Q4_1: {"q4_1", quant.Q4_1.Block, quant.Q4_1.Bytes, &quant.Q4_1},
	Q5_0: {"q5_0", quant.Q5_0.Block, quant.Q5_0.Bytes, &quant.Q5_0},
	Q5_1: {"q5_1", quant.Q5_1.Block, quant.Q5_1.Bytes, &quant.Q5_1},
	Q4_K: {"q4_k", quant.Q4_K.Block, quant.Q4_K.Bytes, &quant.Q4_K},
	Q5_K: {"q5_k", quant.Q5_K.Block, quant.Q5_K.Bytes, &quant.Q5_K},
	Q6_K: {"q6_k", quant.Q6_K.Block, quant.Q6_K.Bytes, &quant.Q6_K},
	NF4:  {"nf4", quant.NF4.Block, quant.NF4.Bytes, &quant.NF4},
	FP4:  {"fp4", quant.FP4.Block, quant.FP4.Bytes, &quant.FP4},
}

// String gives the lower-case name used on the command line and in messages.
func (d DType) String() string {
	if int(d) >= len(dtypeInfo) {
		return fmt.Sprintf("dtype(%d)", uint8(d))
	}
	return dtypeInfo[d].name
}

// ParseDType is the inverse of String. Errors wrap ErrType and list the names.
func ParseDType(name string) (DType, error) {
	var names []string
	for i, info := range dtypeInfo {
		if info.name == name {
			return DType(i), nil
		}
		names = append(names, info.name)
	}
	return 0, fmt.Errorf("element type %q is none of %s: %w", name, strings.Join(names, ", "), ErrType)
}

// Valid says whether d is one of the declared types.
func (d DType) Valid() bool { return int(d) < len(dtypeInfo) }

// Quantized says whether d stores blocks of values that share a scale.
func (d DType) Quantized() bool { return d.quant() != nil }

func (d DType) quant() *quant.Format {
	if !d.Valid() {
		return nil
	}
	return dtypeInfo[d].quant
}

// Bytes returns how many bytes n values take. n must be a multiple of Block.
func (d DType) Bytes(n int) int64 {
	return int64(n/dtypeInfo[d].block) * int64(dtypeInfo[d].bytes)
}

// Block returns how many neighbouring values of a row are stored as one unit. Rows
// are made of whole units.
func (d DType) Block() int { return dtypeInfo[d].block }

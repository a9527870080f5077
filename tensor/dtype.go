package tensor

import "fmt"

// DType is the element type of a tensor as it is stored.
type DType uint8

// The element types. Arithmetic is done in float32 whatever the storage.
const (
	F32  DType = iota // IEEE 754 binary32
	F16               // IEEE 754 binary16, weights only
	BF16              // the upper half of a binary32, weights only
	I32               // indices
)

// dtypeInfo describes a storage type: block values fill bytes bytes.
var dtypeInfo = [...]struct {
	name         string
	block, bytes int
}{
	F32:  {"f32", 1, 4},
	F16:  {"f16", 1, 2},
	BF16: {"bf16", 1, 2},
	I32:  {"i32", 1, 4},
}

// String gives the lower-case name used on the command line and in messages.
func (d DType) String() string {
	if int(d) >= len(dtypeInfo) {
		return fmt.Sprintf("dtype(%d)", uint8(d))
	}
	return dtypeInfo[d].name
}

// Valid says whether d is one of the declared types.
func (d DType) Valid() bool { return int(d) < len(dtypeInfo) }

// Bytes returns how many bytes n values take. n must be a multiple of Block.
func (d DType) Bytes(n int) int64 {
	return int64(n/dtypeInfo[d].block) * int64(dtypeInfo[d].bytes)
}

// Block returns how many neighbouring values of a row are stored as one unit.
func (d DType) Block() int { return dtypeInfo[d].block }

package gguf

import (
	"fmt"

	"github.com/gpupeft/gpupeft/tensor"
)

// The numbers of ggml's tensor types that a [tensor.DType] stands for.
var typeNumbers = map[tensor.DType]uint32{
	tensor.F32: 0, tensor.F16: 1, tensor.Q4_0: 2, tensor.Q4_1: 3, tensor.Q5_0: 6, tensor.Q5_1: 7, tensor.Q8_0: 8,
	tensor.Q4_K: 12, tensor.Q5_K: 13, tensor.Q6_K: 14, tensor.BF16: 30,
}

// otherTypes are the names of those that can't be read.
var otherTypes = map[uint32]string{
	9: "q8_1", 10: "q2_k", 11: "q3_k", 15: "q8_k", 16: "iq2_xxs", 17: "iq2_xs", 18: "iq3_xxs", 19: "iq1_s", 20: "iq4_nl", 21: "iq3_s",
	22: "iq2_s", 23: "iq4_xs", 24: "i8", 25: "i16", 26: "i32", 27: "i64", 28: "f64", 29: "iq1_m", 34: "tq1_0", 35: "tq2_0", 39: "mxfp4",
}

// typeOf returns the type of a number, or an error with its name.
func typeOf(number uint32) (tensor.DType, error) {
	for dt, n := range typeNumbers {
		if n == number {
			return dt, nil
		}
	}
	const known = "known: f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q4_k, q5_k, q6_k"
	if name, ok := otherTypes[number]; ok {
		return 0, fmt.Errorf("type %s (%s): %w", name, known, tensor.ErrUnsupported)
	}
	return 0, fmt.Errorf("type number %d (%s): %w", number, known, tensor.ErrFormat)
}

// valueType is the type of a metadata value.
type valueType uint32

const (
	typeUint8 valueType = iota
	typeInt8
	typeUint16
	typeInt16
	typeUint32
	typeInt32
	typeFloat32
	typeBool
	typeString
	typeArray
	typeUint64
	typeInt64
	typeFloat64
	numValueTypes
)

// valueBytes is the size of a value, or the least that one can have.
var valueBytes = [numValueTypes]int64{
	typeUint8: 1, typeInt8: 1, typeUint16: 2, typeInt16: 2, typeUint32: 4, typeInt32: 4, typeFloat32: 4, typeBool: 1,
	typeString: 8, typeArray: 12, typeUint64: 8, typeInt64: 8, typeFloat64: 8,
}

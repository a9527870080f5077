package transformer

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/safetensors"
)

// WriteSafetensors writes all tensors as one model.safetensors. Matrices of type NF4
// or FP4 are written as bitsandbytes and transformers do; other quantized types give
// ErrUnsupported: HF has no form for them.
func (c *Checkpoint) WriteSafetensors(w io.Writer) error {
	names := map[tensor.DType]string{tensor.F32: "F32", tensor.F16: "F16", tensor.BF16: "BF16"}
	var tensors []safetensors.Tensor
	for _, name := range c.Names() {
		s := c.tensors[name]
		switch dt, plain := names[s.DType]; {
		case s.refuse != nil:
			return fmt.Errorf("tensor %q: %w", name, s.refuse)
		case plain:
			tensors = append(tensors, safetensors.Tensor{
				Name: name, DType: dt, Shape: s.Shape,
				Stream: func(w io.Writer) error { return s.write(w, func(piece []byte) []byte { return piece }) },
			})
		case s.DType == tensor.NF4 || s.DType == tensor.FP4:
			tensors = append(tensors, bnbParts(name, s)...)
		default:
			return fmt.Errorf("tensor %q: %v in a safetensors file (known: f32, f16, bf16, nf4, fp4): %w", name, s.DType, ErrUnsupported)
		}
	}
	return safetensors.Write(w, map[string]string{"format": "pt"}, tensors)
}

// bnbParts are the tensors that a matrix is stored in; see checkpoint_bnb.go.
func bnbParts(name string, s Stored) []safetensors.Tensor {
	kind, blockBytes := s.DType.String(), int(s.DType.Bytes(bnbBlock))
	n := s.Shape[0] * s.Shape[1]
	// part takes bytes [lo, hi) of each block.
	part := func(lo, hi int) func(io.Writer) error {
		return func(w io.Writer) error {
			return s.write(w, func(piece []byte) []byte {
				kept := piece[:0]
				for at := 0; at < len(piece); at += blockBytes {
					kept = append(kept, piece[at+lo:at+hi]...)
				}
				return kept
			})
		}
	}
	codes := tensor.Pack(nil, tensor.F32, codebook(s.DType))
	state, _ := json.Marshal(map[string]any{ // names and numbers: never fails
		"quant_type": kind, "blocksize": bnbBlock, "dtype": "float32", "shape": s.Shape,
	})
	return []safetensors.Tensor{
		{Name: name, DType: "U8", Shape: []int{n / 2, 1}, Stream: part(4, blockBytes)},
		{Name: name + ".absmax", DType: "F32", Shape: []int{n / bnbBlock}, Stream: part(0, 4)},
		{Name: name + ".quant_map", DType: "F32", Shape: []int{16}, Data: codes},
		{Name: name + bnbState + kind, DType: "U8", Shape: []int{len(state)}, Data: state},
	}
}

package transformer

import (
	"errors"
	"fmt"

	"github.com/gpupeft/gpupeft/tensor"
)

// smaller are the types that stand in for those whose blocks are wider than a row, as in
// llama.cpp.
var smaller = map[tensor.DType]tensor.DType{tensor.Q4_K: tensor.Q5_0, tensor.Q5_K: tensor.Q5_1, tensor.Q6_K: tensor.Q8_0}

// Quantized returns the checkpoint with its matrices packed when they are read. The
// embedding and output matrices, which matter most, become Q8_0, or with NF4 and FP4 stay
// as they are, as in HF's load_in_4bit. Matrices that are packed already give
// ErrUnsupported: to pack them again would lose more than was asked for. With a float
// type all matrices become that.
func (c *Checkpoint) Quantized(dt tensor.DType) (*Checkpoint, error) {
	packed := map[string]Stored{}
	var errs []error
	for name, s := range c.tensors {
		if len(s.Shape) != 2 || s.refuse != nil {
			continue
		}
		to, err := targetType(name, s, dt)
		if err != nil {
			errs = append(errs, fmt.Errorf("tensor %q: %w", name, err))
		}
		packed[name] = s.As(to)
	}
	return c.With(packed), errors.Join(errs...)
}

// targetType returns what a matrix becomes where dt is asked for.
func targetType(name string, s Stored, dt tensor.DType) (tensor.DType, error) {
	if !dt.Quantized() {
		return dt, nil
	}
	if name == embedName || name == unembedName {
		if dt == tensor.NF4 || dt == tensor.FP4 {
			return s.DType, nil
		}
		dt = tensor.Q8_0
	}
	row := s.Shape[1]
	if to, ok := smaller[dt]; ok && row%dt.Block() != 0 {
		dt = to
	}
	switch {
	case s.DType.Quantized():
		return dt, fmt.Errorf("it is %v already, and would lose more as %v: %w", s.DType, dt, ErrUnsupported)
	case row%dt.Block() != 0:
		return dt, fmt.Errorf("rows of %d are no whole blocks of %d, as %v needs: %w", row, dt.Block(), dt, ErrUnsupported)
	}
	return dt, nil
}

package peft

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// Merge returns the checkpoint that a method was trained on with the method worked
// into its matrices, in float32: for LoRA, W + s·B·A (as PEFT's merge_and_unload).
// Tensors that the method doesn't touch stay as they are stored. They are all read
// from c, which must stay open. A method that isn't a change of matrices, such as a
// soft prompt, gives ErrConfig.
func Merge(ctx context.Context, c *transformer.Checkpoint, m Method) (*transformer.Checkpoint, error) {
	updates, err := m.updates(ctx)
	if err != nil {
		return nil, err
	}
	merged := map[string]transformer.Stored{}
	for name, u := range updates {
		s, ok := c.Tensor(name)
		if !ok {
			return nil, fmt.Errorf("the checkpoint has no %s: %w", name, ErrMismatch)
		}
		merged[name] = updated(s.As(tensor.F32), u)
	}
	return c.With(merged), nil
}

// update changes row r of a weight; that of a vector has one row.
type update func(r int, row []float32)

// updated is a float32 tensor whose rows are changed when they are read.
func updated(s transformer.Stored, u update) transformer.Stored {
	read := s.Rows
	s.Rows = func(dst []byte, lo, hi int) error {
		if err := read(dst, lo, hi); err != nil {
			return err
		}
		size := len(dst) / (hi - lo)
		row := make([]float32, size/4)
		for r := lo; r < hi; r++ {
			data := dst[(r-lo)*size:][:size]
			for i := range row {
				row[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
			}
			u(r, row)
			for i, v := range row {
				binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(v))
			}
		}
		return nil
	}
	return s
}

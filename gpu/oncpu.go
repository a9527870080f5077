package gpu

import (
	"context"
	"errors"

	"github.com/gpupeft/gpupeft/tensor"
)

// onCPU computes one operation on the CPU: its operands come from the GPU, and its results go back.
func (b *Backend) onCPU(ctx context.Context, o tensor.Op) (err error) {
	cpu := tensor.NewCPU(0)
	defer func() { err = errors.Join(err, cpu.Close()) }()
	type place struct {
		s    tensor.Storage
		at   int64
		size int64
	}
	copies := map[place]*tensor.Tensor{} // views of the same values are one tensor there too
	moved := tensor.Rebind(o, func(t *tensor.Tensor) *tensor.Tensor {
		s, at, e := b.storageOf(t)
		if err = errors.Join(err, e); err != nil {
			return t
		}
		key := place{s, at, t.Bytes()}
		if copies[key] == nil {
			copies[key], e = b.copyToCPU(ctx, cpu, t)
			err = errors.Join(err, e)
		}
		return copies[key]
	})
	if err != nil {
		return err
	}
	if err := cpu.Run(ctx, []tensor.Op{moved}); err != nil {
		return err
	}
	results := moved.Operands()
	for i, x := range o.Operands() {
		if x.Access == tensor.Read {
			continue
		}
		data := make([]byte, x.Tensor.Bytes())
		if err := cpu.Read(ctx, results[i].Tensor, data); err != nil {
			return err
		}
		if err := b.Write(ctx, x.Tensor, data); err != nil {
			return err
		}
	}
	return nil
}

func (b *Backend) copyToCPU(ctx context.Context, cpu *tensor.CPU, t *tensor.Tensor) (*tensor.Tensor, error) {
	c, err := cpu.New(t.Name, t.DType, t.Shape...)
	if err != nil {
		return nil, err
	}
	return c, cpu.Fill(ctx, c, func(data []byte) error { return b.Read(ctx, t, data) })
}

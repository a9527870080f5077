package gpu

import (
	"context"
	"fmt"
	"slices"

	"github.com/gpupeft/gpupeft/tensor"
)

// A recorder turns the operations of one Run into dispatches. Each operation has a
// method of the recorder, in the file that bears the operation's name; it works out
// the tasks and adds them:
//
//	// shaders/double.wgsl                             // gpu/double.go
//	// (header: see package shaders)                   type doubleConsts struct{ Threads uint32 }
//	struct Params { n: u32, factor: f32 }              type doubleParams struct {
//	@group(0) @binding(0)                                  N      uint32
//	var<storage, read_write> out: array<vec4<f32>>;        Factor float32
//	@group(0) @binding(1)                              }
//	var<storage, read> x: array<vec4<f32>>;
//	@group(0) @binding(2) var<uniform> p: Params;
//	@compute @workgroup_size(THREADS) fn forward(…) {…}
//
//	func (r *recorder) double(o tensor.Double) error {
//		n := o.X.Len()
//		return r.add(task{
//			program:  file{names: "double", entry: "forward", consts: doubleConsts{64}},
//			operands: []operand{whole(o.Out), whole(o.X)}, // in rising order of @binding
//			params:   doubleParams{uint32(n), 2},
//			groups:   r.fold(ceilDiv(n, 4*64)),
//			cost:     o.Flops(),
//			steps:    1,
//		})
//	}
//
// What the recorder sees to, so that operations need not:
//
//   - Views: an operand's binding begins at its first value, which must lie at a
//     multiple of 256 bytes, and ends at the next multiple of 16 bytes. So a kernel
//     may read whole vec4s at the end, but the values beyond Len are not its own:
//     it must not write them (they may be the next rows of the tensor).
//   - Two operands in the same buffer, one read and one written: the kernel is
//     compiled a second time with all variables read_write. For this, variables
//     that are read must be written `var<storage, read>` in WGSL.
//   - Kernels are compiled once for each value of program.
//
// What operations must see to: at most 8 storage variables, 16 KiB of workgroup
// memory and 256 invocations in a workgroup; steps ≤ MaxLoopSteps; operands beyond
// Backend.bindingSize in parts (whole gives an error for those); no dispatch above
// tuning.dispatchFlops.
type recorder struct {
	*Backend
	ds []Dispatch
	// retired are scratch buffers that grew too small while recorded dispatches
	// still use them.
	retired []*Buffer
}

// Run implements tensor.Backend.
func (b *Backend) Run(ctx context.Context, ops []tensor.Op) error {
	select {
	case b.running <- struct{}{}:
		defer func() { <-b.running }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		n := slices.IndexFunc(ops, func(o tensor.Op) bool { return slices.Contains(b.cpuOps, o.Name()) })
		if n < 0 {
			return b.run(ctx, ops)
		}
		if err := b.run(ctx, ops[:n]); err != nil {
			return err
		}
		if err := b.onCPU(ctx, ops[n]); err != nil {
			return fmt.Errorf("%s on the CPU: %w", ops[n].Name(), err)
		}
		ops = ops[n+1:]
	}
}

// run records and submits operations that are for the GPU.
func (b *Backend) run(ctx context.Context, ops []tensor.Op) error {
	r := recorder{Backend: b}
	defer r.release()
	for _, o := range ops {
		if err := ctx.Err(); err != nil { // an operation may have compiled a kernel
			return err
		}
		if err := r.op(o); err != nil {
			return fmt.Errorf("%s: %w", o.Name(), backendError(err))
		}
	}
	if err := b.dev.Run(ctx, r.ds...); err != nil {
		return backendError(err)
	}
	b.note(r.ds)
	return nil
}

// op records one operation. This is the list of what the backend can do.
func (r *recorder) op(o tensor.Op) error {
	switch o := o.(type) {
	case tensor.MatMul:
		return r.matmul(o)
	case tensor.MatMulDX:
		return r.matmulDX(o)
	case tensor.MatMulDW:
		return r.matmulDW(o)
	case tensor.Add:
		return r.addition(o)
	case tensor.Scale:
		return r.scale(o)
	case tensor.Edit:
		return r.edit(o)
	case tensor.Fill:
		return r.fill(o)
	case tensor.DivRoot:
		return r.divRoot(o)
	case tensor.Dropout:
		return r.dropout(o)
	case tensor.ColumnScale:
		return r.columnScale(o)
	case tensor.ColumnSums:
		return r.columnSums(o)
	case tensor.LSTM:
		return r.lstm(o)
	case tensor.LSTMBackward:
		return r.lstmBackward(o)
	case tensor.SoftCap:
		return r.softcap(o)
	case tensor.SoftCapBackward:
		return r.softcapBackward(o)
	case tensor.Embed:
		return r.embed(o)
	case tensor.EmbedBackward:
		return r.embedBackward(o)
	case tensor.Gather:
		return r.gather(o)
	case tensor.Copy:
		return r.copyRows(o)
	case tensor.AdamW:
		return r.adamw(o)
	case tensor.AdamW8:
		return r.adamw8(o)
	case tensor.Adafactor:
		return r.adafactor(o)
	case tensor.Lion:
		return r.lion(o)
	case tensor.SGD:
		return r.sgd(o)
	case tensor.SumSquares:
		return r.sumSquares(o)
	case tensor.ClipNorm:
		return r.clipNorm(o)
	case tensor.RMSNorm:
		return r.rmsnorm(o)
	case tensor.RMSNormDX:
		return r.rmsnormDX(o)
	case tensor.RMSNormDW:
		return r.rmsnormDW(o)
	case tensor.RMS:
		return r.rms(o)
	case tensor.RMSBackward:
		return r.rmsBackward(o)
	case tensor.RowDivide:
		return r.rowDivide(o)
	case tensor.RowDivideDS:
		return r.rowDivideDS(o)
	case tensor.RoPE:
		return r.rope(o)
	case tensor.Gated:
		return r.gated(o)
	case tensor.GatedBackward:
		return r.gatedBackward(o)
	case tensor.AttentionFeatures:
		return r.attentionFeatures(o)
	case tensor.Softmax:
		return r.softmax(o)
	case tensor.SoftmaxBackward:
		return r.softmaxBackward(o)
	case tensor.Attention:
		return r.attention(o)
	case tensor.AttentionBackward:
		return r.attentionBackward(o)
	case tensor.AttentionScores:
		return r.attentionScores(o)
	case tensor.AttentionScoresBackward:
		return r.attentionScoresBackward(o)
	case tensor.AttentionMix:
		return r.attentionMix(o)
	case tensor.AttentionMixBackward:
		return r.attentionMixBackward(o)
	case tensor.CrossEntropy:
		return r.crossEntropy(o)
	case tensor.CrossEntropyBackward:
		return r.crossEntropyBackward(o)
	}
	return fmt.Errorf("%T: %w", o, tensor.ErrUnsupported)
}

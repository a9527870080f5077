package tensor

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// task runs the operations of one Run. Their tensors are pinned.
type task[T real] struct {
	vectors[T]
	workers int
	done    <-chan struct{} // closed when the caller gives up
	scratch *sync.Pool      // of *[]T

	mu  sync.Mutex
	err error
}

// borrow returns n values of scratch, which may hold anything. They are given back with scratch.Put.
func (k *task[T]) borrow(n int) *[]T {
	s, _ := k.scratch.Get().(*[]T)
	if s == nil || cap(*s) < n {
		s = new([]T)
		*s = make([]T, n)
	}
	*s = (*s)[:n]
	return s
}

// run executes one operation.
func (k *task[T]) run(o Op) error {
	switch o := o.(type) {
	case MatMul:
		k.matMul(o)
	case MatMulDX:
		k.matMulDX(o)
	case MatMulDW:
		k.matMulDW(o)
	case Embed:
		k.fail(k.embed(o))
	case EmbedBackward:
		k.fail(k.embedBackward(o))
	case Gather:
		k.fail(k.gather(o))
	case RMSNorm:
		k.rmsNorm(o)
	case RMSNormDX:
		k.rmsNormDX(o)
	case RMSNormDW:
		k.rmsNormDW(o)
	case RMS:
		k.rms(o)
	case RMSBackward:
		k.rmsBackward(o)
	case RowDivide:
		k.rowDivide(o)
	case RowDivideDS:
		k.rowDivideDS(o)
	case RoPE:
		k.fail(k.rope(o))
	case Attention:
		k.attention(o)
	case AttentionBackward:
		k.attentionBackward(o)
	case AttentionScores:
		k.attentionScores(o)
	case AttentionScoresBackward:
		k.attentionScoresBackward(o)
	case AttentionMix:
		k.attentionMix(o)
	case AttentionMixBackward:
		k.attentionMixBackward(o)
	case AttentionFeatures:
		k.attentionFeatures(o)
	case Softmax:
		k.softmax(o)
	case SoftmaxBackward:
		k.softmaxBackward(o)
	case Gated:
		k.gated(o)
	case GatedBackward:
		k.gatedBackward(o)
	case Add:
		k.add(o)
	case Scale:
		k.scale(o)
	case Edit:
		k.edit(o)
	case Fill:
		k.fill(o)
	case DivRoot:
		k.divRoot(o)
	case Dropout:
		k.dropout(o)
	case ColumnScale:
		k.columnScale(o)
	case ColumnSums:
		k.columnSums(o)
	case LSTM:
		k.lstm(o)
	case LSTMBackward:
		k.lstmBackward(o)
	case SoftCap:
		k.softCap(o)
	case SoftCapBackward:
		k.softCapBackward(o)
	case Copy:
		k.copy(o)
	case CrossEntropy:
		k.crossEntropy(o)
	case CrossEntropyBackward:
		k.crossEntropyBackward(o)
	case SumSquares:
		k.sumSquares(o)
	case ClipNorm:
		k.clipNorm(o)
	case AdamW:
		k.adamW(o)
	case AdamW8:
		k.adamW8(o)
	case Adafactor:
		k.adafactor(o)
	case Lion:
		k.lion(o)
	case SGD:
		k.sgd(o)
	default:
		return fmt.Errorf("%T: %w", o, ErrUnsupported)
	}
	return k.err
}

// fail keeps the first error of an operation's parts.
func (k *task[T]) fail(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err == nil {
		k.err = err
	}
}

// floats returns the values of an F32 operand.
func (k *task[T]) floats(t *Tensor) []T { return spanOf[T](t).values }

// ints returns the values of an I32 operand.
func (k *task[T]) ints(t *Tensor) []int32 { return spanOf[T](t).ints }

// weightRow returns a row of a weight of any float type. buf has room for it; it
// is used unless the weight is F32.
func (k *task[T]) weightRow(w *Tensor, row int, buf []T) []T {
	s := spanOf[T](w).slice(row*w.Cols(), (row+1)*w.Cols())
	if w.DType == F32 {
		return s.values
	}
	k.widen(w.DType, buf, s)
	return buf
}

// cancelled says whether the caller has given up.
func (k *task[T]) cancelled() bool {
	select {
	case <-k.done:
		return true
	default:
		return false
	}
}

// parallel calls f for ranges of at most grain that together cover [0, n), at
// once on several goroutines. The ranges depend on n and grain alone, and every
// result must be computed within one of them, so that it doesn't matter who does
// what. It returns when all calls have; after a cancellation it makes no more.
func (k *task[T]) parallel(n, grain int, f func(lo, hi int)) {
	parts := (n + grain - 1) / grain
	var next atomic.Int64
	work := func() {
		for !k.cancelled() {
			i := int(next.Add(1)) - 1
			if i >= parts {
				return
			}
			f(i*grain, min((i+1)*grain, n))
		}
	}
	var wg sync.WaitGroup
	for range min(k.workers, parts) - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
}

// grainFor returns how many items of so many floating-point operations each make
// a piece of work that is worth a goroutine's attention.
func grainFor(cost int) int {
	const enough = 1 << 16 // some 20 µs
	return max(1, enough/max(1, cost))
}

package gpu

import (
	"strings"

	"github.com/gpupeft/gpupeft/tensor"
)

// embedParams are Params of shaders/embed.wgsl.
type embedParams struct {
	N     uint32 // values of out
	Cols  uint32
	Lo    uint32 // the first row of the table that is bound …
	Hi    uint32 // … and the one after the last
	Last  uint32 // the last row of the whole table
	Scale float32
}

type embedConsts struct {
	Threads uint32
	Extra   bool // negative ids count rows of the table, others are left alone
	Split   bool // negative ids are for a second table, and left alone
}

func (r *recorder) embed(o tensor.Embed) error {
	err := r.lookUp(o, o.Table, one(o.Scale), embedConsts{Threads: elementwiseThreads, Split: o.Extra != nil})
	if err == nil && o.Extra != nil {
		err = r.lookUp(o, o.Extra, one(o.ExtraScale), embedConsts{Threads: elementwiseThreads, Extra: true})
	}
	return err
}

// lookUp fills the rows of o.Out that come from one table, in parts of both that fit
// a binding.
func (r *recorder) lookUp(o tensor.Embed, table *tensor.Tensor, scale float32, c embedConsts) error {
	rows, cols := o.Out.Rows(), o.Out.Cols()
	for lo, hi := range r.parts(rows, rows, rowBytes(o.Out), 4) {
		for first, end := range r.partsOf(table, table.Rows(), rowBytes(table)) {
			n := (hi - lo) * cols
			err := r.add(task{
				program:  file{names: strings.Join(append(weightFiles(table.DType), "embed"), "+"), entry: "forward", consts: c},
				operands: []operand{rowsOf(o.Out, lo, hi), rowsOf(table, first, end), part(o.IDs, lo, hi-lo)},
				params: embedParams{
					N: uint32(n), Cols: uint32(cols), Lo: uint32(first), Hi: uint32(end),
					Last: uint32(table.Rows() - 1), Scale: scale,
				},
				groups: r.fold(ceilDiv(n, elementwiseThreads)),
				cost:   float64(n),
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// elemConsts is the preamble of kernels that move rows element by element.
type elemConsts struct {
	Elem    alias
	Threads uint32
}

// embedBackwardParams are Params of shaders/embed_backward.wgsl.
type embedBackwardParams struct {
	Rows       uint32 // of the table, bound here
	First      uint32 // the number of the first of them
	Cols       uint32 // elements in a row
	N          uint32 // tokens
	Blocks     uint32 // workgroups for one row
	Extra      uint32
	Scale      float32
	Accumulate uint32
}

// maxTokens bounds the tokens of one dispatch of embed.backward: every invocation
// goes over all of them, and a workgroup once more.
const maxTokens = 48_000

func (r *recorder) embedBackward(o tensor.EmbedBackward) error {
	kind, width := elem(o.DTable.Cols())
	wg, cols := r.tune.rowThreads, o.DTable.Cols()/width
	blocks := ceilDiv(cols, int(wg))
	tokens := o.IDs.Len()
	for first, end := range r.parts(o.DTable.Rows(), o.DTable.Rows(), rowBytes(o.DTable)) {
		for lo, hi := range r.parts(tokens, maxTokens, rowBytes(o.DOut), 4) {
			err := r.add(task{
				program:  file{names: "embed_backward", entry: "backward", consts: elemConsts{kind, wg}},
				operands: []operand{rowsOf(o.DTable, first, end), rowsOf(o.DOut, lo, hi), part(o.IDs, lo, hi-lo)},
				params: embedBackwardParams{
					Rows: uint32(end - first), First: uint32(first), Cols: uint32(cols), N: uint32(hi - lo),
					Blocks: uint32(blocks), Extra: flag(o.Extra), Scale: one(o.Scale), Accumulate: flag(o.Add || lo > 0),
				},
				groups: r.fold((end - first) * blocks),
				cost:   float64(end-first)*float64(hi-lo) + float64((hi-lo)*o.DOut.Cols()),
				steps:  (hi - lo) + ceilDiv(hi-lo, int(wg)),
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// gatherParams are Params of shaders/gather.wgsl.
type gatherParams struct {
	N    uint32 // elements of out
	Cols uint32 // elements in a row
	Lo   uint32 // the first row of x that is bound …
	Hi   uint32 // … and the one after the last
	Last uint32 // the last row of x
}

func (r *recorder) gather(o tensor.Gather) error {
	kind, width := elem(o.Out.Cols())
	cols, rows := o.Out.Cols()/width, o.Out.Rows()
	for lo, hi := range r.parts(rows, rows, rowBytes(o.Out), 4) {
		for first, end := range r.parts(o.X.Rows(), o.X.Rows(), rowBytes(o.X)) {
			n := (hi - lo) * cols
			err := r.add(task{
				program:  file{names: "gather", entry: "forward", consts: elemConsts{kind, elementwiseThreads}},
				operands: []operand{rowsOf(o.Out, lo, hi), rowsOf(o.X, first, end), part(o.Rows, lo, hi-lo)},
				params: gatherParams{
					N: uint32(n), Cols: uint32(cols), Lo: uint32(first), Hi: uint32(end),
					Last: uint32(o.X.Rows() - 1),
				},
				groups: r.fold(ceilDiv(n, elementwiseThreads)),
				cost:   float64(n * width),
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

package gpu

import "github.com/gpupeft/gpupeft/tensor"

// columnStrip is STRIP of shaders/columns.wgsl.
const columnStrip = 8

type columnsConsts struct {
	Elem   alias
	Height uint32
}

// columnsParams are Params of shaders/columns.wgsl.
type columnsParams struct {
	Rows, Cols uint32
	Accumulate uint32
}

// columns is an entry point for rows of cols values, and its number of rows at a time.
func (r *recorder) columns(entry string, cols int) (file, int) {
	kind, _ := elem(cols)
	height := int(r.tune.rowThreads) / columnStrip
	return file{names: "columns", entry: entry, consts: columnsConsts{kind, uint32(height)}}, height
}

func (r *recorder) columnScale(o tensor.ColumnScale) error {
	n, d := o.X.Rows(), o.X.Cols()
	program, height := r.columns("scale", d)
	for lo, hi := range r.parts(n, n, rowBytes(o.X)) {
		err := r.add(task{
			program:  program,
			operands: []operand{rowsOf(o.Out, lo, hi), rowsOf(o.X, lo, hi), whole(o.S)},
			params:   columnsParams{uint32(hi - lo), uint32(elems(d)), flag(o.Add)},
			groups:   r.fold(ceilDiv((hi-lo)*elems(d), columnStrip*height)),
			cost:     workOf(o.Flops(), lo, hi, n),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *recorder) columnSums(o tensor.ColumnSums) error {
	n, d := o.A.Rows(), o.A.Cols()
	entry := "sums"
	if o.B == nil {
		entry = "sums_alone"
	}
	program, height := r.columns(entry, d)
	most := min(n, height*(MaxLoopSteps-height)/2)
	for lo, hi := range r.parts(n, most, rowBytes(o.A)) {
		t := task{
			program:  program,
			operands: []operand{whole(o.Out), rowsOf(o.A, lo, hi)},
			params:   columnsParams{uint32(hi - lo), uint32(elems(d)), flag(o.Add || lo > 0)},
			groups:   r.fold(ceilDiv(elems(d), columnStrip)),
			cost:     workOf(o.Flops(), lo, hi, n),
			steps:    ceilDiv(hi-lo, height) + height,
		}
		if o.B != nil {
			t.operands = append(t.operands, rowsOf(o.B, lo, hi))
		}
		if err := r.add(t); err != nil {
			return err
		}
	}
	return nil
}

package peft

import (
	"fmt"
	"math/rand/v2"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// MultitaskConfig is multitask prompt tuning (Wang et al. 2023, arXiv 2303.02861): one
// prompt E for all tasks, and for each task t a matrix of low rank that it is
// multiplied by, value by value:
//
//	P_t = E ⊙ (C_t·R_t)        C_t [n, Ranks], R_t [Ranks, D]
//
// transformer.Batch says the task of each sequence.
type MultitaskConfig struct {
	Tokens int `json:"num_virtual_tokens"` // 0 means 20
	Tasks  int `json:"num_tasks"`          // 0 means 1
	Ranks  int `json:"num_ranks"`          // 0 means 1
	baseShape

	Init PromptInit `json:"-"` // of E; "" means InitVocab
	Text []int32    `json:"-"` // the tokens of the text, for InitText
	Seed uint64     `json:"-"`
}

// Name implements Config.
func (c MultitaskConfig) Name() string { return "mpt" }

func (c MultitaskConfig) complete() error { return completeTokens(c.Tokens) }

// PEFT's names of C and R.
const (
	taskCols = "prefix_task_cols"
	taskRows = "prefix_task_rows"
)

func (c MultitaskConfig) design(m *transformer.Model) (*design, error) {
	if c.Tokens == 0 {
		c.Tokens = defaultTokens
	}
	c.Tasks, c.Ranks = max(c.Tasks, 1), max(c.Ranks, 1)
	if err := checkTokens(m, c.Tokens); err != nil {
		return nil, err
	}
	if c.Tasks > 1<<16 || c.Ranks > m.Config.Hidden {
		return nil, fmt.Errorf("%d tasks, rank %d for a model of width %d: %w", c.Tasks, c.Ranks, m.Config.Hidden, ErrConfig)
	}
	c.baseShape = shapeOf(m)
	init, err := c.Init.values(m, c.Tokens, c.Text, c.Seed)
	if err != nil {
		return nil, err
	}
	rng, d := rand.New(rand.NewPCG(c.Seed, 5)), m.Config.Hidden
	return &design{
		config: c, tokens: c.Tokens,
		specs: []spec{
			{name: promptName, shape: []int{c.Tokens, d}, init: init},
			{name: taskCols, shape: []int{c.Tasks, c.Tokens, c.Ranks}, init: normal(rng, 0.02)},
			{name: taskRows, shape: []int{c.Tasks, c.Ranks, d}, init: normal(rng, 0.02)},
		},
		attach: func(m *method, s *scratch) *transformer.Attachment {
			x := newTaskPrompts(c, m, s)
			return &transformer.Attachment{
				Begin: x.forward, End: x.backward,
				Prompt: &transformer.Prompt{Rows: x.rows, DRows: x.drows, Tokens: c.Tokens},
			}
		},
	}, nil
}

// taskPrompts computes the prompts of all tasks in one run.
type taskPrompts struct {
	MultitaskConfig
	shared, cols, rowsOf Param
	rows, drows          *tensor.Tensor // [tasks·n, D]
	col, dcol            *tensor.Tensor // [n, ranks], of one task
	row, drow            *tensor.Tensor // [ranks, D]
	product, dproduct    *tensor.Tensor // [n, D], col·row
	prompt, dshared      *tensor.Tensor // [n, D]
}

func newTaskPrompts(c MultitaskConfig, m *method, s *scratch) *taskPrompts {
	x := &taskPrompts{MultitaskConfig: c, shared: m.param(promptName), cols: m.param(taskCols), rowsOf: m.param(taskRows)}
	n, r, d := c.Tokens, c.Ranks, m.model.Config.Hidden
	x.rows, x.col, x.row = s.new("mpt.rows", c.Tasks*n, d), s.new("mpt.col", n, r), s.new("mpt.row", r, d)
	x.product, x.prompt = s.new("mpt.product", n, d), s.new("mpt.prompt", n, d)
	if s.run.Trains() {
		x.drows, x.dcol, x.drow = s.new("mpt.drows", c.Tasks*n, d), s.new("mpt.dcol", n, r), s.new("mpt.drow", r, d)
		x.dproduct, x.dshared = s.new("mpt.dproduct", n, d), s.new("mpt.dshared", n, d)
	}
	return x
}

// take records the copy of a task's rows out of all tasks'.
func take(p *tensor.Pass, dst, all *tensor.Tensor, task int) {
	n := dst.Rows()
	p.Do(tensor.Copy{Dst: dst, Src: shaped(p, all, all.Len()/dst.Cols(), dst.Cols()), Batch: 1, Rows: n, SrcFirst: task * n})
}

// put is the way back, added.
func put(p *tensor.Pass, all, src *tensor.Tensor, task int) {
	n := src.Rows()
	p.Do(tensor.Copy{Dst: shaped(p, all, all.Len()/src.Cols(), src.Cols()), Src: src, Batch: 1, Rows: n, DstFirst: task * n, Add: true})
}

// multiply leaves a task's C·R in product.
func (x *taskPrompts) multiply(p *tensor.Pass, task int) {
	take(p, x.col, x.cols.Value, task)
	take(p, x.row, x.rowsOf.Value, task)
	p.Do(tensor.MatMulDX{DX: x.product, DOut: x.col, W: x.row})
}

func (x *taskPrompts) forward(p *tensor.Pass) {
	p.Do(tensor.Fill{Out: x.rows})
	for t := range x.Tasks {
		x.multiply(p, t)
		p.Do(tensor.Gated{Out: x.prompt, Gate: x.product, Up: x.shared.Value, Act: tensor.Identity})
		put(p, x.rows, x.prompt, t)
	}
}

func (x *taskPrompts) backward(p *tensor.Pass) {
	for t := range x.Tasks {
		x.multiply(p, t)
		take(p, x.prompt, x.drows, t)
		p.Do(tensor.GatedBackward{DGate: x.dproduct, DUp: x.dshared, DOut: x.prompt, Gate: x.product, Up: x.shared.Value, Act: tensor.Identity},
			tensor.MatMul{Out: x.dcol, X: x.dproduct, W: x.row},
			tensor.MatMulDW{DW: x.drow, DOut: x.col, X: x.dproduct})
		addGrad(p, x.shared, x.dshared)
		put(p, x.cols.Grad, x.dcol, t)
		put(p, x.rowsOf.Grad, x.drow, t)
	}
	p.Do(tensor.Fill{Out: x.drows}) // for the next batch
}

package tensor

import (
	"context"
	"fmt"
)

// Pass records operations and submits them to a backend. Like a bufio.Writer it
// keeps its first error: after one, Do does nothing and Submit returns it.
type Pass struct {
	backend Backend
	ops     []Op
	err     error
}

// Begin starts an empty pass.
func Begin(b Backend) *Pass { return &Pass{backend: b} }

// Backend returns the backend that the pass runs on.
func (p *Pass) Backend() Backend { return p.backend }

// Do checks operations and appends them.
func (p *Pass) Do(ops ...Op) {
	for _, o := range ops {
		if p.err != nil {
			return
		}
		if err := check(o); err != nil {
			p.err = fmt.Errorf("%s: %w", o.Name(), err)
			return
		}
		p.ops = append(p.ops, o)
	}
}

// Fail records an error as if an operation had caused it.
func (p *Pass) Fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

// Err returns the first error.
func (p *Pass) Err() error { return p.err }

// Submit hands the recorded operations to the backend and empties the pass, so
// that it can be used again. It may return before they are done.
func (p *Pass) Submit(ctx context.Context) error {
	ops, err := p.ops, p.err
	p.ops, p.err = p.ops[:0], nil
	if err != nil {
		return err
	}
	return p.backend.Run(ctx, ops)
}

// check runs an operation's own checks and those that all have in common: live
// operands, and results that don't overlap another operand.
func check(o Op) error {
	if err := o.Check(); err != nil {
		return err
	}
	operands := o.Operands()
	for i, a := range operands {
		if !a.Tensor.storage.Alive() {
			return fmt.Errorf("%s (%v): %w", a.Name, a.Tensor, ErrClosed)
		}
		for _, b := range operands[:i] {
			if (a.Access != Read || b.Access != Read) && overlap(a.Tensor, b.Tensor) {
				return fmt.Errorf("%s and %s share memory (%v, %v): %w", b.Name, a.Name, b.Tensor, a.Tensor, ErrShape)
			}
		}
	}
	return nil
}

func overlap(a, b *Tensor) bool {
	return a.storage == b.storage && a.offset < b.offset+b.Len() && b.offset < a.offset+a.Len()
}

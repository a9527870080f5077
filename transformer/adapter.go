package transformer

import (
	"fmt"

	"github.com/gpupeft/gpupeft/tensor"
)

// Adapter is a trainable change to a frozen model. Package peft implements it.
type Adapter interface {
	// Attach allocates what the adapter needs for one run and returns where it
	// plugs in.
	Attach(r *Run) (*Attachment, error)
}

// Attachment is an adapter's part in one run.
type Attachment struct {
	// Prompt is a soft prompt, addressed by negative token ids, or nil.
	Prompt *Prompt
	// Linear returns what is beside a projection, or nil.
	Linear func(layer int, p Proj) LinearAdapter
	// Close frees what Attach allocated; may be nil.
	Close func() error
}

// Prompt holds virtual tokens. Token id −1−i stands for row i.
type Prompt struct {
	Rows  *tensor.Tensor // [P, D], as they enter the residual stream
	DRows *tensor.Tensor // [P, D], to which the backward pass adds; nil: not trained
}

// LinearAdapter changes what a projection gives. N is the number of tokens of the
// step, at most the run's Capacity.
type LinearAdapter interface {
	// Forward adds to out [N, O], computed from x [N, I].
	Forward(p *tensor.Pass, out, x *tensor.Tensor)
	// Backward adds the gradient of its own parameters, given x and dout [N, O],
	// and unless dx is nil, adds the gradient of x to dx [N, I].
	Backward(p *tensor.Pass, dx, dout, x *tensor.Tensor)
}

// combined is the sum of a run's attachments.
type combined struct {
	prompt  *Prompt
	linears [][NumProj][]LinearAdapter // by layer
	lowest  int                        // the lowest layer with a LinearAdapter; len(layers): none
	close   []func() error
}

// attach plugs the adapters in, in their order.
func (r *Run) attach(adapters []Adapter) error {
	layers := len(r.model.Config.Layers)
	r.adapters = combined{linears: make([][NumProj][]LinearAdapter, layers), lowest: layers}
	c := &r.adapters
	for _, a := range adapters {
		at, err := a.Attach(r)
		if err != nil {
			return err
		}
		if at.Close != nil {
			c.close = append(c.close, at.Close)
		}
		if at.Prompt != nil {
			if c.prompt != nil {
				return fmt.Errorf("more than one soft prompt: %w", ErrUnsupported)
			}
			c.prompt = at.Prompt
		}
		if at.Linear == nil {
			continue
		}
		for l := range layers {
			for p := range NumProj {
				if la := at.Linear(l, p); la != nil {
					c.linears[l][p] = append(c.linears[l][p], la)
					c.lowest = min(c.lowest, l)
				}
			}
		}
	}
	return nil
}

// trainsPrompt says whether the gradient must reach the embeddings.
func (c *combined) trainsPrompt() bool { return c.prompt != nil && c.prompt.DRows != nil }

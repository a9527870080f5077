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

// Attachment is an adapter's part in one run: the points where it plugs in. Those that
// it doesn't use are nil. All operations are recorded into the run's passes; N is the
// number of tokens of a pass, at most the run's Capacity.
type Attachment struct {
	// Begin is recorded before the blocks, but not where a pass goes on with sequences
	// that are in the cache: what depends on parameters alone is computed there. End
	// is recorded after the backward pass.
	Begin, End func(p *tensor.Pass)
	// Prompt is a soft prompt, addressed by negative token ids.
	Prompt *Prompt
	// Prefix are keys and values in front of every sequence.
	Prefix *Prefix
	// Embed changes the embeddings.
	Embed EmbedAdapter
	// Weight returns what stands in a weight's place, by HF's name, or nil.
	Weight func(name string) *Trained
	// Linear wraps a projection. It returns base where there is nothing to change.
	Linear func(layer int, p Proj, base Linear) Linear
	// Unembed is Linear for ids [lo, hi) of the vocabulary in the output matrix.
	Unembed func(lo, hi int, base Linear) (Linear, error)
	// Attention returns what is beside a layer's attention, or nil.
	Attention func(layer int) AttentionAdapter
	// Sublayer returns what comes after a sublayer's last projection, or nil.
	Sublayer func(layer int, s Sublayer) SublayerAdapter
	// Close frees what Attach allocated.
	Close func() error
}

// Prompt holds virtual tokens. Token id −1−i stands for row i.
type Prompt struct {
	Rows  *tensor.Tensor // [tasks·Tokens, D], as they enter the residual stream
	DRows *tensor.Tensor // the same, to which the backward pass adds; nil: not trained
	// Tokens is the number of rows in front of a sequence; the sequences of task t
	// (Batch.Tasks) get rows t·Tokens to (t+1)·Tokens.
	Tokens int
}

// Prefix holds keys and values that every token of every sequence may look at, within
// its window: they stand at positions 0 to Tokens−1 and the first token after them.
// Keys are as after the rotary embedding.
type Prefix struct {
	Tokens int
	K, V   []*tensor.Tensor // by layer, [Tokens, K·h]
	DK, DV []*tensor.Tensor // the same, to which the backward pass adds; nil: not trained
}

// Trained stands in the place of a weight.
type Trained struct {
	Value *tensor.Tensor // shaped as the weight, F32
	Grad  *tensor.Tensor // to which the backward pass adds
}

// EmbedAdapter changes the embedded tokens.
type EmbedAdapter interface {
	// Forward adds to x [N, D], the stream, given ids [N]; negative ones are virtual.
	Forward(p *tensor.Pass, x, ids *tensor.Tensor)
	// Backward adds the gradient of its own parameters, given dx [N, D].
	Backward(p *tensor.Pass, dx, ids *tensor.Tensor)
}

// Linear is a projection, as the model has it or changed by adapters.
type Linear interface {
	// Forward computes out [N, O] from x [N, I].
	Forward(p *tensor.Pass, out, x *tensor.Tensor)
	// Backward adds the gradients of trained parameters, given x and dout [N, O], and
	// unless dx is nil, sets dx [N, I] to the gradient of x, or adds it.
	Backward(p *tensor.Pass, dx, dout, x *tensor.Tensor, add bool)
}

// AttentionAdapter adds to the heads' mixed values.
type AttentionAdapter interface {
	// Forward adds to z [N, H·h], given the rotated queries q [N, H·h].
	Forward(p *tensor.Pass, z, q *tensor.Tensor)
	// Backward adds the gradient of its own parameters, and to dq, given q and dz.
	Backward(p *tensor.Pass, dq, dz, q *tensor.Tensor)
}

// Sublayer is one half of a layer.
type Sublayer uint8

// The two sublayers. Each adds its output to the stream.
const (
	AttentionSublayer Sublayer = iota
	MLPSublayer
	NumSublayers
)

// SublayerAdapter changes what a sublayer's last projection gives, before it is
// normalised (Gemma 2 and 3) and added to the stream.
type SublayerAdapter interface {
	// Forward changes x [N, D]; r [N, D] is the stream before the sublayer. It keeps
	// what its backward pass needs.
	Forward(p *tensor.Pass, x, r *tensor.Tensor)
	// Backward adds the gradient of its own parameters, turns dx, the gradient of the
	// changed x, into that of x, and adds to dr what reaches r through the adapter.
	Backward(p *tensor.Pass, dx, dr, r *tensor.Tensor)
}

// combined is what a run's adapters are together.
type combined struct {
	attached  []*Attachment
	prompt    *Prompt
	prefix    *Prefix
	embeds    []EmbedAdapter
	linears   [][NumProj]Linear // by layer, the model's own among them
	attention [][]AttentionAdapter
	sublayers [][NumSublayers][]SublayerAdapter
	weights   Weights // the model's, or what stands in their place
	grads     Weights // of those in their place; nil: frozen
	lowest    int     // the lowest layer that an adapter is in; the number of layers: none
	after     bool    // some adapter comes after a sublayer
	beside    bool    // some adapter is beside attention
}

// attach plugs the adapters in, in their order.
func (r *Run) attach(adapters []Adapter) error {
	c, layers := &r.adapters, len(r.model.Config.Layers)
	c.lowest = layers
	c.linears, c.attention = make([][NumProj]Linear, layers), make([][]AttentionAdapter, layers)
	c.sublayers = make([][NumSublayers][]SublayerAdapter, layers)
	for _, a := range adapters {
		at, err := a.Attach(r)
		if err != nil {
			return err
		}
		c.attached = append(c.attached, at)
		if at.Prompt != nil && c.prompt != nil || at.Prefix != nil && c.prefix != nil {
			return fmt.Errorf("more than one soft prompt, or more than one prefix: %w", ErrUnsupported)
		}
		if at.Prompt != nil {
			c.prompt = at.Prompt
		}
		if at.Prefix != nil {
			c.prefix = at.Prefix
		}
		if at.Embed != nil {
			c.embeds = append(c.embeds, at.Embed)
		}
	}
	c.replaceWeights(r.model)
	for l := range layers {
		c.attachLayer(l)
	}
	return nil
}

// attachLayer collects what is in a layer.
func (c *combined) attachLayer(l int) {
	inside := c.prefix != nil || c.grads.Layers[l].any()
	for p := range NumProj {
		own := matrix{c.weights.Layers[l].Proj[p], c.grads.Layers[l].Proj[p]}
		c.linears[l][p] = own
		for _, at := range c.attached {
			if at.Linear != nil {
				c.linears[l][p] = at.Linear(l, p, c.linears[l][p])
			}
		}
		inside = inside || c.linears[l][p] != Linear(own)
	}
	for _, at := range c.attached {
		if at.Attention != nil {
			if a := at.Attention(l); a != nil {
				c.attention[l], inside, c.beside = append(c.attention[l], a), true, true
			}
		}
		for s := range NumSublayers {
			if at.Sublayer == nil {
				continue
			}
			if a := at.Sublayer(l, s); a != nil {
				c.sublayers[l][s], inside, c.after = append(c.sublayers[l][s], a), true, true
			}
		}
	}
	if inside {
		c.lowest = min(c.lowest, l)
	}
}

// replaceWeights finds out what stands in each weight's place. The last adapter wins.
func (c *combined) replaceWeights(m *Model) {
	c.weights, c.grads = m.Weights, newWeights(m.Config)
	c.weights.Layers = append([]Layer(nil), m.Weights.Layers...)
	trained := func(name string) *Trained {
		for i := len(c.attached) - 1; i >= 0; i-- {
			if at := c.attached[i]; at.Weight != nil {
				if t := at.Weight(name); t != nil {
					return t
				}
			}
		}
		return nil
	}
	var grads []**tensor.Tensor
	c.grads.each(m.Config, func(_ string, t **tensor.Tensor, _ []int) { grads = append(grads, t) })
	i := 0
	c.weights.each(m.Config, func(name string, t **tensor.Tensor, _ []int) {
		if w := trained(name); w != nil {
			*t, *grads[i] = w.Value, w.Grad
		}
		i++
	})
	if m.Config.Tied { // what is saved for the output alone comes apart from the embeddings
		c.weights.Unembed, c.grads.Unembed = c.weights.Embed, c.grads.Embed
		if w := trained(unembedName); w != nil {
			c.weights.Unembed, c.grads.Unembed = w.Value, w.Grad
		}
	}
}

// DirectWeights returns the weights of a run, those that adapters have put in their place
// among them. plain says that adapters change nothing else between the heads' values, the
// stream and the logits: no output projection, nothing that comes after a sublayer, and not
// the output matrix.
func (r *Run) DirectWeights() (w Weights, plain bool) {
	c := &r.adapters
	plain = !c.after
	for _, at := range c.attached {
		plain = plain && at.Unembed == nil
	}
	for _, layer := range c.linears {
		_, own := layer[OProj].(matrix)
		plain = plain && own
	}
	return c.weights, plain
}

// readInputs says whether the backward pass of a projection, in any layer, reads the
// projection's input: that of a frozen matrix doesn't.
func (c *combined) readInputs(projs ...Proj) bool {
	for _, layer := range c.linears {
		for _, p := range projs {
			if m, ok := layer[p].(matrix); !ok || m.dw != nil {
				return true
			}
		}
	}
	return false
}

// any says whether anything of a layer is there.
func (l *Layer) any() bool {
	for _, t := range l.Proj {
		if t != nil {
			return true
		}
	}
	for _, t := range []*tensor.Tensor{l.Norm1, l.Norm2, l.Norm1Post, l.Norm2Post, l.QNorm, l.KNorm} {
		if t != nil {
			return true
		}
	}
	return false
}

// trainsEmbeddings says whether the gradient must reach the embeddings.
func (c *combined) trainsEmbeddings() bool {
	return c.prompt != nil && c.prompt.DRows != nil || len(c.embeds) > 0 || c.grads.Embed != nil || c.grads.Positions != nil
}

// prefixTokens is the number of positions before the first token.
func (c *combined) prefixTokens() int {
	if c.prefix == nil {
		return 0
	}
	return c.prefix.Tokens
}

// begin and end record what the adapters do before and after the blocks.
func (c *combined) begin(p *tensor.Pass) {
	for _, at := range c.attached {
		if at.Begin != nil {
			at.Begin(p)
		}
	}
}

func (c *combined) end(p *tensor.Pass) {
	for _, at := range c.attached {
		if at.End != nil {
			at.End(p)
		}
	}
}

// matrix is a weight as a Linear, with its gradient if it is trained.
type matrix struct{ w, dw *tensor.Tensor } // [O, I]

// Forward implements Linear.
func (m matrix) Forward(p *tensor.Pass, out, x *tensor.Tensor) {
	p.Do(tensor.MatMul{Out: out, X: x, W: m.w})
}

// Backward implements Linear.
func (m matrix) Backward(p *tensor.Pass, dx, dout, x *tensor.Tensor, add bool) {
	if dx != nil {
		p.Do(tensor.MatMulDX{DX: dx, DOut: dout, W: m.w, Add: add})
	}
	if m.dw != nil {
		p.Do(tensor.MatMulDW{DW: m.dw, DOut: dout, X: x, Add: true})
	}
}

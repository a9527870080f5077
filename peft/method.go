package peft

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// Config describes a method: what to make, or what a file holds. Fields have the names
// and meanings of HF PEFT's adapter_config.json where PEFT has them.
type Config interface {
	// Name is the method's name: "lora", "prompt", …
	Name() string
	// design lays the method out for a model. The error wraps ErrConfig, ErrMismatch or
	// transformer.ErrUnsupported.
	design(m *transformer.Model) (*design, error)
}

// Method is a trainable addition to a model.
type Method interface {
	transformer.Adapter
	// Config returns the settings, with defaults filled in.
	Config() Config
	// Params are what is trained.
	Params() *Params
	// Model returns the frozen model that the method was made for.
	Model() *transformer.Model
	// VirtualTokens is the number of tokens that a soft prompt puts in front of each
	// sequence, and PrefixTokens the number of positions that a prefix takes there.
	VirtualTokens() int
	PrefixTokens() int
	// Close frees the parameters. Runs that the method is attached to must be
	// closed before.
	Close() error

	// state returns what a file holds.
	state(ctx context.Context) (*State, error)
	// updates returns what is added to each weight, by HF's names, for Merge.
	updates(ctx context.Context) (map[string]update, error)
}

// New makes a method for a model, at its starting values. Errors wrap ErrConfig,
// ErrMismatch, transformer.ErrUnsupported or the sentinels of package tensor.
func New(ctx context.Context, m *transformer.Model, c Config) (Method, error) {
	d, err := c.design(m)
	if err != nil {
		return nil, err
	}
	return d.build(ctx, m)
}

// design is a method for a model before it has memory. A method's file consists of a
// Config, whose design says what is trained and where it plugs in.
type design struct {
	config Config // with defaults filled in
	specs  []spec // what is trained
	// attach plugs the method into a run.
	attach func(m *method, s *scratch) *transformer.Attachment
	// pack turns the parameters' values into a file's tensors, and unpack turns these
	// back; nil: they are the same.
	pack   func(ctx context.Context, m *method, t tensors) (tensors, error)
	unpack func(t tensors) (tensors, error)
	// updates is Method's; nil: the method is no change of weights.
	updates func(ctx context.Context, m *method) (map[string]update, error)
	// fixed are tensors that aren't trained, made before the method's first run.
	fixed func(ctx context.Context, m *method) error
	// scalable says that attach heeds method.factor.
	scalable bool
	// tokens and positions are Method's VirtualTokens and PrefixTokens.
	tokens, positions int
}

// build allocates a method.
func (d *design) build(ctx context.Context, m *transformer.Model) (*method, error) {
	params, err := newParams(ctx, m.Backend(), d.specs)
	if err != nil {
		return nil, err
	}
	x := &method{design: d, model: m, params: params, factor: 1, byName: map[string]Param{}, owned: &scratch{backend: m.Backend()}}
	for _, p := range params.List {
		x.byName[p.Name] = p
	}
	if d.fixed != nil {
		if err := d.fixed(ctx, x); err != nil {
			return nil, errors.Join(err, x.Close())
		}
	}
	return x, nil
}

// method implements Method for all designs.
type method struct {
	*design
	model  *transformer.Model
	params *Params
	byName map[string]Param
	owned  *scratch // what fixed has made
	factor float32  // of what the method adds, see Scaled
}

// Config implements Method.
func (m *method) Config() Config { return m.config }

// Params implements Method.
func (m *method) Params() *Params { return m.params }

// Model implements Method.
func (m *method) Model() *transformer.Model { return m.model }

// VirtualTokens implements Method.
func (m *method) VirtualTokens() int { return m.tokens }

// PrefixTokens implements Method.
func (m *method) PrefixTokens() int { return m.positions }

// Close implements Method.
func (m *method) Close() error { return errors.Join(m.params.Close(), m.owned.close()) }

// Attach implements transformer.Adapter.
func (m *method) Attach(r *transformer.Run) (*transformer.Attachment, error) {
	s := &scratch{backend: m.model.Backend(), run: r}
	at := m.design.attach(m, s)
	if s.err != nil {
		return nil, errors.Join(s.err, s.close())
	}
	at.Close = s.close
	return at, nil
}

// param returns a parameter by name.
func (m *method) param(name string) Param { return m.byName[name] }

// own returns a tensor that fixed has made, or nil.
func (m *method) own(name string) *tensor.Tensor {
	for _, t := range m.owned.tensors {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// grad returns a parameter's gradient for a run, nil if that doesn't train.
func (s *scratch) grad(p Param) *tensor.Tensor {
	if s.run.Trains() {
		return p.Grad
	}
	return nil
}

// state implements Method.
func (m *method) state(ctx context.Context) (*State, error) {
	values, err := m.params.Read(ctx)
	if err != nil {
		return nil, err
	}
	if err := m.params.checkFinite(values); err != nil {
		return nil, err
	}
	all := tensors{}
	for i, p := range m.params.List {
		all[p.Name] = Matrix{p.Shape, values[i]}
	}
	if m.pack != nil {
		if all, err = m.pack(ctx, m, all); err != nil {
			return nil, err
		}
	}
	return &State{Config: m.config, Tensors: all}, nil
}

// updates implements Method.
func (m *method) updates(ctx context.Context) (map[string]update, error) {
	if m.design.updates == nil {
		return nil, fmt.Errorf("%s is no change of matrices that could be merged: %w", m.config.Name(), ErrConfig)
	}
	return m.design.updates(ctx, m)
}

// Scaled returns an adapter that adds factor times what a method adds: for LoRA, as
// PEFT's set_scale. The error wraps ErrConfig if the method is no sum.
func Scaled(m Method, factor float64) (transformer.Adapter, error) {
	x, ok := m.(*method)
	if !ok || !x.scalable {
		return nil, fmt.Errorf("%s can't be scaled (lora can): %w", m.Config().Name(), ErrConfig)
	}
	scaled := *x
	scaled.factor *= float32(factor)
	return &scaled, nil
}

// State is an adapter as data, without a model: what files hold. Tensors have the
// names and shapes of HF PEFT's files where PEFT has the method; see the method's
// Config otherwise.
type State struct {
	Config  Config
	Base    string            // the name of the model it was made for; may be empty
	Tensors map[string]Matrix // of float32
	// PromptScale is the convention of a soft prompt on Gemma 1 and 2; "" if unknown.
	PromptScale PromptScale
	// Warnings are what was read but doesn't matter, for the user.
	Warnings []string
}

// New makes the method that a state describes, with its values. Errors wrap
// ErrMismatch, ErrFormat or what New returns. A tensor that the method has no place
// for is an error, not a warning.
func (s *State) New(ctx context.Context, m *transformer.Model) (Method, error) {
	d, err := s.design(m)
	if err != nil {
		return nil, err
	}
	values := tensors(s.Tensors)
	if d.unpack != nil {
		if values, err = d.unpack(values); err != nil {
			return nil, err
		}
	}
	known := map[string]bool{}
	for _, p := range d.specs {
		known[p.name] = true
	}
	for _, name := range sortedKeys(values) {
		if !known[name] {
			return nil, fmt.Errorf("tensor %q has no place in %s of this model: %w", name, s.Config.Name(), ErrMismatch)
		}
	}
	for i := range d.specs {
		p := &d.specs[i]
		t, ok := values[p.name]
		if !ok {
			return nil, fmt.Errorf("tensor %q is missing: %w", p.name, ErrFormat)
		}
		if !slices.Equal(t.Shape, p.shape) {
			return nil, fmt.Errorf("tensor %q: shape %v, want %v for this model: %w", p.name, t.Shape, p.shape, ErrMismatch)
		}
		p.init = func(_ context.Context, dst []float32) error { copy(dst, t.Values); return nil }
	}
	return d.build(ctx, m)
}

// design lays out the method for a model. What was trained with an encoder is stored
// as the encoder's result, and goes on as that.
func (s *State) design(m *transformer.Model) (*design, error) {
	_, result := s.Tensors[promptName]
	if f, ok := s.Config.(interface{ stored() Config }); ok && result {
		return f.stored().design(m)
	}
	return s.Config.design(m)
}

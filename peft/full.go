package peft

import "github.com/gpupeft/gpupeft/transformer"

// FullConfig is full fine-tuning: the weights themselves are trained, in float32. What
// is saved are the weights, under HF's names; see also Merge.
type FullConfig struct {
	Targets Modules `json:"target_modules,omitzero"` // none means all
}

// Name implements Config.
func (c FullConfig) Name() string { return "full" }

func (c FullConfig) design(m *transformer.Model) (*design, error) {
	var found []module
	for _, x := range modules(m.Config) {
		if x.kind != unembedding || !m.Config.Tied { // which is the embedding matrix
			found = append(found, x)
		}
	}
	if !c.Targets.IsZero() {
		var err error
		kinds := []moduleKind{projection, embedding, unembedding, positioning, norm}
		if found, err = (selection{targets: c.Targets, kinds: kinds}).of(m.Config); err != nil {
			return nil, err
		}
	}
	return weightsOnly(c, saveWeights(m, found, func(x module) string { return x.name + ".weight" })), nil
}

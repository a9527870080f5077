package peft

import "github.com/gpupeft/gpupeft/transformer"

// LayerNormConfig trains the weights of the norms alone (Zhao et al. 2023, arXiv
// 2312.11420), PEFT's LN_TUNING.
type LayerNormConfig struct {
	Targets Modules  `json:"target_modules,omitzero"` // none means all norms of the model's width
	Exclude Modules  `json:"exclude_modules,omitzero"`
	Save    []string `json:"modules_to_save,omitempty"`
}

// Name implements Config.
func (c LayerNormConfig) Name() string { return "ln-tuning" }

func (c LayerNormConfig) design(m *transformer.Model) (*design, error) {
	if c.Targets.IsZero() { // PEFT's own choice for these models
		c.Targets = Named("input_layernorm", "post_attention_layernorm", "norm")
		if m.Config.PostNorms {
			c.Targets.Names = append(c.Targets.Names, "pre_feedforward_layernorm", "post_feedforward_layernorm")
		}
	}
	found, err := selection{targets: c.Targets, exclude: c.Exclude, kinds: []moduleKind{norm}}.of(m.Config)
	if err != nil {
		return nil, err
	}
	saved, err := savedModules(m, c.Save, prefix)
	if err != nil {
		return nil, err
	}
	norms := saveWeights(m, found, func(x module) string {
		if x.kind == norm {
			return prefix + x.name + ".ln_tuning_layers.weight"
		}
		return saved.file(x)
	})
	norms.names, norms.specs = append(norms.names, saved.names...), append(norms.specs, saved.specs...)
	return weightsOnly(c, norms), nil
}

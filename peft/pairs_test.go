package peft_test

import (
	"slices"
	"testing"

	"github.com/gpupeft/gpupeft/peft"
)

// TestPairs takes LoRAs apart and puts them together: they stay for the modules that they
// were for, also where lower layers have some and upper layers none.
func TestPairs(t *testing.T) {
	m := cpuModel(t, "llama3")
	for name, c := range map[string]peft.LoRAConfig{
		"all":    {Targets: peft.Named(peft.AllLinear)},
		"lower":  {Targets: peft.Named("q_proj", "up_proj"), Layers: []int{0, 1}},
		"upper":  {Targets: peft.Named("q_proj", "up_proj"), Layers: []int{1, 2}},
		"odd":    {Targets: peft.Named("layers.0.mlp.up_proj", "layers.1.mlp.up_proj", "layers.1.self_attn.q_proj")},
		"around": {Targets: peft.Named("layers.0.mlp.up_proj", "layers.1.mlp.up_proj", "lm_head", "embed_tokens")},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := peft.New(t.Context(), m, c)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			s, err := peft.StateOf(t.Context(), a)
			if err != nil {
				t.Fatal(err)
			}
			pairs, err := s.Pairs()
			if err != nil {
				t.Fatal(err)
			}
			again, err := peft.FromPairs(pairs, 0)
			if err != nil {
				t.Fatal(err)
			}
			b, err := again.New(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			names := func(a peft.Method) (list []string) {
				for _, p := range a.Params().List {
					list = append(list, p.Name)
				}
				return list
			}
			if !slices.Equal(names(a), names(b)) {
				t.Errorf("parameters %v, want %v", names(b), names(a))
			}
		})
	}
}

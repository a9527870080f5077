package peft_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// llama32 has the sizes of Llama-3.2-3B.
const llama32 = `{"model_type": "llama", "vocab_size": 128256, "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28,
	"num_attention_heads": 24, "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 131072, "rms_norm_eps": 1e-5,
	"rope_theta": 500000, "tie_word_embeddings": true}`

// TestTrainableCounts compares numbers of trained values with published ones: of litgpt
// for Llama 2, of PEFT's method comparison for Llama 3.2.
func TestTrainableCounts(t *testing.T) {
	published := func(name string) string {
		text, err := os.ReadFile(filepath.Join(golden.Root(), "..", "configs", name, "config.json"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	qv := peft.Named("q_proj", "v_proj")
	for _, c := range []struct {
		name, model string
		config      peft.Config
		want        int
	}{
		{"lora 7B", published("llama-2-7b"), peft.LoRAConfig{Rank: 8, Targets: qv}, 4_194_304},
		{"lora all-linear 7B", published("llama-2-7b"), peft.LoRAConfig{Rank: 16, Targets: peft.Named(peft.AllLinear)}, 39_976_960},
		{"lora 13B", published("llama-2-13b"), peft.LoRAConfig{Rank: 8, Targets: qv}, 6_553_600},
		{"adapter 7B", published("llama-2-7b"), peft.AdaptionConfig{Tokens: 10, Layers: 30, HeadGates: true}, 1_229_760},
		{"adapter v2 7B", published("llama-2-7b"), peft.Adaption2Config{AdaptionConfig: peft.AdaptionConfig{Tokens: 10, Layers: 30}}, 4_279_744},
		{"lora", llama32, peft.LoRAConfig{Rank: 32, Targets: qv}, 9_175_040},
		{"dora", llama32, peft.LoRAConfig{Rank: 32, Targets: qv, DoRA: true}, 9_289_728},
		{"ia3", llama32, peft.IA3Config{}, 286_720},
		{"adaption", llama32, peft.AdaptionConfig{Tokens: 100, Layers: 28}, 8_601_628},
		{"prompt", llama32, peft.PromptConfig{Tokens: 200}, 614_400},
		{"prefix", llama32, peft.PrefixConfig{Tokens: 200}, 11_468_800},
		{"ptuning", llama32, peft.PTuningConfig{Tokens: 20, Hidden: 3072}, 28_382_208},
		{"full", llama32, peft.FullConfig{}, 3_212_749_824},
	} {
		ckpt, err := transformer.OpenConfig([]byte(c.model))
		if err != nil {
			t.Fatal(err)
		}
		m, err := ckpt.Plan(tensor.NewPlan(tensor.Limits{}), transformer.LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		a, err := peft.New(t.Context(), m, c.config)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := a.Params().Count(); got != c.want {
			t.Errorf("%s: %d values, want %d", c.name, got, c.want)
		}
	}
}

package transformer_test

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/transformer"
)

// TestConfigForms reads config.json as transformers 4 and 5 write it: both mean
// the same model.
func TestConfigForms(t *testing.T) {
	for _, kind := range golden.Kinds {
		var configs []*transformer.Config
		for _, name := range []string{"config.json", "config.old.json", "config.new.json"} {
			data, err := os.ReadFile(filepath.Join(golden.Root(), kind, name))
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			c, err := transformer.ParseConfig(data)
			if err != nil {
				t.Fatalf("%s/%s: %v", kind, name, err)
			}
			configs = append(configs, c)
		}
		if len(configs) != 2 {
			t.Fatalf("%s: %d forms, want 2", kind, len(configs))
		}
		if !reflect.DeepEqual(configs[0], configs[1]) {
			t.Errorf("%s: %+v\nand %+v", kind, configs[0], configs[1])
		}
	}
}

const llamaConfig = `{"model_type": "llama", "vocab_size": 300, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
	"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "tie_word_embeddings": true}`

// edited changes fields of llamaConfig; nil deletes one.
func edited(t *testing.T, changes map[string]any) []byte {
	t.Helper()
	fields := map[string]any{}
	if err := json.Unmarshal([]byte(llamaConfig), &fields); err != nil {
		t.Fatal(err)
	}
	maps.Copy(fields, changes)
	maps.DeleteFunc(fields, func(_ string, v any) bool { return v == "delete" })
	data, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestConfigErrors(t *testing.T) {
	bad, unknown := transformer.ErrCheckpoint, transformer.ErrUnsupported
	for _, c := range []struct {
		field string // must stand in the message
		value any
		kind  error
	}{
		{"model_type", "gpt2", unknown},
		{"model_type", "delete", unknown},
		{"hidden_size", 0, bad},
		{"hidden_size", -16, bad},
		{"hidden_size", 1 << 40, bad},
		{"hidden_size", "16", bad},
		{"vocab_size", -1, bad},
		{"num_hidden_layers", 0, bad},
		{"num_hidden_layers", 5000, bad},
		{"num_key_value_heads", 3, bad},
		{"num_attention_heads", "delete", bad},
		{"head_dim", 3, bad},
		{"rms_norm_eps", -1, bad},
		{"attention_bias", true, unknown},
		{"mlp_bias", true, unknown},
		{"hidden_act", "relu", unknown},
		{"quantization_config", map[string]any{"quant_method": "gptq"}, unknown},
		{"rope_theta", -5, bad},
		{"rope_scaling", map[string]any{"rope_type": "yarn", "factor": 2}, unknown},
		{"rope_scaling", map[string]any{"rope_type": "linear", "factor": -2}, bad},
		{"rope_scaling", map[string]any{"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 1, "original_max_position_embeddings": 16}, bad},
		{"rope_scaling", map[string]any{"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4}, bad},
		{"rope_scaling", 7, bad},
		{"rope_parameters", "x", bad},
		{"layer_types", []string{"full_attention"}, bad},
		{"attn_logit_softcapping", -1, bad},
		{"attn_logit_softcapping", 1e99, bad},
		{"final_logit_softcapping", 1e-99, bad},
		{"sliding_window", -1, bad},
	} {
		_, err := transformer.ParseConfig(edited(t, map[string]any{c.field: c.value}))
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.field) {
			t.Errorf("%s = %v: got %v", c.field, c.value, err)
		}
	}
	_, err := transformer.ParseConfig(edited(t, map[string]any{"layer_types": []string{"full_attention", "linear_attention"}}))
	if !errors.Is(err, unknown) {
		t.Errorf("unknown layer type: got %v", err)
	}
	for _, text := range []string{"", "[]", "null", "{", "\xff"} {
		if _, err := transformer.ParseConfig([]byte(text)); err == nil {
			t.Errorf("config %q is taken", text)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(llamaConfig))
	for _, kind := range golden.Kinds {
		data, err := os.ReadFile(filepath.Join(golden.Root(), kind, "config.json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := transformer.ParseConfig(data)
		if (c == nil) == (err == nil) {
			t.Errorf("config %v and error %v", c, err)
		}
	})
}

package peft

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/gpupeft/gpupeft/transformer"
)

// The two files of a PEFT directory.
const (
	configName  = "adapter_config.json"
	weightsBase = "adapter_model" // + ".safetensors"
)

// adapter_config.json. A Config's JSON fields are those that PEFT has known from the
// start: old versions refuse newer ones, even when they are null.

// peftTypes are the methods by PEFT's peft_type, and those that PEFT doesn't have, which
// its users get a clear error for.
var peftTypes = []struct {
	name   string
	decode func(text []byte) (Config, error)
}{
	{"LORA", decode(LoRAConfig{Rank: 8, Alpha: 8})},
	{"PROMPT_TUNING", decode(PromptConfig{})},
	{"P_TUNING", decode(PTuningConfig{})},
	{"PREFIX_TUNING", decode(PrefixConfig{})},
	{"MULTITASK_PROMPT_TUNING", decode(MultitaskConfig{})},
	{"ADAPTION_PROMPT", decode(AdaptionConfig{})},
	{"ADAPTION_PROMPT_V2", decode(Adaption2Config{})}, // gpupeft only, as those below
	{"GPUPEFT_BOTTLENECK", decode(BottleneckConfig{})},
	{"IA3", decode(IA3Config{})},
	{"LN_TUNING", decode(LayerNormConfig{})},
	{"TRAINABLE_TOKENS", decode(TokensConfig{})},
	{"GPUPEFT_FULL", decode(FullConfig{})},
}

// Known says whether HF PEFT knows the method of a config.
func Known(c Config) bool {
	t := peftType(c)
	return t != "" && t != "ADAPTION_PROMPT_V2" && !strings.HasPrefix(t, "GPUPEFT_") && !usesHeadGates(c)
}

// usesHeadGates: PEFT has one gate a layer.
func usesHeadGates(c Config) bool {
	a, ok := c.(AdaptionConfig)
	return ok && a.HeadGates
}

// decode reads the fields of a method over the values that PEFT takes for missing ones.
func decode[C Config](missing C) func([]byte) (Config, error) {
	return func(text []byte) (Config, error) {
		c := missing
		err := json.Unmarshal(text, &c)
		return c, err
	}
}

// peftType returns the peft_type of a config.
func peftType(c Config) string {
	for _, t := range peftTypes {
		if x, err := t.decode([]byte("{}")); err == nil && reflect.TypeOf(x) == reflect.TypeOf(c) {
			return t.name
		}
	}
	return ""
}

// header are the fields that all methods have.
type header struct {
	Type          string `json:"peft_type"`
	Base          string `json:"base_model_name_or_path"`
	InferenceMode bool   `json:"inference_mode"`
	TaskType      string `json:"task_type"`
}

// harmless are fields that don't change what an adapter's weights mean.
var harmless = []string{
	"auto_mapping", "peft_version", "revision", "init_lora_weights", "megatron_core", "loftq_config", "eva_config", "corda_config",
	"lora_ga_config", "qalora_group_size", "runtime_config", "prompt_tuning_init", "prompt_tuning_init_text", "tokenizer_name_or_path",
	"tokenizer_kwargs", "prompt_tuning_init_state_dict_path", "prompt_tuning_init_task", "init_ia3_weights", "init_weights",
	"encoder_dropout", "lora_dropout", "encoder_num_layers",
}

// refused are fields that change what an adapter computes and that gpupeft doesn't do:
// ignoring them would give wrong results in silence.
var refused = []string{
	"layer_replication", "alora_invocation_tokens", "target_parameters", "use_qalora", "use_bdlora", "arrow_config",
	"kasa_config", "velora_config", "monteclora_config", "megatron_config", "trainable_token_indices", "lora_bias", "fan_in_fan_out",
	"ensure_weight_tying", "modules_to_save", "exclude_modules",
}

// neutral are the only values of some fields that change nothing.
var neutral = map[string][]string{
	"bias": {`"none"`}, "num_transformer_submodules": {"1"}, "layers_pattern": {`"layers"`, `["layers"]`}, "task_type": {`"CAUSAL_LM"`},
}

// parseConfig reads adapter_config.json. Warnings name unknown fields.
func parseConfig(text []byte) (c Config, h header, warnings []string, err error) {
	fields := map[string]json.RawMessage{}
	if err = json.Unmarshal(text, &fields); err == nil {
		err = json.Unmarshal(text, &h)
	}
	if err != nil {
		return nil, h, nil, fmt.Errorf("%s: %v: %w", configName, err, ErrFormat)
	}
	var known []string
	for _, t := range peftTypes {
		known = append(known, t.name)
		if t.name == h.Type {
			c, err = t.decode(text)
			if x, ok := c.(interface{ complete() error }); err == nil && ok {
				err = x.complete()
			}
			if err != nil {
				return nil, h, nil, fmt.Errorf("%s: %v: %w", configName, err, ErrFormat)
			}
		}
	}
	if c == nil {
		return nil, h, nil, fmt.Errorf("%s: peft_type %q (known: %s): %w", configName, h.Type, strings.Join(known, ", "), transformer.ErrUnsupported)
	}
	for _, name := range sortedKeys(fields) {
		warning, err := judge(name, fields[name], append(jsonFields(reflect.TypeOf(c)), jsonFields(reflect.TypeOf(h))...))
		if err != nil {
			return nil, h, nil, err
		}
		if warning != "" {
			warnings = append(warnings, warning)
		}
	}
	return c, h, warnings, nil
}

// judge says what to do about a field: nothing, a warning, or an error.
func judge(name string, raw json.RawMessage, meant []string) (warning string, err error) {
	value := compact(raw)
	unset := slices.Contains([]string{"null", "false", "[]", "{}", `""`}, value)
	allowed, restricted := neutral[name]
	switch {
	case unset:
	case restricted && !slices.Contains(allowed, value),
		slices.Contains(refused, name) && !slices.Contains(meant, name),
		name == "init_lora_weights" && changesBase(value):
		return "", fmt.Errorf("%s: %s is %s: %w", configName, name, value, transformer.ErrUnsupported)
	case restricted || slices.Contains(meant, name) || slices.Contains(harmless, name):
	default:
		return fmt.Sprintf("%s: unknown field %s (%s) is ignored", configName, name, value), nil
	}
	return "", nil
}

// changesBase says whether an initialisation has left the model itself changed, so that
// the adapter doesn't fit the original.
func changesBase(value string) bool {
	for _, name := range []string{"pissa", "olora", "corda", "loftq"} {
		if strings.HasPrefix(strings.Trim(value, `"`), name) {
			return true
		}
	}
	return false
}

func compact(raw json.RawMessage) string {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return string(raw)
	}
	return b.String()
}

// jsonFields lists the names of a struct's fields in JSON.
func jsonFields(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			names = append(names, jsonFields(f.Type)...)
			continue
		}
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "-" && name != "" {
			names = append(names, name)
		}
	}
	return names
}

// encodeConfig writes adapter_config.json as PEFT does: sorted, indented by two,
// without HTML escapes.
func encodeConfig(s *State) ([]byte, error) {
	fields := map[string]json.RawMessage{}
	h := header{Type: peftType(s.Config), Base: s.Base, InferenceMode: true, TaskType: "CAUSAL_LM"}
	for _, part := range []any{s.Config, h} {
		text, err := json.Marshal(part)
		if err != nil {
			return nil, err
		}
		more := map[string]json.RawMessage{}
		if err := json.Unmarshal(text, &more); err != nil {
			return nil, err
		}
		maps.Copy(fields, more)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(fields); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

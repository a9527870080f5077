package peft

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"regexp"
	"slices"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/safetensors"
	"github.com/gpupeft/gpupeft/transformer"
)

// LoadOptions says how an adapter's files are to be understood.
type LoadOptions struct {
	// PromptScale is the convention of a soft prompt for Gemma 1 or 2; "" means
	// ScaleHF5.
	PromptScale PromptScale
}

// Load reads an HF PEFT directory. Errors wrap ErrFormat, ErrMismatch,
// transformer.ErrUnsupported or fs.ErrNotExist and name the file, field or tensor.
// A tensor that the method has no place for is an error, not a warning.
func Load(ctx context.Context, dir fs.FS, m *transformer.Model, o LoadOptions) (Method, error) {
	text, err := fs.ReadFile(dir, configName)
	if err != nil {
		return nil, err
	}
	config, err := parseConfig(text)
	if err != nil {
		return nil, err
	}
	if _, err := fs.Stat(dir, weightsBase+".bin"); err == nil {
		if _, err := fs.Stat(dir, weightsBase+".safetensors"); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s.bin is a Python pickle (save the adapter as safetensors): %w", weightsBase, transformer.ErrUnsupported)
		}
	}
	c, err := safetensors.Open(dir, weightsBase)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	weights, err := readWeights(c)
	if err != nil {
		return nil, err
	}
	switch config.PEFTType {
	case "PROMPT_TUNING":
		return loadPrompt(ctx, m, config, weights, o)
	case "LORA":
		return loadLoRA(ctx, m, config, weights)
	}
	return nil, fmt.Errorf("%s: peft_type %q (known: LORA, PROMPT_TUNING): %w", configName, config.PEFTType, transformer.ErrUnsupported)
}

// refused are fields that change what an adapter computes and that gpupeft doesn't
// do: ignoring them would give wrong results in silence.
var refused = []string{
	"layer_replication", "alora_invocation_tokens", "target_parameters", "use_dora", "use_qalora", "use_bdlora", "arrow_config",
	"kasa_config", "velora_config", "modules_to_save", "trainable_token_indices", "lora_bias", "fan_in_fan_out",
}

func parseConfig(text []byte) (configFile, error) {
	var config configFile
	if err := json.Unmarshal(text, &config); err != nil {
		return config, fmt.Errorf("%s: %v: %w", configName, err, ErrFormat)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return config, fmt.Errorf("%s: %v: %w", configName, err, ErrFormat)
	}
	for _, name := range refused {
		switch string(fields[name]) {
		case "", "null", "false", "[]", "{}":
		default:
			return config, fmt.Errorf("%s: %s is %s: %w", configName, name, fields[name], transformer.ErrUnsupported)
		}
	}
	if config.Bias != "" && config.Bias != "none" {
		return config, fmt.Errorf("%s: bias is %q: %w", configName, config.Bias, transformer.ErrUnsupported)
	}
	return config, nil
}

// matrix is a tensor of an adapter file.
type matrix struct {
	shape  []int
	values []float32
}

// floatTypes are the types that adapters are stored in.
var floatTypes = map[string]tensor.DType{"F32": tensor.F32, "F16": tensor.F16, "BF16": tensor.BF16}

func readWeights(c *safetensors.Checkpoint) (map[string]matrix, error) {
	weights := map[string]matrix{}
	for _, name := range c.Names() {
		data, e, err := c.Read(name)
		if err != nil {
			return nil, err
		}
		dt, ok := floatTypes[e.DType]
		if !ok || len(e.Shape) != 2 || e.Bytes == 0 {
			return nil, fmt.Errorf("tensor %q: %s %v is no float matrix: %w", name, e.DType, e.Shape, ErrFormat)
		}
		w := matrix{e.Shape, tensor.Unpack(nil, dt, data)}
		for _, v := range w.values {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				return nil, fmt.Errorf("tensor %q holds %v: %w", name, v, ErrFormat)
			}
		}
		weights[name] = w
	}
	return weights, nil
}

func loadPrompt(ctx context.Context, m *transformer.Model, c configFile, weights map[string]matrix, o LoadOptions) (Method, error) {
	const name = "prompt_embeddings"
	w, ok := weights[name]
	switch {
	case !ok || len(weights) != 1:
		return nil, fmt.Errorf("tensors %v, want only %q: %w", slices.Sorted(maps.Keys(weights)), name, ErrFormat)
	case w.shape[1] != m.Config.Hidden:
		return nil, fmt.Errorf("tensor %q: %v for a model of width %d: %w", name, w.shape, m.Config.Hidden, ErrMismatch)
	case w.shape[0] != c.NumVirtualTokens:
		return nil, fmt.Errorf("tensor %q: %d rows, num_virtual_tokens is %d: %w", name, w.shape[0], c.NumVirtualTokens, ErrFormat)
	}
	factor, err := o.PromptScale.factor(m.Config)
	if err != nil {
		return nil, err
	}
	for i := range w.values {
		w.values[i] *= factor
	}
	return promptFrom(ctx, m, w.values)
}

// loraKey takes a PEFT tensor name apart.
var loraKey = regexp.MustCompile(`^base_model\.model\.(model\.layers\.(\d+)\.(?:self_attn|mlp)\.(\w+))\.lora_([AB])\.weight$`)

func loadLoRA(ctx context.Context, m *transformer.Model, c configFile, weights map[string]matrix) (Method, error) {
	options := LoRAConfig{Rank: c.R, Alpha: c.LoRAAlpha, RSLoRA: c.UseRSLoRA}
	if c.R < 1 || !(c.LoRAAlpha > 0) {
		return nil, fmt.Errorf("%s: r %d, lora_alpha %v: %w", configName, c.R, c.LoRAAlpha, ErrFormat)
	}
	pairs, err := pairUp(m.Config, weights)
	if err != nil {
		return nil, err
	}
	var inits []loraInit
	for site, p := range pairs {
		module := site.proj.Module(site.layer)
		i := loraInit{site: site, a: p.a.values, b: p.b.values}
		if i.rank, err = byPattern(c.RankPattern, module, c.R); err != nil {
			return nil, err
		}
		if i.alpha, err = byPattern(c.AlphaPattern, module, c.LoRAAlpha); err != nil {
			return nil, err
		}
		out, in := site.proj.Size(m.Config)
		if !slices.Equal(p.a.shape, []int{i.rank, in}) || !slices.Equal(p.b.shape, []int{out, i.rank}) {
			return nil, fmt.Errorf("%s: lora_A %v, lora_B %v, want [%d %d] and [%d %d]: %w",
				module, p.a.shape, p.b.shape, i.rank, in, out, i.rank, ErrMismatch)
		}
		inits = append(inits, i)
	}
	slices.SortFunc(inits, func(a, b loraInit) int {
		return cmp.Or(cmp.Compare(a.site.layer, b.site.layer), cmp.Compare(a.site.proj, b.site.proj))
	})
	return loraFrom(ctx, m, options, inits)
}

// filePair is a site's two tensors in a file.
type filePair struct{ a, b *matrix }

// pairUp finds each tensor's place in the model.
func pairUp(c *transformer.Config, weights map[string]matrix) (map[loraSite]*filePair, error) {
	projections := map[string]loraSite{}
	for l := range c.Layers {
		for p := range transformer.NumProj {
			projections[p.Module(l)] = loraSite{l, p}
		}
	}
	pairs := map[loraSite]*filePair{}
	for _, name := range slices.Sorted(maps.Keys(weights)) {
		w, key := weights[name], loraKey.FindStringSubmatch(name)
		if key == nil {
			return nil, fmt.Errorf("tensor %q: not a projection's lora_A or lora_B: %w", name, transformer.ErrUnsupported)
		}
		site, ok := projections[key[1]]
		if !ok {
			return nil, fmt.Errorf("tensor %q: the model has no %s: %w", name, key[1], ErrMismatch)
		}
		if pairs[site] == nil {
			pairs[site] = &filePair{}
		}
		if key[4] == "A" {
			pairs[site].a = &w
		} else {
			pairs[site].b = &w
		}
	}
	if len(pairs) == 0 {
		return nil, fmt.Errorf("no tensors: %w", ErrFormat)
	}
	for site, p := range pairs {
		if p.a == nil || p.b == nil {
			return nil, fmt.Errorf("%s has only one of lora_A and lora_B: %w", site.proj.Module(site.layer), ErrFormat)
		}
	}
	return pairs, nil
}

// byPattern looks a module up in rank_pattern or alpha_pattern, whose keys are
// regular expressions for the end of its name.
func byPattern[T any](patterns map[string]T, module string, otherwise T) (T, error) {
	for _, key := range slices.Sorted(maps.Keys(patterns)) {
		re, err := regexp.Compile(`^(.*\.)?(` + key + `)$`)
		if err != nil {
			return otherwise, fmt.Errorf("%s: pattern %q: %v: %w", configName, key, err, ErrFormat)
		}
		if re.MatchString(module) {
			return patterns[key], nil
		}
	}
	return otherwise, nil
}

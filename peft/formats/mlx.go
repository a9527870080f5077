package formats

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"

	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor/safetensors"
	"github.com/gpupeft/gpupeft/transformer"
)

// mlx-lm's directory (0.32): adapter_config.json with all settings of the run, of which
// fine_tune_type, num_layers and lora_parameters matter, and adapters.safetensors with
// matrices that are transposed against PEFT's: lora_a [in, r], lora_b [r, out], and m
// [out] for DoRA. The scale is given itself. Modules are named by keys, relative to a
// layer, and are those of the last num_layers layers. LoRA of embeddings that are the
// output matrix too changes both.

type mlxFile struct {
	Type   string        `json:"fine_tune_type"`
	Layers int           `json:"num_layers"`
	LoRA   mlxParameters `json:"lora_parameters"`
	Model  string        `json:"model,omitempty"`
}

type mlxParameters struct {
	Rank    int      `json:"rank"`
	Scale   float64  `json:"scale"`
	Dropout float64  `json:"dropout"`
	Keys    []string `json:"keys,omitempty"`
}

func isMLX(_ string, dir fs.FS) bool { return dir != nil && exists(dir, "adapters.safetensors") }

func readMLX(_ string, dir fs.FS, o Options) (*peft.State, error) {
	text, err := fs.ReadFile(dir, "adapter_config.json")
	if err != nil {
		return nil, err
	}
	f := mlxFile{Type: "lora"}
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, malformed("adapter_config.json: %v", err)
	}
	if f.Type != "lora" && f.Type != "dora" {
		return nil, fmt.Errorf("adapter_config.json: fine_tune_type %q (known: lora, dora): %w", f.Type, transformer.ErrUnsupported)
	}
	all, _, err := peft.ReadTensors(dir, "adapters.safetensors")
	if err != nil {
		return nil, err
	}
	byModule := map[string]*peft.LoRAPair{}
	for name, t := range all {
		i := strings.LastIndex(name, ".")
		if i < 0 {
			return nil, malformed("tensor %q has no module", name)
		}
		module := name[:i]
		if byModule[module] == nil {
			byModule[module] = &peft.LoRAPair{Module: module, Scale: f.LoRA.Scale}
		}
		if err := fromMLX(byModule[module], name[i+1:], t); err != nil {
			return nil, err
		}
	}
	var pairs []peft.LoRAPair
	for _, module := range sorted(byModule) {
		p := byModule[module]
		if len(p.A.Shape) != 2 || len(p.B.Shape) != 2 || p.Rank() != f.LoRA.Rank {
			return nil, malformed("%s: lora_a, lora_b and rank %d don't fit", module, f.LoRA.Rank)
		}
		pairs = append(pairs, *p)
	}
	if pairs, err = mlxTied(pairs, o); err != nil {
		return nil, err
	}
	s, err := peft.FromPairs(pairs, f.LoRA.Dropout)
	if err == nil {
		s.Base = f.Model
	}
	return s, err
}

// mlxTied adds the LoRA of a tied output matrix to that of the embeddings: their
// matrices, exchanged and transposed.
func mlxTied(pairs []peft.LoRAPair, o Options) ([]peft.LoRAPair, error) {
	for _, p := range pairs {
		switch {
		case p.Module != embedModule:
		case o.Model == nil:
			return nil, fmt.Errorf("mlx-lm's LoRA of the embeddings may be one of the output matrix, too: which model is it for? %w", peft.ErrConfig)
		case o.Model.Tied && p.Magnitude != nil:
			return nil, fmt.Errorf("DoRA of embeddings that are the output matrix: %w", transformer.ErrUnsupported)
		case o.Model.Tied:
			return append(pairs, peft.LoRAPair{Module: "lm_head", A: transposed(p.B), B: transposed(p.A), Scale: p.Scale}), nil
		}
	}
	return pairs, nil
}

// fromMLX takes one of a module's tensors.
func fromMLX(p *peft.LoRAPair, what string, t peft.Matrix) error {
	switch what {
	case "lora_a", "lora_b":
		m, err := matrix(p.Module+"."+what, t)
		if err != nil {
			return err
		}
		if what == "lora_a" {
			p.A = transposed(m)
		} else {
			p.B = transposed(m)
		}
	case "m":
		p.Magnitude = &t
	default:
		return malformed("tensor %q is no part of LoRA", p.Module+"."+what)
	}
	return nil
}

func checkMLX(s *peft.State, o Options) error {
	_, _, err := mlxOf(s, o)
	return err
}

// mlxOf translates a state.
func mlxOf(s *peft.State, o Options) (mlxFile, map[string]peft.Matrix, error) {
	f := mlxFile{Type: "lora", Layers: -1, Model: s.Base}
	pairs, err := pairsOf(MLX, s)
	if err != nil {
		return f, nil, err
	}
	first, tensors := pairs[0], map[string]peft.Matrix{}
	f.LoRA = mlxParameters{Rank: first.Rank(), Scale: first.Scale, Dropout: s.Config.(peft.LoRAConfig).Dropout}
	layers, keys := map[string]map[string]bool{}, map[string]bool{}
	for _, p := range pairs {
		if p.Module == embedModule || p.Module == "lm_head" {
			if o.Model == nil {
				return f, nil, fmt.Errorf("mlx-lm's LoRA of %s depends on the model: which is it for? %w", p.Module, peft.ErrConfig)
			}
			if o.Model.Tied {
				return f, nil, unsupported(MLX, "LoRA of %s where embeddings and output matrix are one: it changes both", p.Module)
			}
		}
		if p.Rank() != f.LoRA.Rank || p.Scale != f.LoRA.Scale {
			return f, nil, unsupported(MLX, "other ranks or scales in some modules than in others (%s)", p.Module)
		}
		key := p.Module
		if l, ok := layerOf(p.Module); ok {
			key = strings.TrimPrefix(p.Module, "model.layers."+l+".")
			if layers[l] == nil {
				layers[l] = map[string]bool{}
			}
			layers[l][key] = true
		}
		keys[key] = true
		tensors[p.Module+".lora_a"], tensors[p.Module+".lora_b"] = transposed(p.A), transposed(p.B)
		if p.Magnitude != nil {
			f.Type = "dora"
			tensors[p.Module+".m"] = *p.Magnitude
		}
	}
	f.LoRA.Keys = sorted(keys)
	f.Layers, err = mlxLayers(layers, o)
	return f, tensors, err
}

// mlxLayers checks that the layers are the same modules each, and returns how many
// there are: the last ones of the model, which only the tensors' names tell.
func mlxLayers(layers map[string]map[string]bool, o Options) (int, error) {
	lowest, highest := -1, -1
	var like map[string]bool
	for l, keys := range layers {
		var n int
		if _, err := fmt.Sscan(l, &n); err != nil {
			return 0, malformed("layer %q", l)
		}
		if lowest < 0 || n < lowest {
			lowest = n
		}
		highest = max(highest, n)
		if like == nil {
			like = keys
		}
		if len(keys) != len(like) {
			return 0, unsupported(MLX, "other modules in some layers than in others")
		}
		for k := range keys {
			if !like[k] {
				return 0, unsupported(MLX, "other modules in some layers than in others")
			}
		}
	}
	if len(layers) > 0 && highest-lowest+1 != len(layers) {
		return 0, unsupported(MLX, "layers %d to %d with gaps", lowest, highest)
	}
	if o.Model != nil && len(layers) > 0 && highest != len(o.Model.Layers)-1 {
		return 0, unsupported(MLX, "layers %d to %d, which aren't the last", lowest, highest)
	}
	return len(layers), nil
}

func writeMLX(path string, s *peft.State, o Options) error {
	f, tensors, err := mlxOf(s, o)
	if err != nil {
		return err
	}
	text, err := sortedJSON(f)
	if err != nil {
		return err
	}
	var file bytes.Buffer
	if err := safetensors.Write(&file, map[string]string{"format": "mlx"}, stored(tensors)); err != nil {
		return err
	}
	return writeFiles(path, map[string][]byte{"adapters.safetensors": file.Bytes(), "adapter_config.json": text})
}

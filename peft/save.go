package peft

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/gpupeft/gpupeft/tensor/safetensors"
)

// SaveOptions says what Save writes beside the weights.
type SaveOptions struct {
	// BaseModel is the base_model_name_or_path of the configuration.
	BaseModel string
}

// Save writes a method as an HF PEFT directory: adapter_config.json and
// adapter_model.safetensors. Each file is replaced as a whole, and what was
// written is loaded again and compared. Parameters that are no numbers are not
// saved.
func Save(ctx context.Context, dir string, m Method, o SaveOptions) error {
	params := m.Params()
	values, err := params.Read(ctx)
	if err != nil {
		return err
	}
	if err := params.checkFinite(values); err != nil {
		return err
	}
	config := m.config()
	config.BaseModel, config.InferenceMode, config.TaskType = o.BaseModel, true, "CAUSAL_LM"
	text, err := config.encode()
	if err != nil {
		return err
	}
	var tensors []safetensors.Tensor
	for i, p := range params.List {
		data := make([]byte, 0, 4*len(values[i]))
		for _, v := range values[i] {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		}
		tensors = append(tensors, safetensors.Tensor{Name: m.fileName(p), DType: "F32", Shape: p.Shape, Data: data})
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	err = writeFile(filepath.Join(dir, weightsBase+".safetensors"), func(f *os.File) error {
		return safetensors.Write(f, map[string]string{"format": "pt"}, tensors)
	})
	if err != nil {
		return err
	}
	err = writeFile(filepath.Join(dir, configName), func(f *os.File) error {
		_, err := f.Write(text)
		return err
	})
	if err != nil {
		return err
	}
	return verify(ctx, dir, m, values)
}

// verify loads what was saved and compares it, value by value.
func verify(ctx context.Context, dir string, m Method, values [][]float32) error {
	again, err := Load(ctx, os.DirFS(dir), m.Model(), LoadOptions{})
	if err != nil {
		return fmt.Errorf("%s: what was saved doesn't load: %w", dir, err)
	}
	got, err := again.Params().Read(ctx)
	if err := errors.Join(err, again.Close()); err != nil {
		return err
	}
	for i, want := range values {
		if i >= len(got) || !slices.Equal(got[i], want) {
			return fmt.Errorf("%s: %s reads back differently than it was written: %w", dir, m.Params().List[i].Name, ErrFormat)
		}
	}
	return nil
}

func (p *Prompt) config() configFile {
	c := p.model.Config
	return configFile{
		PEFTType: "PROMPT_TUNING", NumVirtualTokens: p.params.List[0].Shape[0], TokenDim: c.Hidden,
		NumLayers: len(c.Layers), NumAttnHeads: c.Heads, PromptInit: "RANDOM", // the values are in the file: nothing is to be initialised
	}
}

// config writes the rank and alpha that most sites have, and patterns for the rest.
func (l *LoRA) config() configFile {
	no, none := false, 0.0
	c := configFile{PEFTType: "LORA", Bias: "none", FanInFanOut: &no, LoRADropout: &none, R: l.options.Rank,
		LoRAAlpha: l.options.Alpha, UseRSLoRA: l.options.RSLoRA, RankPattern: map[string]int{}, AlphaPattern: map[string]float64{}}
	c.TargetModules = l.targets()
	for site, pair := range l.sites {
		module := site.proj.Module(site.layer)
		if pair.rank() != c.R {
			c.RankPattern[module] = pair.rank()
		}
		if pair.alpha != c.LoRAAlpha {
			c.AlphaPattern[module] = pair.alpha
		}
	}
	return c
}

// targets returns the names of the projections if every layer has them, and full
// module names otherwise.
func (l *LoRA) targets() []string {
	count := map[string]int{}
	var modules []string
	for site := range l.sites {
		count[site.proj.String()]++
		modules = append(modules, site.proj.Module(site.layer))
	}
	for _, n := range count {
		if n != len(l.model.Config.Layers) {
			slices.Sort(modules)
			return modules
		}
	}
	return slices.Sorted(maps.Keys(count))
}

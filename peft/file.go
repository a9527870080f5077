package peft

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// The two files of a PEFT directory.
const (
	configName  = "adapter_config.json"
	weightsBase = "adapter_model" // + ".safetensors"
)

// configFile is adapter_config.json, with the fields that PEFT has known from the
// start: old versions refuse newer ones, even when they are null. Keys are sorted,
// as PEFT writes them.
type configFile struct {
	AlphaPattern     map[string]float64 `json:"alpha_pattern,omitempty"`
	BaseModel        string             `json:"base_model_name_or_path"`
	Bias             string             `json:"bias,omitempty"`
	FanInFanOut      *bool              `json:"fan_in_fan_out,omitempty"`
	InferenceMode    bool               `json:"inference_mode"`
	LoRAAlpha        float64            `json:"lora_alpha,omitempty"`
	LoRADropout      *float64           `json:"lora_dropout,omitempty"`
	NumAttnHeads     int                `json:"num_attention_heads,omitempty"`
	NumLayers        int                `json:"num_layers,omitempty"`
	NumVirtualTokens int                `json:"num_virtual_tokens,omitempty"`
	PEFTType         string             `json:"peft_type"`
	PromptInit       string             `json:"prompt_tuning_init,omitempty"`
	R                int                `json:"r,omitempty"`
	RankPattern      map[string]int     `json:"rank_pattern,omitempty"`
	TargetModules    any                `json:"target_modules,omitempty"`
	TaskType         string             `json:"task_type"`
	TokenDim         int                `json:"token_dim,omitempty"`
	UseRSLoRA        bool               `json:"use_rslora,omitempty"`
}

// encode writes the JSON as PEFT does: indented by two, without HTML escapes.
func (c configFile) encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(c); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// writeFile replaces a file as a whole: a reader sees the old one or the new one,
// also after a crash.
func writeFile(path string, write func(f *os.File) error) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", path, err)
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := errors.Join(write(f), f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes a rename durable. Systems that can't open directories do without.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	_ = d.Sync() // not supported everywhere, and the rename itself has succeeded
	return nil
}

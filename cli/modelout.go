package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gpupeft/gpupeft/internal/disk"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/gguf"
	"github.com/gpupeft/gpupeft/transformer"
)

// modelOut is where a command writes a model: a GGUF file, or a Hugging Face directory.
type modelOut struct {
	path string
	gguf bool
}

// openModelOut checks --out, which must not exist yet.
func openModelOut(path string) (modelOut, error) {
	o := modelOut{path, strings.EqualFold(filepath.Ext(path), ".gguf")}
	if path == "" {
		return o, usagef("--out is missing: a FILE.gguf or a directory")
	}
	if _, err := os.Lstat(path); err == nil {
		return o, usagef("--out %s is there already (nothing is overwritten)", path)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return o, fmt.Errorf("--out: %w", err)
	}
	return o, checkWritable(path)
}

// write writes a checkpoint that was made from a base.
func (o modelOut) write(b *base, c *transformer.Checkpoint) error {
	return disk.Make(o.path, false, func(temp string) error {
		if o.gguf {
			return o.writeGGUF(temp, b, c)
		}
		return o.writeHF(temp, b, c)
	})
}

func (o modelOut) writeGGUF(file string, b *base, c *transformer.Checkpoint) error {
	var kvs []gguf.KV
	if b.ckpt.GGUF == nil {
		tok, err := b.needTokens()
		if err != nil {
			return err
		}
		if kvs, err = tok.GGUF(); err != nil {
			return fmt.Errorf("tokenizer: %w", err)
		}
		template, err := chatTemplate(b.dir)
		if err != nil {
			return err
		}
		if template != "" {
			kvs = append(kvs, gguf.KV{Key: "tokenizer.chat_template", Value: template})
		}
	}
	return disk.Write(file, func(w io.Writer) error { return c.WriteGGUF(w, kvs) })
}

// chatTemplate reads the template of a directory's tokenizer_config.json, if it has one.
func chatTemplate(dir fs.FS) (string, error) {
	const name = "tokenizer_config.json"
	text, err := fs.ReadFile(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var config struct {
		Template json.RawMessage `json:"chat_template"`
	}
	if err := json.Unmarshal(text, &config); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	var template string
	_ = json.Unmarshal(config.Template, &template) // several named ones have no place in a GGUF file
	return template, nil
}

// besideWeights are the files of a directory that go with the weights.
var besideWeights = []string{"tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json", "chat_template.jinja"}

func (o modelOut) writeHF(dir string, b *base, c *transformer.Checkpoint) error {
	if b.ckpt.GGUF != nil {
		return usagef("--out %s: a GGUF model can't become a Hugging Face directory, which needs files that it doesn't have; name a FILE.gguf", o.path)
	}
	config, err := outConfig(b.dir, c)
	if err != nil {
		return err
	}
	files := map[string][]byte{"config.json": config}
	for _, name := range besideWeights {
		text, err := fs.ReadFile(b.dir, name)
		if err == nil {
			files[name] = text
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return writeFiles(dir, files, c)
}

// writeFiles writes a directory: its files, and the weights.
func writeFiles(dir string, files map[string][]byte, c *transformer.Checkpoint) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for name, text := range files {
		if err := disk.WriteBytes(filepath.Join(dir, name), text); err != nil {
			return err
		}
	}
	return disk.Write(filepath.Join(dir, "model.safetensors"), c.WriteSafetensors)
}

// outConfig is the base's config.json with what it says of the weights' types changed.
func outConfig(dir fs.FS, c *transformer.Checkpoint) ([]byte, error) {
	text, err := fs.ReadFile(dir, "config.json")
	if err != nil {
		return nil, err
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	if inner, ok := fields["text_config"].(map[string]any); ok { // only the language model is written
		fields = inner
		fields["model_type"] = c.Config.Kind
	}
	delete(fields, "quantization_config")
	for _, name := range c.Names() {
		if s, _ := c.Tensor(name); s.DType == tensor.NF4 || s.DType == tensor.FP4 {
			fields["quantization_config"] = map[string]any{
				"quant_method": "bitsandbytes", "load_in_4bit": true, "load_in_8bit": false, "bnb_4bit_quant_type": s.DType.String(),
				"bnb_4bit_use_double_quant": false, "bnb_4bit_compute_dtype": "float32", "bnb_4bit_quant_storage": "uint8",
			}
			break
		}
	}
	return json.MarshalIndent(fields, "", "  ")
}

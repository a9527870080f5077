package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gpupeft/gpupeft/internal/disk"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
	"github.com/gpupeft/gpupeft/transformer/demo"
	"github.com/gpupeft/gpupeft/transformer/tokenizer"
)

// openModel opens what --model names: an HF directory, a GGUF file, a directory with
// one, or if it is empty, the built-in model. A model need not have a tokenizer, nor
// with configOnly, weights.
func openModel(name string, configOnly bool) (ckpt *transformer.Checkpoint, dir fs.FS, tok *tokenizer.Tokenizer, stop []int32, err error) {
	dir, file, err := modelPath(name)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	if file != "" {
		ckpt, err = transformer.OpenGGUF(dir, file)
	} else {
		ckpt, err = transformer.Open(dir)
	}
	if configOnly && errors.Is(err, fs.ErrNotExist) {
		var config []byte
		if config, err = fs.ReadFile(dir, "config.json"); err == nil {
			ckpt, err = transformer.OpenConfig(config)
		}
	}
	if err == nil {
		tok, stop, err = openTokens(ckpt, dir)
	}
	if err != nil && ckpt != nil {
		err = errors.Join(err, ckpt.Close())
	}
	if err != nil {
		return nil, nil, nil, nil, fmt.Errorf("model %s: %w", name, err)
	}
	return ckpt, dir, tok, stop, nil
}

// modelPath returns the directory of --model, and its file if it is one.
func modelPath(name string) (dir fs.FS, file string, err error) {
	if name == "" {
		return demo.Model(), "", nil
	}
	if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
		if !strings.EqualFold(filepath.Ext(name), ".gguf") {
			return nil, "", fmt.Errorf("--model %s: neither a directory nor a .gguf file", name)
		}
		return disk.Dir(filepath.Dir(name)), filepath.Base(name), nil
	}
	dir, err = directory("--model", name)
	return dir, "", err
}

// openTokenizer reads the tokenizer of --model, which needs no weights for that.
func openTokenizer(name string) (tok *tokenizer.Tokenizer, err error) {
	dir, file, err := modelPath(name)
	if err != nil {
		return nil, err
	}
	if file == "" {
		tok, err = tokenizer.Load(dir)
	} else {
		tok, err = tokenizer.LoadGGUF(dir, file)
	}
	if err != nil {
		return nil, fmt.Errorf("--model %s: %w", name, err)
	}
	return tok, nil
}

// openTokens reads the tokenizer that belongs to a checkpoint, and the ids that end a
// text: those that the config, generation_config.json and the tokenizer call the end.
func openTokens(ckpt *transformer.Checkpoint, dir fs.FS) (tok *tokenizer.Tokenizer, stop []int32, err error) {
	if ckpt.GGUF != nil {
		tok, err = tokenizer.FromGGUF(ckpt.GGUF)
	} else if tok, err = tokenizer.Load(dir); errors.Is(err, fs.ErrNotExist) {
		tok, err = nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	stop = slices.Clone(ckpt.Config.EOS)
	if tok != nil {
		if id, ok := tok.EOS(); ok {
			stop = append(stop, id)
		}
	}
	if ckpt.GGUF == nil {
		more, err := generationEOS(dir)
		if err != nil {
			return nil, nil, err
		}
		stop = append(stop, more...)
	}
	slices.Sort(stop)
	return tok, slices.Compact(stop), nil
}

// generationEOS are the ids of generation_config.json, which need not be there.
func generationEOS(dir fs.FS) ([]int32, error) {
	const name = "generation_config.json"
	text, err := fs.ReadFile(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var config struct {
		EOS json.RawMessage `json:"eos_token_id"`
	}
	var one int32
	var more []int32
	if err := json.Unmarshal(text, &config); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	switch {
	case config.EOS == nil:
		return nil, nil
	case json.Unmarshal(config.EOS, &one) == nil:
		return []int32{one}, nil
	case json.Unmarshal(config.EOS, &more) == nil:
		return more, nil
	}
	return nil, fmt.Errorf("%s: eos_token_id is neither an id nor a list of ids", name)
}

// quantTypes are the values of --quant.
var quantTypes = []tensor.DType{tensor.Q8_0, tensor.Q4_0, tensor.NF4}

// quantName is the inverse of quantType.
func quantName(dt tensor.DType) string {
	if !dt.Quantized() {
		return ""
	}
	return dt.String()
}

// quantType reads --quant.
func quantType(name string) (tensor.DType, error) {
	var known []string
	for _, dt := range quantTypes {
		if known = append(known, dt.String()); dt.String() == name {
			return dt, nil
		}
	}
	if name != "" {
		return 0, usagef("--quant %q (known: %s)", name, strings.Join(known, ", "))
	}
	return tensor.F32, nil
}

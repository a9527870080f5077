package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
	"github.com/gpupeft/gpupeft/transformer/demo"
	"github.com/gpupeft/gpupeft/transformer/tokenizer"
)

// demoName is what the built-in model is called, also in the adapters made for it.
const demoName = "gpupeft-demo"

// base is a loaded model with what belongs to it.
type base struct {
	name    string // --model, or demoName
	backend tensor.Backend
	model   *transformer.Model
	tokens  *tokenizer.Tokenizer // nil if the directory has none
	stop    []int32              // ids that end a text
	note    string               // why --device auto took the CPU
}

// openBase opens --device and loads --model on it.
func openBase(c *cli.Context, out *output) (*base, error) {
	b := &base{name: c.String("model")}
	dir, err := modelDir(b.name)
	if err != nil {
		return nil, err
	}
	if b.name == "" {
		b.name = demoName
	}
	if b.backend, b.note, err = openDevice(c.Context, c.String("device")); err != nil {
		return nil, err
	}
	if err := b.load(c.Context, dir, out); err != nil {
		return nil, errors.Join(fmt.Errorf("model %s: %w", b.name, err), b.Close())
	}
	return b, nil
}

// explain says why --device auto took the CPU. Commands call it when all that can go
// wrong with their input has not, so that an error stands alone.
func (b *base) explain(out *output) {
	if b.note != "" {
		out.warn("%s", b.note)
	}
}

// modelDir returns the directory of --model.
func modelDir(name string) (fs.FS, error) {
	if name == "" {
		return demo.Model(), nil
	}
	return directory("--model", name)
}

// directory makes sure that a flag's value is a directory.
func directory(flag, name string) (fs.FS, error) {
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s %s: no such directory", flag, name)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", flag, err)
	case !info.IsDir():
		return nil, fmt.Errorf("%s %s: not a directory", flag, name)
	}
	return os.DirFS(name), nil
}

func (b *base) load(ctx context.Context, dir fs.FS, out *output) (err error) {
	if b.tokens, err = tokenizer.Load(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	line := newLiveLine(out)
	defer line.clear()
	b.model, err = transformer.Load(ctx, b.backend, dir, transformer.LoadOptions{
		Progress: func(done, total int64) { line.set("loading %s of %s", byteSize(done), byteSize(total)) },
	})
	if err != nil {
		return err
	}
	b.stop, err = stopTokens(dir, b.model.Config, b.tokens)
	return err
}

// stopTokens are the ids that config.json, generation_config.json and the tokenizer
// call the end.
func stopTokens(dir fs.FS, c *transformer.Config, t *tokenizer.Tokenizer) ([]int32, error) {
	stop := slices.Clone(c.EOS)
	if t != nil {
		if id, ok := t.EOS(); ok {
			stop = append(stop, id)
		}
	}
	const name = "generation_config.json"
	text, err := fs.ReadFile(dir, name)
	if err == nil {
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
		case json.Unmarshal(config.EOS, &one) == nil:
			stop = append(stop, one)
		case json.Unmarshal(config.EOS, &more) == nil:
			stop = append(stop, more...)
		default:
			return nil, fmt.Errorf("%s: eos_token_id is neither an id nor a list of ids", name)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	slices.Sort(stop)
	return slices.Compact(stop), nil
}

// adapter loads a PEFT directory.
func (b *base) adapter(c *cli.Context, flag string) (peft.Method, error) {
	name := c.String(flag)
	dir, err := directory("--"+flag, name)
	if err != nil {
		return nil, err
	}
	m, err := peft.Load(c.Context, dir, b.model, peft.LoadOptions{PromptScale: peft.PromptScale(c.String("prompt-scale"))})
	if err != nil {
		return nil, fmt.Errorf("--%s %s: %w", flag, name, err)
	}
	return m, nil
}

// optionalAdapter is adapter, or nil without the flag.
func (b *base) optionalAdapter(c *cli.Context, flag string) (peft.Method, error) {
	if c.String(flag) == "" {
		return nil, nil
	}
	return b.adapter(c, flag)
}

// needTokens returns the tokenizer of a model that must have one.
func (b *base) needTokens() (*tokenizer.Tokenizer, error) {
	if b.tokens == nil {
		return nil, fmt.Errorf("model %s has no tokenizer (tokenizer.json, tokenizer.model or tok*.bin)", b.name)
	}
	return b.tokens, nil
}

// adapters wraps a method that may be nil.
func adapters(m peft.Method) []transformer.Adapter {
	if m == nil {
		return nil
	}
	return []transformer.Adapter{m}
}

// virtual returns the number of virtual tokens of a method that may be nil.
func virtual(m peft.Method) int {
	if p, ok := m.(*peft.Prompt); ok {
		return p.Params().List[0].Shape[0]
	}
	return 0
}

// Close frees the model and the backend.
func (b *base) Close() error {
	var err error
	if b.model != nil {
		err = b.model.Close()
	}
	return errors.Join(err, b.backend.Close())
}

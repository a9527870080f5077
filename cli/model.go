package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
	"github.com/gpupeft/gpupeft/transformer/tokenizer"
)

// demoName is what the built-in model is called, also in the adapters made for it.
const demoName = "gpupeft-demo"

// base is a model with what belongs to it.
type base struct {
	name    string // --model, or demoName
	ckpt    *transformer.Checkpoint
	dir     fs.FS                // of --model, or of its file
	tokens  *tokenizer.Tokenizer // nil if there is none
	stop    []int32              // ids that end a text
	quant   tensor.DType         // --quant; F32: as stored
	backend tensor.Backend       // nil until openDevice
	model   *transformer.Model   // nil until load
	note    string               // why --device auto took the CPU
}

// openBase opens --model and loads it onto --device.
func openBase(c *cli.Context, out *output) (*base, error) {
	b, err := openCheckpoint(c)
	if err != nil {
		return nil, err
	}
	if err := b.openDevice(c); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	if err := b.load(c.Context, out); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// openCheckpoint opens the files of --model and reads its tokenizer, but no weights.
func openCheckpoint(c *cli.Context) (*base, error) {
	b := &base{name: c.String("model")}
	var err error
	if b.quant, err = quantType(c.String("quant")); err != nil {
		return nil, err
	}
	if b.ckpt, b.dir, b.tokens, b.stop, err = openModel(b.name, c.Bool("dry-run")); err != nil {
		return nil, err
	}
	if b.name == "" {
		b.name = demoName
	}
	return b, nil
}

// openDevice opens --device.
func (b *base) openDevice(c *cli.Context) (err error) {
	b.backend, b.note, err = openDevice(c.Context, c.String("device"))
	return err
}

// load puts the weights onto the device.
func (b *base) load(ctx context.Context, out *output) (err error) {
	line := newLiveLine(out)
	defer line.clear()
	b.model, err = b.ckpt.Load(ctx, b.backend, transformer.LoadOptions{
		Quant:    b.quant,
		Progress: func(done, total int64) { line.set("loading %s of %s", byteSize(done), byteSize(total)) },
	})
	if err != nil {
		return fmt.Errorf("model %s: %w", b.name, err)
	}
	return nil
}

// explain says why --device auto took the CPU. Commands call it when all that can go
// wrong with their input has not, so that an error stands alone.
func (b *base) explain(out *output) {
	if b.note != "" {
		out.warn("%s", b.note)
	}
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

// loadAdapter loads an adapter's directory that a flag names.
func loadAdapter(c *cli.Context, out *output, flag, name string, model *transformer.Model) (peft.Method, error) {
	dir, err := directory("--"+flag, name)
	if err != nil {
		return nil, err
	}
	warn := func(message string) { out.warn("--%s %s: %s", flag, name, message) }
	if _, plan := model.Backend().(*tensor.Plan); plan {
		warn = nil // it is loaded once more
	}
	m, err := peft.Load(c.Context, dir, model, peft.LoadOptions{PromptScale: peft.PromptScale(c.String("prompt-scale")), Warn: warn})
	if err != nil {
		return nil, fmt.Errorf("--%s %s: %w", flag, name, err)
	}
	return m, nil
}

// optionalAdapter is loadAdapter of --adapter, or nil without it.
func (b *base) optionalAdapter(c *cli.Context, out *output) (peft.Method, error) {
	if c.String("adapter") == "" {
		return nil, nil
	}
	return loadAdapter(c, out, "adapter", c.String("adapter"), b.model)
}

// needTokens returns the tokenizer of a model that must have one.
func (b *base) needTokens() (*tokenizer.Tokenizer, error) {
	if b.tokens == nil {
		return nil, fmt.Errorf("model %s has no tokenizer (tokenizer.json, tokenizer.model, tok*.bin, or that of a GGUF file)", b.name)
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
	if m == nil {
		return 0
	}
	return m.VirtualTokens()
}

// taken returns the number of positions that a method takes, which may be nil.
func taken(m peft.Method) int {
	if m == nil {
		return 0
	}
	return m.VirtualTokens() + m.PrefixTokens()
}

// Close frees the model and the backend, and closes the files.
func (b *base) Close() error {
	var err error
	if b.model != nil {
		err = b.model.Close()
	}
	if b.backend != nil {
		err = errors.Join(err, b.backend.Close())
	}
	return errors.Join(err, b.ckpt.Close())
}

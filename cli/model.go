package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/internal/disk"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/peft/formats"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
	"github.com/gpupeft/gpupeft/transformer/chat"
	"github.com/gpupeft/gpupeft/transformer/tokenizer"
)

// demoName is what the built-in model is called, also in the adapters made for it.
const demoName = "gpupeft-demo"

// base is a model with what belongs to it.
type base struct {
	name     string // --model, or demoName
	ckpt     *transformer.Checkpoint
	dir      fs.FS                // of --model, or of its file
	tokens   *tokenizer.Tokenizer // nil if there is none
	stop     []int32              // ids that end a text
	chat     chat.Choice          // the template of conversations; none until openTemplate
	converse bool                 // rows of prompt and answer become conversations
	quant    tensor.DType         // --quant; F32: as stored
	backend  tensor.Backend       // nil until openDevice
	model    *transformer.Model   // nil until load
	note     string               // why --device auto took the CPU
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

// openTuned opens --model with the adapters of --adapter, which are to be closed first.
func openTuned(c *cli.Context, out *output) (*base, *adapterSet, error) {
	b, err := openBase(c, out)
	if err != nil {
		return nil, nil, err
	}
	with, err := b.openAdapters(c, out)
	if err != nil {
		return nil, nil, errors.Join(err, b.Close())
	}
	return b, with, nil
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
	return disk.Dir(name), nil
}

// loadAdapter loads an adapter, in any format, that a flag names.
func loadAdapter(c *cli.Context, out *output, flag, name string, model *transformer.Model) (peft.Method, error) {
	s, err := readAdapter(flag, name, model.Config)
	if err != nil {
		return nil, err
	}
	warn := func(message string) { out.warn("--%s %s: %s", flag, name, message) }
	if _, plan := model.Backend().(*tensor.Plan); plan {
		warn = nil // it is loaded once more
	}
	m, err := s.Load(c.Context, model, peft.LoadOptions{PromptScale: peft.PromptScale(c.String("prompt-scale")), Warn: warn})
	if err != nil {
		return nil, fmt.Errorf("--%s %s: %w", flag, name, err)
	}
	return m, nil
}

// readAdapter reads an adapter for a model, which may be nil.
func readAdapter(flag, name string, config *transformer.Config) (*peft.State, error) {
	if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("--%s %s: no such file or directory", flag, name)
	}
	s, _, err := formats.Read(name, formats.Options{Model: config})
	if err != nil {
		return nil, fmt.Errorf("--%s %w", flag, err)
	}
	return s, nil
}

// adapterSet are the adapters of a command, with what their additions are multiplied
// by.
type adapterSet struct {
	methods  []peft.Method
	adapters []transformer.Adapter
	factors  []float64 // by method; nil: all 1
}

// setOf holds a method that may be nil, which the set doesn't close.
func setOf(m peft.Method) *adapterSet {
	if m == nil {
		return &adapterSet{}
	}
	return &adapterSet{methods: []peft.Method{m}, adapters: []transformer.Adapter{m}}
}

// openAdapters loads the adapters of --adapter, each DIR or DIR:FACTOR; none without it.
func (b *base) openAdapters(c *cli.Context, out *output) (*adapterSet, error) {
	set := &adapterSet{}
	for _, value := range c.StringSlice("adapter") {
		if err := set.add(c, out, value, b.model); err != nil {
			return nil, errors.Join(err, set.Close())
		}
	}
	return set, nil
}

func (s *adapterSet) add(c *cli.Context, out *output, value string, model *transformer.Model) error {
	name, factor, err := splitFactor(value)
	if err != nil {
		return err
	}
	m, err := loadAdapter(c, out, "adapter", name, model)
	if err != nil {
		return err
	}
	s.methods, s.factors = append(s.methods, m), append(s.factors, factor)
	var a transformer.Adapter = m
	if factor != 1 {
		if a, err = peft.Scaled(m, factor); err != nil {
			return fmt.Errorf("--adapter %s: %w", value, err)
		}
	}
	s.adapters = append(s.adapters, a)
	return nil
}

// splitFactor takes DIR:FACTOR apart. A colon in a name that exists is part of it.
func splitFactor(value string) (name string, factor float64, err error) {
	i := strings.LastIndex(value, ":")
	if _, missing := os.Stat(value); i < 1 || missing == nil {
		return value, 1, nil
	}
	if factor, err = strconv.ParseFloat(value[i+1:], 64); err != nil {
		return value, 1, nil // which doesn't exist: the error comes with its name
	}
	if math.IsNaN(factor) || math.IsInf(factor, 0) {
		return "", 0, usagef("%s: no factor", value)
	}
	return value[:i], factor, nil
}

// factor is what a method's additions are multiplied by.
func (s *adapterSet) factor(i int) float64 {
	if s.factors == nil {
		return 1
	}
	return s.factors[i]
}

// virtual is the number of virtual tokens in front of a sequence, and taken that of
// positions that are taken before the text.
func (s *adapterSet) virtual() int {
	n := 0
	for _, m := range s.methods {
		n += virtual(m)
	}
	return n
}

func (s *adapterSet) taken() int {
	n := 0
	for _, m := range s.methods {
		n += taken(m)
	}
	return n
}

// Close frees the adapters.
func (s *adapterSet) Close() error {
	var err error
	for _, m := range s.methods {
		err = errors.Join(err, m.Close())
	}
	return err
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

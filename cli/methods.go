package cli

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/peft/tune"
)

// tuneMethod is a value of --method.
type tuneMethod struct {
	name string
	// flags belong to the method, and maybe to others.
	flags []string
	// config reads them.
	config func(f methodFlags) (peft.Config, error)
	// lr is the default learning rate for a model of a width.
	lr func(width int) float64
	// silent methods change nothing before they are trained.
	silent bool
}

// methodFlags are the flags of a method, and the tokens of --prompt-init-text.
type methodFlags struct {
	*cli.Context
	text   []int32
	layers int // of the model
}

var (
	promptFlags = []string{"virtual-tokens", "prompt-init", "prompt-init-text"}
	loraFlags   = []string{
		"rank", "alpha", "dropout", "rslora", "rank-pattern", "alpha-pattern", "lora-plus-ratio", "target-modules",
		"num-layers", "modules-to-save",
	}
	bottleneckFlags = []string{"reduction-factor", "non-linearity"}
)

// tuneMethods are all methods, in the order of the help.
var tuneMethods = []tuneMethod{
	{"lora", loraFlags, func(f methodFlags) (peft.Config, error) { return f.lora(false) }, loraLR, true},
	{"dora", loraFlags, func(f methodFlags) (peft.Config, error) { return f.lora(true) }, loraLR, true},
	{"ia3", []string{"target-modules"}, func(f methodFlags) (peft.Config, error) { return f.ia3(), nil }, fixedLR(5e-3), true},
	{"ln-tuning", []string{"target-modules"}, func(f methodFlags) (peft.Config, error) {
		return peft.LayerNormConfig{Targets: f.targets("")}, nil
	}, loraLR, true},
	{"tokens", []string{"token-ids"}, func(f methodFlags) (peft.Config, error) { return f.tokens() }, fixedLR(1e-3), true},
	{"full", []string{"target-modules"}, func(f methodFlags) (peft.Config, error) { return peft.FullConfig{Targets: f.targets("")}, nil }, fullLR, true},
	{"prompt", promptFlags, func(f methodFlags) (peft.Config, error) {
		return peft.PromptConfig{Tokens: f.Int("virtual-tokens"), Init: f.promptInit(), Text: f.text, Seed: f.Uint64("seed")}, nil
	}, fixedLR(3e-2), false},
	{"ptuning", []string{"virtual-tokens", "encoder", "encoder-hidden"}, func(f methodFlags) (peft.Config, error) {
		return peft.PTuningConfig{
			Tokens: f.Int("virtual-tokens"), Encoder: strings.ToUpper(f.String("encoder")), Hidden: f.Int("encoder-hidden"),
			Seed: f.Uint64("seed"),
		}, nil
	}, fixedLR(1e-3), false},
	{"prefix", append(promptFlags, "encoder-hidden"), func(f methodFlags) (peft.Config, error) { return f.prefix() }, fixedLR(1e-2), false},
	{"mpt", append(promptFlags, "tasks", "task-rank"), func(f methodFlags) (peft.Config, error) {
		return peft.MultitaskConfig{
			Tokens: f.Int("virtual-tokens"), Tasks: f.Int("tasks"), Ranks: f.Int("task-rank"), Init: f.promptInit(),
			Text: f.text, Seed: f.Uint64("seed"),
		}, nil
	}, fixedLR(3e-2), false},
	{"llama-adapter", []string{"virtual-tokens", "num-layers"}, func(f methodFlags) (peft.Config, error) {
		return f.adaption(), nil
	}, fixedLR(5e-3), true},
	{"llama-adapter-v2", []string{"virtual-tokens", "num-layers"}, func(f methodFlags) (peft.Config, error) {
		return peft.Adaption2Config{AdaptionConfig: f.adaption()}, nil
	}, fixedLR(5e-3), true},
	{"seq-bn", bottleneckFlags, func(f methodFlags) (peft.Config, error) { return f.bottleneck(peft.SeqBn()), nil }, loraLR, false},
	{"double-seq-bn", bottleneckFlags, func(f methodFlags) (peft.Config, error) { return f.bottleneck(peft.DoubleSeqBn()), nil }, loraLR, false},
	{"par-bn", bottleneckFlags, func(f methodFlags) (peft.Config, error) { return f.bottleneck(peft.ParBn()), nil }, loraLR, true},
}

// methodNames are the values of --method.
func methodNames() []string {
	var names []string
	for _, m := range tuneMethods {
		names = append(names, m.name)
	}
	return names
}

// methodNamed returns a method of the table.
func methodNamed(name string) (tuneMethod, bool) {
	i := slices.IndexFunc(tuneMethods, func(m tuneMethod) bool { return m.name == name })
	if i < 0 {
		return tuneMethod{}, false
	}
	return tuneMethods[i], true
}

// users names the methods that a flag belongs to.
func users(flag string) []string {
	var names []string
	for _, m := range tuneMethods {
		if slices.Contains(m.flags, flag) {
			names = append(names, m.name)
		}
	}
	return names
}

// choices are what the flags with a fixed set of values may be.
var choices = []struct {
	flag  string
	known []string
}{
	{"prompt-init", []string{"text", "vocab", "random", "zero"}},
	{"encoder", []string{"mlp", "lstm"}},
	{"prompt-scale", []string{"auto", "hf4", "hf5"}},
	{"lr-schedule", list(join(peft.Schedules()))},
	{"optimizer", list(join(peft.Optimizers()))},
	{"metric", list(join(tune.Metrics()))},
}

// checkMethod refuses unknown choices, and flags of a method that isn't used.
func checkMethod(c *cli.Context) error {
	for _, ch := range choices {
		if v := c.String(ch.flag); c.IsSet(ch.flag) && !slices.Contains(ch.known, v) {
			return usagef("--%s %q (known: %s)", ch.flag, v, strings.Join(ch.known, ", "))
		}
	}
	method, ok := methodNamed(c.String("method"))
	if !ok {
		return usagef("--method %q (known: %s)", c.String("method"), strings.Join(methodNames(), ", "))
	}
	for _, m := range tuneMethods {
		for _, f := range m.flags {
			switch {
			case !c.IsSet(f):
			case c.String("init-adapter") != "":
				return usagef("--%s doesn't go with --init-adapter: the adapter has its own", f)
			case !slices.Contains(method.flags, f):
				return usagef("--%s belongs to --method %s", f, strings.Join(users(f), ", "))
			}
		}
	}
	return nil
}

func (f methodFlags) lora(dora bool) (peft.Config, error) {
	c := peft.LoRAConfig{
		Rank: f.Int("rank"), Alpha: f.Float64("alpha"), Dropout: f.Float64("dropout"), RSLoRA: f.Bool("rslora"), DoRA: dora,
		Targets: f.targets(peft.AllLinear), PlusRatio: f.Float64("lora-plus-ratio"), Seed: f.Uint64("seed"),
	}
	if f.String("modules-to-save") != "" {
		c.Save = list(f.String("modules-to-save"))
	}
	if n := f.Int("num-layers"); n > 0 {
		for l := max(0, f.layers-n); l < f.layers; l++ {
			c.Layers = append(c.Layers, l)
		}
	}
	var err error
	if c.RankPattern, err = patterns(f.String("rank-pattern"), "rank-pattern", strconv.Atoi); err != nil {
		return nil, err
	}
	number := func(s string) (float64, error) { return strconv.ParseFloat(s, 64) }
	c.AlphaPattern, err = patterns(f.String("alpha-pattern"), "alpha-pattern", number)
	return c, err
}

// patterns parses PATTERN=VALUE,...
func patterns[T any](text, flag string, parse func(string) (T, error)) (map[string]T, error) {
	if text == "" {
		return nil, nil
	}
	all := map[string]T{}
	for _, part := range list(text) {
		i := strings.LastIndex(part, "=")
		if i < 1 {
			return nil, usagef("--%s %q: want PATTERN=VALUE,...", flag, part)
		}
		v, err := parse(part[i+1:])
		if err != nil {
			return nil, usagef("--%s %q: no number", flag, part)
		}
		all[part[:i]] = v
	}
	return all, nil
}

func (f methodFlags) ia3() peft.IA3Config { return peft.IA3Config{Targets: f.targets("")} }

func (f methodFlags) tokens() (peft.Config, error) {
	var c peft.TokensConfig
	for _, s := range list(f.String("token-ids")) {
		id, err := strconv.ParseInt(s, 10, 32)
		if err != nil {
			return nil, usagef("--token-ids %q: want ids, see gpupeft tokenize", s)
		}
		c.Tokens = append(c.Tokens, int32(id))
	}
	return c, nil
}

func (f methodFlags) prefix() (peft.Config, error) {
	c := peft.PrefixConfig{
		Tokens: f.Int("virtual-tokens"), Init: peft.PrefixInit(f.String("prompt-init")), Text: f.text,
		Hidden: f.Int("encoder-hidden"), Projection: f.IsSet("encoder-hidden"), Seed: f.Uint64("seed"),
	}
	if c.Init == peft.PrefixInit(peft.InitVocab) || c.Projection && f.IsSet("prompt-init") {
		return nil, usagef("--prompt-init %s: a prefix starts from zero, random or text, and with --encoder-hidden from that network", c.Init)
	}
	return c, nil
}

func (f methodFlags) adaption() peft.AdaptionConfig {
	return peft.AdaptionConfig{Tokens: f.Int("virtual-tokens"), Layers: max(0, f.Int("num-layers")), Seed: f.Uint64("seed")}
}

// bottleneck changes one of AdapterHub's forms.
func (f methodFlags) bottleneck(c peft.BottleneckConfig) peft.BottleneckConfig {
	if r := f.Float64("reduction-factor"); r > 0 {
		c.Reduction = r
	}
	if act := f.String("non-linearity"); act != "" {
		c.Act = act
	}
	c.Seed = f.Uint64("seed")
	return c
}

// promptInit is --prompt-init, or what follows from --prompt-init-text.
func (f methodFlags) promptInit() peft.PromptInit {
	switch init := f.String("prompt-init"); {
	case init != "":
		return peft.PromptInit(init)
	case f.String("prompt-init-text") != "":
		return peft.InitText
	}
	return peft.InitVocab
}

// targets is --target-modules; otherwise, if it isn't given, something or nothing.
func (f methodFlags) targets(otherwise string) peft.Modules {
	text := f.String("target-modules")
	if text == "" {
		text = otherwise
	}
	if text == "" {
		return peft.Modules{}
	}
	return peft.Named(list(text)...)
}

// Default learning rates. That of LoRA falls with the width of the model, as Adam's
// best rate does (arXiv 2203.03466): 2e-4 at 4096, where that is the usual choice, and
// more for smaller models, up to a bound.
const (
	loraLRTimesWidth     = 2e-4 * 4096
	loraLRMin, loraLRMax = 2e-4, 5e-3
)

func loraLR(width int) float64 {
	lr := min(max(loraLRTimesWidth/float64(width), loraLRMin), loraLRMax)
	digits := math.Pow(10, 1-math.Floor(math.Log10(lr)))
	return math.Round(lr*digits) / digits // two digits are enough
}

// fullLR is a tenth: all weights move at once.
func fullLR(width int) float64 { return loraLR(width) / 10 }

func fixedLR(lr float64) func(int) float64 { return func(int) float64 { return lr } }

// lionLR is the share of AdamW's learning rate that suits Lion: a third to a tenth
// (arXiv 2302.06675, section 5).
const lionLR = 0.1

// defaultLR is the learning rate of a method without --lr.
func defaultLR(method string, o peft.Optimizer, width int) float64 {
	lr := loraLR(width)
	if m, ok := methodNamed(method); ok {
		lr = m.lr(width)
	}
	if o == peft.Lion {
		lr *= lionLR
	}
	return lr
}

// describe names a method with its sizes.
func describe(c peft.Config) string {
	switch c := c.(type) {
	case peft.LoRAConfig:
		return fmt.Sprintf("%s r %d, alpha %g, on %s", c.Name(), c.Rank, c.Alpha, c.Targets)
	case peft.PromptConfig:
		return fmt.Sprintf("prompt of %s, init %s", count(c.Tokens, "virtual token"), c.Init)
	case peft.PTuningConfig:
		return fmt.Sprintf("P-tuning of %s, %s of width %d", count(c.Tokens, "virtual token"), c.Encoder, c.Hidden)
	case peft.PrefixConfig:
		return fmt.Sprintf("prefix of %s", count(c.Tokens, "virtual token"))
	case peft.MultitaskConfig:
		return fmt.Sprintf("prompts of %s for %s", count(c.Tokens, "virtual token"), count(c.Tasks, "task"))
	case peft.AdaptionConfig:
		return fmt.Sprintf("LLaMA-Adapter of %s in %s", count(c.Tokens, "vector"), count(c.Layers, "layer"))
	case peft.Adaption2Config:
		return fmt.Sprintf("LLaMA-Adapter v2 of %s in %s", count(c.Tokens, "vector"), count(c.Layers, "layer"))
	case peft.BottleneckConfig:
		return fmt.Sprintf("%s, 1/%g of the width, %s", c.Name(), c.Reduction, c.Act)
	case peft.TokensConfig:
		return fmt.Sprintf("embeddings of %s", count(len(c.Tokens), "token"))
	}
	return c.Name()
}

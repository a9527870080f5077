package cli

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/transformer/chat"
	"github.com/gpupeft/gpupeft/transformer/tokenizer"
)

const generateDescription = `Continues a text and prints what is new, as it comes.

Examples:
   gpupeft generate -p "Once upon a time"
   gpupeft generate --model llama --adapter adapter -p "Review: good soup." \
      --max-tokens 5
   gpupeft generate --model llama --chat-template model -p "Why is the sky blue?"
   gpupeft generate --model llama -p - --temperature 0.8 --top-p 0.95 < text.txt`

func (p *program) generateCommand() *cli.Command {
	return &cli.Command{
		Name:        "generate",
		Usage:       "continue a text, with or without an adapter",
		UsageText:   "gpupeft generate [options] -p TEXT",
		Description: generateDescription,
		Action:      p.generate,
		Flags: []cli.Flag{
			modelFlag(), adaptersFlag(), promptScaleFlag(), steerFlag(),
			chatTemplateFlag("none", "that makes the prompt the question of a conversation", "none; that of the adapter's training, if it had one"),
			systemFlag(), taskFlag(),
			&cli.StringFlag{Name: "prompt", Aliases: []string{"p"}, Category: groupInput, Usage: "`TEXT` to continue; - reads it from standard input"},
			maxTokensFlag(100), temperatureFlag(), topKFlag(), topPFlag(), textSeedFlag(),
			deviceFlag(), quantFlag(),
			jsonFlag("print one JSON object at the end, in place of the text"), quietFlag(),
		},
	}
}

// generated is the result of generate --json.
type generated struct {
	Prompt     string  `json:"prompt"`
	Text       string  `json:"text"`
	IDs        []int32 `json:"ids"`
	Stop       string  `json:"stop"` // "end" or "length"
	TokensPerS float64 `json:"tokens_per_s"`
}

func (p *program) generate(c *cli.Context) error {
	if err := errors.Join(noArguments(c), checkSampling(c)); err != nil {
		return err
	}
	prompt, err := p.argument(c.String("prompt"))
	if err != nil {
		return err
	}
	out := p.output(c)
	b, with, err := openTuned(c, out)
	if err != nil {
		return err
	}
	defer b.Close()
	defer with.Close()
	steer, err := b.openSteering(c)
	if err != nil {
		return err
	}
	defer steer.Close()
	tok, err := b.needTokens()
	if err != nil {
		return err
	}
	g := generation{base: b, with: with, hooks: steer.Hooks(), task: c.Int("task"), Generation: generationOf(c)}
	if g.ids, err = b.encodePrompt(c, out, tok, prompt); err != nil {
		return err
	}
	if err := g.fit(); err != nil {
		return err
	}
	b.explain(out)
	start := time.Now()
	emit := func(piece string) error { _, err := io.WriteString(out.result, piece); return err }
	if c.Bool("json") {
		emit = nil
	}
	ids, text, err := g.run(c.Context, emit)
	if emit != nil && text != "" {
		fmt.Fprintln(out.result)
	}
	if err != nil || emit != nil {
		return err
	}
	r := generated{prompt, text, ids, "end", float64(len(ids)) / time.Since(start).Seconds()}
	if len(ids) == g.MaxTokens {
		r.Stop = "length"
	}
	return writeJSON(out.result, r)
}

// encodePrompt returns the tokens to continue: of the text, or of a conversation that
// asks it.
func (b *base) encodePrompt(c *cli.Context, out *output, tok *tokenizer.Tokenizer, prompt string) ([]int32, error) {
	trained, err := b.openTrainedTemplate(c)
	if err != nil {
		return nil, err
	}
	if trained && b.chat.Template != nil {
		out.warn("chat template %s: %s", b.chat.Name(), b.chat.Why)
	}
	if b.chat.Template == nil {
		if c.IsSet("system") {
			return nil, usagef("--system needs a --chat-template")
		}
		ids, err := data.EncodePrompt(tok, prompt)
		if err != nil {
			return nil, fmt.Errorf("--prompt: %w", err)
		}
		return ids, nil
	}
	var messages []chat.Message
	if c.IsSet("system") {
		messages = append(messages, chat.Message{Role: chat.System, Content: c.String("system")})
	}
	text, err := b.chat.Render(append(messages, chat.Message{Role: chat.User, Content: prompt}), true)
	if err != nil {
		return nil, fmt.Errorf("--chat-template: %w", err)
	}
	return tok.Encode(text, false) // the template has written BOS
}

// fit keeps a text within the model's positions.
func (g *generation) fit() error {
	have := g.with.taken() + len(g.ids)
	switch positions := g.base.model.Config.MaxPositions; {
	case have == 0:
		return usagef("--prompt is missing: a text to continue")
	case have >= positions:
		return fmt.Errorf("--prompt: %s leave no room in a model with %d positions", count(have, "token"), positions)
	default:
		g.MaxTokens = min(g.MaxTokens, positions-have)
	}
	return nil
}

// maxArgument bounds a text from standard input.
const maxArgument = 64 << 20

// argument returns a flag's value, or standard input for "-".
func (p *program) argument(value string) (string, error) {
	if value != "-" {
		return value, nil
	}
	text, err := io.ReadAll(io.LimitReader(p.in, maxArgument+1))
	if err != nil {
		return "", fmt.Errorf("standard input: %w", err)
	}
	if len(text) > maxArgument {
		return "", fmt.Errorf("standard input: more than %d MiB", maxArgument>>20)
	}
	return string(text), nil
}

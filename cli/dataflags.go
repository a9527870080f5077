package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/transformer/chat"
)

// dataFlags say how --data becomes tokens, the same for all commands that read it.
func dataFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "data-format", Value: "auto", Category: groupInput, Usage: "`FORMAT` of rows: auto, alpaca, messages, completion, text, classification, multiple-choice, ids"},
		&cli.StringFlag{Name: "prompt-key", Category: groupInput, DefaultText: "prompt, question, ctx", Usage: "`NAME` of the field with the prompt"},
		&cli.StringFlag{Name: "completion-key", Category: groupInput, DefaultText: "completion, answer, response", Usage: "`NAME` of the field with the answer"},
		&cli.StringFlag{Name: "text-key", Category: groupInput, DefaultText: "text, sentence", Usage: "`NAME` of the field with the text"},
		&cli.StringFlag{Name: "label-key", Category: groupInput, DefaultText: "label, answer, answerKey", Usage: "`NAME` of the field with the class, or the right choice"},
		&cli.StringFlag{Name: "choices-key", Category: groupInput, DefaultText: "choices, options, endings", Usage: "`NAME` of the field with the choices"},
		&cli.StringFlag{Name: "label-names", Category: groupInput, Usage: "classification: `LIST` of the classes in order, for labels that are numbers"},
		&cli.BoolFlag{Name: "label-index", Category: groupInput, DisableDefaultText: true, Usage: "the answer is the class's number, not its name, or the choice's letter"},
		&cli.StringFlag{Name: "prompt-template", Category: groupInput, Usage: "`TEXT` before the answer, with {name} for fields of the row, {choices} for a list of them; \\n is a new line"},
		chatTemplateFlag("auto", "that turns conversations into text, and if it isn't auto, rows of prompt and answer as well", "auto"),
		&cli.BoolFlag{Name: "mask-prompt", Value: true, Category: groupInput, Usage: "loss on answers only; =false: on prompts, too"},
		&cli.BoolFlag{Name: "last-turn", Category: groupInput, DisableDefaultText: true, Usage: "of a conversation, loss on the last answer only"},
	}
}

func chatTemplateFlag(value, what, otherwise string) cli.Flag {
	return &cli.StringFlag{
		Name: "chat-template", Value: value, Category: groupInput, DefaultText: otherwise,
		Usage: "`TEMPLATE` " + what + ": auto, model (what came with it), none, a file in Jinja, or " + strings.Join(chat.Names(), ", "),
	}
}

// packingFlags are those of training alone.
func packingFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "packing", Category: groupLoop, DisableDefaultText: true, Usage: "put several rows into a sequence, where they don't see each other"},
		&cli.BoolFlag{Name: "group-by-length", Category: groupLoop, DisableDefaultText: true, Usage: "put rows of similar length into a batch"},
	}
}

func previewFlag(value int) cli.Flag {
	return &cli.IntFlag{Name: "preview", Value: value, Category: groupOutput, Usage: "show the first `N` examples as the model sees them"}
}

// checkDataFlags looks at what can be wrong without the files.
func checkDataFlags(c *cli.Context) error {
	if _, err := data.FormatNamed(c.String("data-format")); err != nil {
		return usagef("--data-format %w", err)
	}
	if c.Bool("packing") && c.Bool("group-by-length") {
		return usagef("--packing makes rows of one length, so --group-by-length has nothing to group: leave one out")
	}
	if c.Int("preview") < 0 {
		return usagef("--preview %d: want 0 or more", c.Int("preview"))
	}
	return nil
}

// dataOptions says how the model's data becomes tokens, and finds the chat template.
func (b *base) dataOptions(c *cli.Context, maxLength int) (data.Options, error) {
	if err := checkDataFlags(c); err != nil {
		return data.Options{}, err
	}
	format, _ := data.FormatNamed(c.String("data-format"))
	o := data.Options{
		Vocab: b.ckpt.Config.VocabSize, MaxLength: maxLength, Format: format,
		Keys:      data.Keys{Prompt: c.String("prompt-key"), Completion: c.String("completion-key"), Text: c.String("text-key"), Label: c.String("label-key"), Choices: c.String("choices-key")},
		Prompt:    strings.ReplaceAll(c.String("prompt-template"), `\n`, "\n"),
		ByIndex:   c.Bool("label-index"),
		WholeLoss: !c.Bool("mask-prompt"), LastTurn: c.Bool("last-turn"),
	}
	if names := c.String("label-names"); names != "" {
		o.Classes = list(names)
	}
	if b.tokens != nil { // a nil pointer would be a non-nil Encoder
		o.Tokens = b.tokens
	}
	err := b.openTemplate(c.String("chat-template"))
	if b.chat.Template != nil {
		o.Template = b.chat.Template
		b.converse = c.IsSet("chat-template") && c.String("chat-template") != "auto"
		o.Converse = b.converse
	}
	return o, err
}

// openTemplate finds the template that --chat-template names, and what ends an answer.
// With auto there may be none; one that came with the model and can't be used is an
// error only where it is needed.
func (b *base) openTemplate(name string) (err error) {
	m := chat.Model{Dir: b.dir, GGUF: b.ckpt.GGUF, Kind: b.ckpt.Config.Kind}
	if b.tokens != nil {
		m.HasText = func(token string) bool { id, ok := b.tokens.ID(token); return ok && b.tokens.IsSpecial(id) }
		if id, ok := b.tokens.BOS(); ok {
			m.BOS = b.tokens.Piece(id)
		}
		if id, ok := b.tokens.EOS(); ok {
			m.EOS = b.tokens.Piece(id)
		}
	}
	switch name {
	case "none":
		return nil
	case "auto", "model":
		b.chat, err = m.Find()
		if err != nil && name == "model" {
			return fmt.Errorf("--chat-template model: %w", err)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			b.chat = chat.Choice{Template: broken{err}}
		}
	default:
		if b.chat.Template, err = namedTemplate(name, m.Specials); err != nil {
			return usagef("--chat-template: %w", err)
		}
		b.chat.Why = "--chat-template"
	}
	return b.stopAtEnd()
}

// namedTemplate returns a template in Go, or of a file.
func namedTemplate(name string, s chat.Specials) (chat.Template, error) {
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return chat.Named(name, s)
	}
	if err != nil {
		return nil, err
	}
	return chat.Jinja(name, string(text), s)
}

// stopAtEnd adds what ends an answer to what generation stops at, if it is a token.
func (b *base) stopAtEnd() error {
	end := chat.End(b.chat)
	if end == "" || b.tokens == nil {
		return nil
	}
	ids, err := b.tokens.Encode(end, false)
	if err == nil && len(ids) == 1 && b.tokens.IsSpecial(ids[0]) {
		b.stop = append(b.stop, ids[0])
	}
	return err
}

// broken is a template that came with a model and can't be used.
type broken struct{ err error }

// Name implements chat.Template.
func (broken) Name() string { return "of the model" }

// Render implements chat.Template.
func (t broken) Render([]chat.Message, bool) (string, error) {
	return "", fmt.Errorf("%w (name another with --chat-template)", t.err)
}

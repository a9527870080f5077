package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/transformer"
	"github.com/gpupeft/gpupeft/transformer/chat"
)

const chatDescription = `Holds a conversation: reads a line, prints the model's answer as it comes, and so on.
What was said stays in memory, and only what is new is computed.

   /reset        begin anew
   /system TEXT  change what the system says, from the next answer on
   /save FILE    append the conversation to FILE, as a row that tune --data reads
   /exit         end, as Ctrl-D does
   //TEXT        say a text that begins with /
   """           begin a text of several lines, which ends with another """

Ctrl-C stops an answer; what there is of it stays in the conversation.

An adapter that tune has made brings the chat template of its training along. With
--chat-template none, the texts stand alone, each on a line of its own.

Examples:
   gpupeft chat --model llama --adapter adapter
   gpupeft chat --model llama --system "Be brief." --temperature 0.8 --top-p 0.95
   echo "Why is the sky blue?" | gpupeft chat --model llama --json`

func (p *program) chatCommand() *cli.Command {
	return &cli.Command{
		Name:        "chat",
		Usage:       "talk with a model, with or without an adapter",
		UsageText:   "gpupeft chat [options]",
		Description: chatDescription,
		Action:      p.chat,
		Flags: []cli.Flag{
			modelFlag(), adaptersFlag(), promptScaleFlag(),
			chatTemplateFlag("auto", "of the conversation", "that of the adapter's training, else auto"),
			systemFlag(), taskFlag(),
			maxTokensFlag(512), temperatureFlag(), topKFlag(), topPFlag(), textSeedFlag(),
			deviceFlag(), quantFlag(),
			&cli.IntFlag{Name: "context", Category: groupCompute, DefaultText: "the model's positions, at most 4,096", Usage: "memory for a conversation of `N` tokens"},
			jsonFlag("print one JSON object a line for each answer"), quietFlag(),
		},
	}
}

// defaultContext bounds the memory that a conversation takes without --context.
const defaultContext = 4096

func (p *program) chat(c *cli.Context) error {
	if err := errors.Join(noArguments(c), checkSampling(c)); err != nil {
		return err
	}
	if c.IsSet("context") && c.Int("context") < 1 {
		return usagef("--context %d: want at least 1", c.Int("context"))
	}
	out := p.output(c)
	b, with, err := openTuned(c, out)
	if err != nil {
		return err
	}
	defer b.Close()
	defer with.Close()
	run, err := b.openConversation(c, with)
	if err != nil {
		return err
	}
	defer run.Close()
	t := &talk{program: p, out: out, asJSON: c.Bool("json")}
	if room := b.model.Config.MaxPositions - with.taken() + with.virtual(); run.Positions() < room {
		t.more = fmt.Sprintf(", --context has room for up to %d", room)
	}
	if t.session, err = b.openSession(c, out, run); err != nil {
		return err
	}
	b.explain(out)
	return t.hold(c.Context)
}

// openConversation allocates what a conversation is computed in.
func (b *base) openConversation(c *cli.Context, with *adapterSet) (*transformer.Run, error) {
	room := b.model.Config.MaxPositions - with.taken() + with.virtual()
	size := min(room, defaultContext)
	if c.IsSet("context") {
		size = c.Int("context")
	}
	if size > room || room < 1 {
		return nil, usagef("--context %d: the model has %s for a conversation", size, count(room, "position"))
	}
	run, err := b.model.NewRun(transformer.RunOptions{Batch: 1, Length: min(promptPiece, size), Context: size, Adapters: with.adapters})
	if err != nil {
		return nil, fmt.Errorf("--context %d: %w", size, err)
	}
	return run, nil
}

func (b *base) openSession(c *cli.Context, out *output, run *transformer.Run) (*chat.Session, error) {
	tok, err := b.needTokens()
	if err != nil {
		return nil, err
	}
	if _, err := b.openTrainedTemplate(c); err != nil {
		return nil, err
	}
	config := chat.SessionConfig{Run: run, Tokens: tok, System: c.String("system"), Task: c.Int("task"), Generation: generationOf(c)}
	config.Stop = b.stop
	name := "none, the texts stand alone, each on a line of its own"
	if b.chat.Template != nil {
		config.Template, name = b.chat.Template, b.chat.Name()
	}
	if b.chat.Why != "" {
		name += ": " + b.chat.Why
	}
	out.warn("chat template %s", name)
	s, err := chat.NewSession(config)
	if err != nil && config.System != "" && errors.Is(err, chat.ErrMessages) {
		return nil, usagef("--system: %w", err)
	}
	return s, err
}

// talk is a conversation with whoever is at standard input.
type talk struct {
	*program
	out        *output
	session    *chat.Session
	asJSON     bool
	terminal   bool   // a person is there
	more       string // how there could be more room, if there could
	lines      chan typed
	pending    bool // a line is being read
	interrupts chan os.Signal
}

// typed is a line, or why there is none.
type typed struct {
	text string
	err  error
}

// errExit is the end that /exit asks for.
var errExit = errors.New("exit")

// hold talks until the input ends. An interrupt ends an answer only.
func (t *talk) hold(outer context.Context) error {
	ctx, stop := uninterrupted(outer)
	defer stop()
	t.interrupts = make(chan os.Signal, 1)
	signal.Notify(t.interrupts, os.Interrupt)
	defer signal.Stop(t.interrupts)
	if f, ok := t.in.(*os.File); ok && !t.asJSON {
		t.terminal = isatty.IsTerminal(f.Fd()) || isatty.IsCygwinTerminal(f.Fd())
	}
	if t.terminal {
		t.out.say("Ctrl-C stops an answer, Ctrl-D ends; /reset, /system TEXT, /save FILE, /exit")
	}
	in := bufio.NewReader(t.in)
	t.lines = make(chan typed, 1)
	for {
		line, err := t.text(ctx, in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch err = t.line(ctx, line); {
		case errors.Is(err, errExit):
			return nil
		case err == nil:
		case ctx.Err() != nil || !t.terminal && !t.asJSON:
			return err
		default:
			if err := t.fail(line, err); err != nil {
				return err
			}
		}
	}
}

// uninterrupted returns a context that ends with another, unless that is because of an
// interrupt.
func uninterrupted(outer context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(outer))
	stop := context.AfterFunc(outer, func() {
		var s Signal
		if !errors.As(context.Cause(outer), &s) || s.Signal != os.Interrupt {
			cancel()
		}
	})
	return ctx, func() { stop(); cancel() }
}

// quotes stand around a text of several lines.
const quotes = `"""`

// text returns the next line, or the lines between quotes as one that is no command.
func (t *talk) text(ctx context.Context, in *bufio.Reader) (string, error) {
	text, err := t.next(ctx, in)
	if err != nil || !strings.HasPrefix(text, quotes) {
		return text, err
	}
	for text = text[len(quotes):]; !strings.HasSuffix(text, quotes); {
		line, err := t.next(ctx, in)
		if errors.Is(err, io.EOF) {
			return "", usagef("the input ends within %s", quotes)
		}
		if err != nil {
			return "", err
		}
		text += "\n" + line
	}
	if text = strings.Trim(strings.TrimSuffix(text, quotes), "\n"); strings.HasPrefix(text, "/") {
		text = "/" + text
	}
	return text, nil
}

// next returns the next line, and io.EOF behind the last.
func (t *talk) next(ctx context.Context, in *bufio.Reader) (string, error) {
	if t.terminal {
		fmt.Fprint(t.out.talk, "> ")
	}
	if !t.pending {
		t.pending = true
		go func() { // which a read that doesn't come back keeps from ending
			line, err := readLine(in)
			t.lines <- typed{strings.TrimRight(string(line), "\r\n"), err}
		}()
	}
	select {
	case l := <-t.lines:
		t.pending = false
		if l.err != nil && !errors.Is(l.err, io.EOF) {
			return "", fmt.Errorf("standard input: %w", l.err)
		}
		return l.text, l.err
	case <-ctx.Done():
		return "", ctx.Err()
	case <-t.interrupts:
		if !t.terminal {
			return "", errInterrupted
		}
		t.out.say("\n(Ctrl-D or /exit ends the conversation)")
		return "", nil
	}
}

// line does what a line says.
func (t *talk) line(ctx context.Context, line string) error {
	command, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	switch {
	case strings.TrimSpace(line) == "":
		return nil
	case strings.HasPrefix(line, "//"):
		return t.ask(ctx, line[1:])
	case !strings.HasPrefix(line, "/"):
		return t.ask(ctx, line)
	}
	switch command {
	case "/exit":
		return errExit
	case "/reset":
		t.session.Reset()
		return nil
	case "/system":
		return t.session.SetSystem(rest)
	case "/save":
		return t.save(rest)
	}
	return usagef("unknown command %s (known: /reset, /system TEXT, /save FILE, /exit; // begins a text with /)", command)
}

// answered is a line of --json.
type answered struct {
	Prompt     string    `json:"prompt"`
	Text       string    `json:"text"`
	Stop       chat.Stop `json:"stop,omitempty"`
	Tokens     int       `json:"tokens"`
	Computed   int       `json:"computed"` // tokens of the conversation that were new
	Context    int       `json:"context"`  // tokens of the conversation with the answer
	TokensPerS float64   `json:"tokens_per_s"`
	Error      string    `json:"error,omitempty"`
}

// ask puts a question and prints the answer.
func (t *talk) ask(ctx context.Context, question string) error {
	answering, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-t.interrupts:
			cancel()
		case <-answering.Done():
		}
	}()
	start, before := time.Now(), len(t.session.Messages())
	for piece, err := range t.session.Ask(answering, question) {
		switch {
		case errors.Is(err, chat.ErrFull):
			return fmt.Errorf("%w (/reset begins anew%s)", err, t.more)
		case err != nil && (ctx.Err() != nil || answering.Err() == nil):
			return err
		case err == nil && !t.asJSON:
			if _, err := io.WriteString(t.out.result, piece); err != nil {
				return err
			}
		}
	}
	a := t.session.Last()
	if len(t.session.Messages()) == before { // stopped before a word was said
		a = chat.Answer{Stop: chat.Interrupted}
	}
	if t.asJSON {
		return t.encode(answered{question, a.Text, a.Stop, a.Tokens, a.Computed, a.Context, float64(a.Tokens) / time.Since(start).Seconds(), ""})
	}
	if _, err := fmt.Fprintln(t.out.result); err != nil {
		return err
	}
	switch a.Stop {
	case chat.Cut:
		t.out.warn("the answer was cut after --max-tokens %d", a.Tokens)
	case chat.OutOfRoom:
		t.out.warn("the answer ends here: the conversation has all %d positions (/reset begins anew%s)", a.Context, t.more)
	}
	return nil
}

// save appends the conversation to a file, as a row of data.
func (t *talk) save(name string) error {
	if name == "" {
		return usagef("/save wants the name of a file")
	}
	row, err := json.Marshal(struct {
		Messages []chat.Message `json:"messages"`
	}{t.session.Messages()})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("/save: %w", err)
	}
	_, err = f.Write(append(row, '\n'))
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("/save: %w", err)
	}
	return nil
}

// encode prints a line of --json.
func (t *talk) encode(a answered) error {
	e := json.NewEncoder(t.out.result)
	e.SetEscapeHTML(false)
	return e.Encode(a)
}

// fail tells of a line that came to nothing; the conversation goes on.
func (t *talk) fail(line string, err error) error {
	if t.asJSON {
		return t.encode(answered{Prompt: line, Error: oneLine(err)})
	}
	_, err = fmt.Fprintln(t.err, "gpupeft: "+oneLine(err))
	return err
}

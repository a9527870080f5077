package cli

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/mattn/go-isatty"
	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/tensor"
)

const dataDoctorDescription = `Shows the first examples of a data set as the model would see them, token by token,
and which of them it would learn to say; and looks for mistakes that training would
not notice: BOS twice, no EOS to learn, answers that are empty or cut off, tokens
that the model never learned, rows of the test in the training data, one answer to
everything. The model's weights are not loaded.

Examples:
   gpupeft data-doctor --model llama --data rows.jsonl
   gpupeft data-doctor --model llama --data reviews/ --chat-template model --json`

func (p *program) dataDoctorCommand() *cli.Command {
	return &cli.Command{
		Name:        "data-doctor",
		Usage:       "show data as the model sees it, and what is wrong with it",
		UsageText:   "gpupeft data-doctor [options] --data PATH",
		Description: dataDoctorDescription,
		Action:      p.dataDoctor,
		Flags: append([]cli.Flag{
			modelFlag(),
			&cli.StringFlag{Name: "data", Category: groupInput, Usage: "`PATH` of a file or directory, as for tune (default with the built-in model: its reviews)"},
			&cli.IntFlag{Name: "max-seq-length", Value: 128, Category: groupInput, Usage: "`TOKENS` of a sequence"},
			previewFlag(3), jsonFlag("print one JSON object"), quietFlag(),
		}, dataFlags()...),
	}
}

func (p *program) dataDoctor(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	switch length := c.Int("max-seq-length"); {
	case c.String("model") != "" && c.String("data") == "":
		return usagef("--data is missing: a file or directory to look at")
	case length < 2:
		return usagef("--max-seq-length %d: want at least 2", length)
	}
	b, err := openCheckpoint(c)
	if err != nil {
		return err
	}
	defer b.Close()
	o, err := b.dataOptions(c, c.Int("max-seq-length"))
	if err != nil {
		return err
	}
	files, err := readData(c.Context, c.String("data"), o)
	if err != nil {
		return err
	}
	defer files.Close()
	x, err := b.examine(c.Context, files, c.Int("preview"))
	if err != nil {
		return err
	}
	out := p.output(c)
	if c.Bool("json") {
		return writeJSON(out.result, x)
	}
	return b.printExamination(out.result, x)
}

// examine looks at data with what the model's files say.
func (b *base) examine(ctx context.Context, f *data.Files, preview int) (*data.Examination, error) {
	o := data.ExamineOptions{Stop: b.stop, Vocab: b.ckpt.Config.VocabSize, Embeddings: b.storedEmbeddings, Preview: preview}
	if b.tokens != nil {
		o.Tokens = b.tokens
	}
	if b.ckpt.Format == "config" {
		o.Embeddings = nil
	}
	x, err := data.Examine(ctx, f, o)
	if err != nil {
		return nil, fmt.Errorf("--data: %w", err)
	}
	return x, nil
}

// storedEmbeddings reads rows of the embedding matrix from the model's file.
func (b *base) storedEmbeddings(ctx context.Context, ids []int32) ([]float32, error) {
	s, ok := b.ckpt.Tensor("model.embed_tokens.weight")
	if !ok {
		return nil, fmt.Errorf("model %s has no embeddings", b.name)
	}
	s = s.As(tensor.F32)
	row, rows := make([]byte, s.Bytes(0, 1)), []float32(nil)
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := s.Rows(row, int(id), int(id)+1); err != nil {
			return nil, err
		}
		for i := 0; i < len(row); i += 4 {
			rows = append(rows, math.Float32frombits(binary.LittleEndian.Uint32(row[i:])))
		}
	}
	return rows, nil
}

// printExamination prints all of it.
func (b *base) printExamination(w io.Writer, x *data.Examination) error {
	paint := newPaint(w)
	for _, part := range x.Parts {
		fmt.Fprintf(w, "%-6s %s: %s (%s); %s, %s, %s to learn\n", part.Part, part.File, part.Format, part.Why,
			count(part.Examples, "example"), count(part.Tokens, "token"), thousands(part.Targets))
	}
	if b.conversing(x.Parts[0].Format) {
		fmt.Fprintf(w, "chat   %s: %s\n", b.chat.Name(), b.chat.Why)
	}
	for _, shown := range x.Preview {
		targets := 0
		for _, t := range shown.Tokens {
			if t.Target {
				targets++
			}
		}
		fmt.Fprintf(w, "\nrow %d: %s, %d to learn\n%s\n", shown.Row, count(len(shown.Tokens), "token"), targets, paint.example(shown, math.MaxInt))
	}
	if len(x.Preview) > 0 {
		fmt.Fprintf(w, "\n| stands between tokens; %s\n", paint.legend())
	}
	for _, part := range x.Parts {
		fmt.Fprintf(w, "\nlengths of %s, in tokens\n", part.Part)
		most := 1
		for _, bucket := range part.Lengths {
			most = max(most, bucket.Count)
		}
		for _, bucket := range part.Lengths {
			if bucket.Count == 0 {
				continue
			}
			fmt.Fprintf(w, "%6d to %-6d %8s %s\n", bucket.From, bucket.To, thousands(bucket.Count), strings.Repeat("█", (40*bucket.Count+most-1)/most))
		}
	}
	if m := x.Majority; m != nil {
		fmt.Fprintf(w, "\n%s; the most frequent is %q, %.1f %%\n", count(m.Classes, "different answer"), b.decode(m.Answer), 100*m.Share)
	}
	fmt.Fprintln(w)
	if len(x.Warnings) == 0 {
		_, err := fmt.Fprintln(w, "no warnings")
		return err
	}
	for _, warning := range x.Warnings {
		fmt.Fprintln(w, paint.warning(warning))
	}
	return nil
}

// decode returns the text of ids, or these themselves without a tokenizer.
func (b *base) decode(ids []int32) string {
	if b.tokens == nil {
		return fmt.Sprint(ids)
	}
	return b.tokens.Decode(ids, true)
}

// paint shows tokens, in colour on a terminal.
type paint bool

func newPaint(w io.Writer) paint {
	f, ok := w.(*os.File)
	return paint(ok && os.Getenv("NO_COLOR") == "" && isatty.IsTerminal(f.Fd()))
}

func (p paint) legend() string {
	if p {
		return "green is what the model learns to say"
	}
	return "«…» is what the model learns to say"
}

// example shows tokens with what is learned marked, at most so many of them: from the
// prompt as much as fits before what is learned.
func (p paint) example(s data.Shown, most int) string {
	tokens := s.Tokens
	cut := ""
	if len(tokens) > most {
		first := 0
		for first < len(tokens)-1 && !tokens[first].Target {
			first++
		}
		from := max(0, min(first-most*2/3, len(tokens)-most))
		if from > 0 {
			cut = "…"
		}
		tokens = tokens[from : from+most]
	}
	var b strings.Builder
	b.WriteString(cut)
	learned := false
	for i, t := range tokens {
		if t.Target != learned {
			b.WriteString(p.mark(t.Target))
			learned = t.Target
		} else if i > 0 {
			b.WriteByte('|')
		}
		piece := t.Piece
		if piece == "" {
			piece = strconv.Itoa(int(t.ID))
		}
		quoted := strconv.Quote(piece)
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	if learned {
		b.WriteString(p.mark(false))
	}
	if len(tokens) < len(s.Tokens) && (cut == "" || tokens[len(tokens)-1] != s.Tokens[len(s.Tokens)-1]) {
		b.WriteString("…")
	}
	return b.String()
}

// mark begins or ends what is learned.
func (p paint) mark(begin bool) string {
	switch {
	case bool(p) && begin:
		return "\x1b[32m|"
	case bool(p):
		return "|\x1b[0m"
	case begin:
		return "«"
	}
	return "»"
}

// warning is one line.
func (p paint) warning(w data.Warning) string {
	text := fmt.Sprintf("warning   %s: %s", w.Part, w.Text)
	if len(w.Rows) > 0 {
		var rows []string
		for _, r := range w.Rows {
			rows = append(rows, strconv.Itoa(r))
		}
		more := ""
		if w.Count > len(rows) {
			more = ", …"
		}
		text += fmt.Sprintf(" (row %s%s)", strings.Join(rows, ", "), more)
	}
	if p {
		return "\x1b[33m" + text + "\x1b[0m"
	}
	return text
}

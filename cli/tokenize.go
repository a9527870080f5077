package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/transformer/tokenizer"
)

const tokenizeDescription = `Prints the tokens of a text, one a line: the id and, quoted, the piece of the
vocabulary. The text is the arguments, or standard input without its last newline.

--jsonl reads a JSON string a line and writes a JSON array of ids a line. --decode
goes the other way: ids, or with --jsonl arrays of ids, become text.

Examples:
   gpupeft tokenize --model llama "Hello, world!"
   gpupeft tokenize --model llama --jsonl < strings.jsonl > ids.jsonl
   gpupeft tokenize --model llama --decode 15043 29892`

func (p *program) tokenizeCommand() *cli.Command {
	return &cli.Command{
		Name:        "tokenize",
		Usage:       "turn text into token ids, or back",
		UsageText:   "gpupeft tokenize [options] [TEXT]",
		ArgsUsage:   "[TEXT]",
		Description: tokenizeDescription,
		Action:      p.tokenize,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "model", Category: groupInput, Usage: "`PATH` of a directory with tokenizer.json, tokenizer.model or tok*.bin, or of a GGUF file; without it, that of the built-in model"},
			&cli.BoolFlag{Name: "jsonl", Category: groupOutput, DisableDefaultText: true, Usage: "one JSON value a line, in and out"},
			&cli.BoolFlag{Name: "decode", Category: groupOutput, DisableDefaultText: true, Usage: "turn ids into text"},
			&cli.BoolFlag{Name: "special", Category: groupOutput, DisableDefaultText: true, Usage: "add the special tokens that surround a text; with --decode, leave special tokens out"},
		},
	}
}

// codec is a direction of tokenize.
type codec struct {
	*tokenizer.Tokenizer
	special bool
}

func (p *program) tokenize(c *cli.Context) error {
	tok, err := openTokenizer(c.String("model"))
	if err != nil {
		return err
	}
	t := codec{tok, c.Bool("special")}
	if c.Bool("jsonl") {
		if err := noArguments(c); err != nil {
			return err
		}
		convert := t.encodeJSON
		if c.Bool("decode") {
			convert = t.decodeJSON
		}
		return p.eachLine(convert)
	}
	text := strings.Join(c.Args().Slice(), " ")
	if !c.Args().Present() {
		if text, err = p.argument("-"); err != nil {
			return err
		}
		text = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
	}
	if c.Bool("decode") {
		return t.printText(p.out, text)
	}
	return t.printTokens(p.out, text)
}

// printTokens encodes a text for people.
func (t codec) printTokens(w io.Writer, text string) error {
	if !utf8.ValidString(text) {
		return errors.New("the text is not UTF-8")
	}
	ids, err := t.Encode(text, t.special)
	if err != nil {
		return err
	}
	b := bufio.NewWriter(w)
	for _, id := range ids {
		fmt.Fprintf(b, "%d\t%s\n", id, strconv.Quote(t.Piece(id)))
	}
	return b.Flush()
}

// printText decodes ids that stand between spaces or commas.
func (t codec) printText(w io.Writer, list string) error {
	var ids []int32
	for _, word := range strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(" \t\r\n,[]", r) }) {
		id, err := strconv.ParseInt(word, 10, 32)
		if err != nil {
			return usagef("%q is no token id", word)
		}
		ids = append(ids, int32(id))
	}
	if err := t.known(ids); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, t.Decode(ids, t.special))
	return err
}

func (t codec) known(ids []int32) error {
	for _, id := range ids {
		if id < 0 || int(id) >= t.Size() {
			return fmt.Errorf("id %d is outside the vocabulary of %d", id, t.Size())
		}
	}
	return nil
}

func (t codec) encodeJSON(line []byte) (any, error) {
	var text *string
	if !utf8.Valid(line) {
		return nil, errors.New("not UTF-8")
	}
	if err := json.Unmarshal(line, &text); err != nil || text == nil {
		return nil, errors.New("not a JSON string")
	}
	return t.Encode(*text, t.special)
}

func (t codec) decodeJSON(line []byte) (any, error) {
	var ids []int32
	if err := json.Unmarshal(line, &ids); err != nil || ids == nil {
		return nil, errors.New("not a JSON array of ids")
	}
	if err := t.known(ids); err != nil {
		return nil, err
	}
	return t.Decode(ids, t.special), nil
}

// maxLine bounds a line of --jsonl.
const maxLine = 16 << 20

// eachLine converts standard input line by line. Results are written at the latest
// when the input pauses, so that another program can talk to this one.
func (p *program) eachLine(convert func(line []byte) (any, error)) error {
	in, out := bufio.NewReaderSize(p.in, 1<<16), bufio.NewWriter(p.out)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for n := 1; ; n++ {
		if in.Buffered() == 0 {
			if err := out.Flush(); err != nil {
				return err
			}
		}
		line, err := readLine(in)
		if errors.Is(err, io.EOF) {
			return out.Flush()
		}
		var result any
		if err == nil {
			result, err = convert(line)
		}
		if err == nil {
			err = encoder.Encode(result)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("line %d: %w", n, err), out.Flush())
		}
	}
}

// readLine returns a line without its end, and io.EOF behind the last one.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		piece, err := r.ReadSlice('\n')
		line = append(line, piece...)
		switch {
		case len(line) > maxLine:
			return nil, fmt.Errorf("longer than %d MiB", maxLine>>20)
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0, err == nil:
			return line, nil
		default:
			return nil, err
		}
	}
}

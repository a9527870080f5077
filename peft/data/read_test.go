package data_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/transformer"
)

const masked = transformer.Masked

// example puts an expected example together.
func example(prompt, targets []int32) data.Example {
	return data.Example{
		IDs:    slices.Concat(prompt, targets),
		Labels: slices.Concat(slices.Repeat([]int32{masked}, len(prompt)), targets),
	}
}

func TestRead(t *testing.T) {
	begin := []int32{bos}
	abEOS := append(ids("ab"), eos)
	tests := []struct {
		name, file, text string
		format           data.Format
		want             []data.Example
	}{
		{"text", "a.txt", "ab\n", data.Text, []data.Example{example(begin, ids("ab\n"))}},
		{"text without last newline", "a.txt", "ab", data.Text, []data.Example{example(begin, ids("ab"))}},
		{"text with CRLF and a byte order mark", "a.txt", "\ufeffa\r\nb\r\n", data.Text, []data.Example{example(begin, ids("a\nb\n"))}},
		{"text that looks like JSON", "a.txt", `{"text":"x"}`, data.Text, []data.Example{example(begin, ids(`{"text":"x"}`))}},
		{"text by content", "notes", "ab", data.Text, []data.Example{example(begin, ids("ab"))}},
		{
			"rows of text", "a.jsonl", `{"text":"ab"}` + "\n\n" + `{"text":"é","id":7}`, data.TextRows,
			[]data.Example{example(begin, abEOS), example(begin, append(ids("é"), eos))},
		},
		{"rows by content", "rows", "\n  {\"text\":\"ab\"}\n", data.TextRows, []data.Example{example(begin, abEOS)}},
		{"rows with CRLF and a byte order mark", "a.jsonl", "\ufeff{\"text\":\"ab\"}\r\n", data.TextRows, []data.Example{example(begin, abEOS)}},
		{"completion", "a.jsonl", `{"prompt":"x:","completion":"ab"}`, data.Completion, []data.Example{example(append(begin, ids("x:")...), abEOS)}},
		{
			"JSON array", "a.json", "[\n{\"prompt\":\"x:\",\"completion\":\"ab\"},\n {\"prompt\":\"\",\"completion\":\"ab\"}]", data.Completion,
			[]data.Example{example([]int32{bos, 3 + 'x', 3 + ':'}, abEOS), example(begin, abEOS)},
		},
		{"JSONL called .json", "a.json", `{"text":"ab"}`, data.TextRows, []data.Example{example(begin, abEOS)}},
		{
			"ready", "a.jsonl", `{"input_ids":[5,6,7],"labels":[-100,6,9],"attention_mask":[1,1,1]}`, data.Ready,
			[]data.Example{{IDs: []int32{5, 6, 7}, Labels: []int32{masked, 6, 9}}},
		},
		{
			"ready with a first label", "a.jsonl", `{"labels":[5,-100,7],"input_ids":[5,6,7]}`, data.Ready,
			[]data.Example{{IDs: []int32{5, 6, 7}, Labels: []int32{5, masked, 7}}},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := read(t, test.file, test.text, options())
			if s.Format != test.format {
				t.Errorf("format %q, want %q", s.Format, test.format)
			}
			if got := all(t, s); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got  %v\nwant %v", got, test.want)
			}
			if s.Truncated != 0 || s.Dropped != 0 {
				t.Errorf("%d truncated, %d dropped", s.Truncated, s.Dropped)
			}
		})
	}
}

// TestReadBad checks that bad data gives an error of the right kind that says where.
func TestReadBad(t *testing.T) {
	ok := `{"text":"ab"}` + "\n"
	ready := func(ids, labels string) string { return fmt.Sprintf(`{"input_ids":%s,"labels":%s}`, ids, labels) }
	tests := []struct {
		name, file, text string
		kind             error
		says             string
	}{
		{"empty text", "a.txt", "", data.ErrTooFew, "a.txt is empty"},
		{"empty rows", "a.jsonl", "\n\n", data.ErrTooFew, "a.jsonl is empty"},
		{"empty array", "a.json", "[]", data.ErrTooFew, "a.json is empty"},
		{"NUL", "a.txt", "ab\ncd\x00", data.ErrFormat, "a.txt:2: a NUL byte"},
		{"invalid UTF-8", "a.txt", "ab\ncd\xff", data.ErrFormat, "a.txt:2: invalid UTF-8 (byte 0xff at column 3)"},
		{"invalid UTF-8 in a row", "a.jsonl", ok + "{\"text\":\"\xc3\"}", data.ErrFormat, "a.jsonl:2: invalid UTF-8"},
		{"invalid UTF-8 in an array", "a.json", "[{\"text\":\"\xc3\"}]", data.ErrFormat, "a.json:1: invalid UTF-8"},
		{"UTF-16", "a.txt", "\xff\xfea\x00", data.ErrFormat, "this is UTF-16"},
		{"gzip", "a.jsonl", "\x1f\x8b\x08", data.ErrFormat, "this is gzip"},
		{"no JSON", "a.jsonl", ok + "hello", data.ErrFormat, "a.jsonl:2: no JSON"},
		{"cut off", "a.jsonl", ok + `{"text":"ab`, data.ErrFormat, "a.jsonl:2: field \"text\": no JSON"},
		{"cut off behind a value", "a.jsonl", ok + `{"text":"ab"`, data.ErrFormat, "a.jsonl:2: no JSON"},
		{"no object", "a.jsonl", `["ab"]`, data.ErrFormat, "a.jsonl:1: no JSON object"},
		{"two objects", "a.jsonl", `{"text":"a"}{"text":"b"}`, data.ErrFormat, "a.jsonl:1: text behind"},
		{"unknown fields", "a.jsonl", `{"message":[],"id":1}`, data.ErrFormat, `a.jsonl:1: fields ["id" "message"], want one of: input_ids and labels`},
		{"half a pair", "a.jsonl", `{"prompt":"x"}`, data.ErrFormat, `a.jsonl:1: field "completion or answer or response" is missing`},
		{"mixed", "a.jsonl", ok + `{"prompt":"x","completion":"y"}`, data.ErrFormat, `a.jsonl:2: field "text" is missing`},
		{"twice", "a.jsonl", `{"text":"a","text":"b"}`, data.ErrFormat, `field "text" occurs twice`},
		{"case", "a.jsonl", `{"Text":"a"}`, data.ErrFormat, `fields ["Text"]`},
		{"wrong type", "a.jsonl", ok + `{"text":3}`, data.ErrFormat, `a.jsonl:2: field "text" is no string`},
		{"null", "a.jsonl", ok + `{"text":null}`, data.ErrFormat, `a.jsonl:2: field "text" is no string`},
		{"escaped NUL", "a.jsonl", `{"text":"a\u0000"}`, data.ErrFormat, `field "text": a NUL`},
		{"array row", "a.json", `[{"text":"a"},{"text":3}]`, data.ErrFormat, `a.json:1: row 2: field "text" is no string`},
		{"array cut off", "a.json", `[{"text":"a"},{"te`, data.ErrFormat, "a.json:1: row 2: no JSON"},
		{"array ends behind a comma", "a.json", `[{"text":"a"},`, data.ErrFormat, "a.json:1: row 2: no JSON"},
		{"array without end", "a.json", `[{"text":"a"}`, data.ErrFormat, "no JSON array"},
		{"deep", "a.jsonl", `{"text":"a","x":` + strings.Repeat("[", 20000) + `}`, data.ErrFormat, `a.jsonl:1: field "x": no JSON`},
		{"ids of text", "a.jsonl", ready(`"a"`, `[1]`), data.ErrFormat, `field "input_ids" is no list of integers`},
		{"fractions", "a.jsonl", ready(`[1.5]`, `[1]`), data.ErrFormat, `field "input_ids" is no list of integers`},
		{"huge id", "a.jsonl", ready(`[1,99999999999]`, `[1,1]`), data.ErrFormat, `field "input_ids" is no list of integers`},
		{"null id", "a.jsonl", ready(`[1,null]`, `[1,1]`), data.ErrFormat, `field "input_ids" is no list of integers`},
		{"id outside", "a.jsonl", ready(`[1,300]`, `[1,1]`), data.ErrFormat, `a.jsonl:1: field "input_ids": id 300 at position 1 is outside the model's vocabulary of 300`},
		{"negative id", "a.jsonl", ready(`[1,-1]`, `[1,1]`), data.ErrFormat, `id -1 at position 1`},
		{"label outside", "a.jsonl", ready(`[1,2]`, `[1,300]`), data.ErrFormat, `field "labels": 300 at position 1`},
		{"negative label", "a.jsonl", ready(`[1,2]`, `[1,-1]`), data.ErrFormat, `field "labels": -1 at position 1`},
		{"lengths", "a.jsonl", ready(`[1,2]`, `[1]`), data.ErrFormat, `2 input_ids, 1 labels`},
		{"padding", "a.jsonl", `{"input_ids":[1,2],"labels":[1,2],"attention_mask":[0,1]}`, data.ErrFormat, `"attention_mask" has zeros`},
		{"nothing to predict", "a.jsonl", ready(`[1,2]`, `[1,-100]`), data.ErrTooFew, "none of 1 rows has a target"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := data.Read(t.Context(), test.file, strings.NewReader(test.text), options())
			if !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %v saying %q", err, test.kind, test.says)
			}
		})
	}
}

// zeros never ends, like a sparse file.
type zeros struct{ read int }

func (z *zeros) Read(p []byte) (int, error) { clear(p); z.read += len(p); return len(p), nil }

// endless never ends and has no line feed.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	e.read += len(p)
	return len(p), nil
}

func TestBounds(t *testing.T) {
	const most = 64 << 20
	for _, name := range []string{"a.txt", "a.jsonl", "a.json"} {
		z, e := &zeros{}, &endless{}
		if _, err := data.Read(t.Context(), name, z, options()); !errors.Is(err, data.ErrFormat) || z.read > 1<<20 {
			t.Errorf("%s of NULs: %v after %d bytes", name, err, z.read)
		}
		if _, err := data.Read(t.Context(), name, e, options()); !errors.Is(err, data.ErrFormat) || !strings.Contains(err.Error(), "longer than 16 MiB") || e.read > most {
			t.Errorf("%s without line feeds: %v after %d bytes", name, err, e.read)
		}
	}
	row := &endless{}
	lines := io.MultiReader(strings.NewReader("[{\"text\":\""), newlines{row})
	if _, err := data.Read(t.Context(), "a.json", lines, options()); !errors.Is(err, data.ErrFormat) || row.read > 2*most {
		t.Errorf("endless row: %v after %d bytes", err, row.read)
	}
}

// newlines turns the end of each read into a line feed inside a JSON string's array.
type newlines struct{ *endless }

func (n newlines) Read(p []byte) (int, error) {
	k, err := n.endless.Read(p)
	p[k-1] = '\n'
	return k, err
}

func TestTokenizerMissing(t *testing.T) {
	o := options()
	o.Tokens = nil
	for name, text := range map[string]string{"a.txt": "ab", "a.jsonl": `{"text":"ab"}`} {
		if _, err := data.Read(t.Context(), name, strings.NewReader(text), o); !errors.Is(err, data.ErrTokenizer) {
			t.Errorf("%s: got %v, want ErrTokenizer", name, err)
		}
	}
	if s := read(t, "a.jsonl", `{"input_ids":[1,2],"labels":[1,2]}`, o); s.Len() != 1 {
		t.Errorf("ready rows: %v", all(t, s))
	}
}

func TestVocabularyTooSmall(t *testing.T) {
	o := options()
	o.Vocab = 50
	for name, text := range map[string]string{"a.txt": "ab", "a.jsonl": `{"text":"ab"}`, "b.jsonl": `{"prompt":"a","completion":"b"}`} {
		if _, err := data.Read(t.Context(), name, strings.NewReader(text), o); !errors.Is(err, data.ErrFormat) || !strings.Contains(err.Error(), "vocabulary of 50") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestTruncation(t *testing.T) {
	o := options()
	o.MaxLength = 4
	text := `{"prompt":"x","completion":"abcd"}` + "\n" + `{"prompt":"long","completion":"z"}` + "\n" + `{"prompt":"","completion":"a"}`
	s := read(t, "a.jsonl", text, o)
	want := []data.Example{example([]int32{bos, 3 + 'x'}, ids("ab")), example([]int32{bos}, []int32{3 + 'a', eos})}
	if !reflect.DeepEqual(all(t, s), want) || s.Truncated != 2 || s.Dropped != 1 {
		t.Errorf("got %+v", s)
	}
	blocks := all(t, read(t, "a.txt", "abcdefgh", o)) // nine tokens: the last has none before it
	if len(blocks) != 2 || !reflect.DeepEqual(blocks[1], example(ids("d"), ids("efg"))) {
		t.Errorf("got %v", blocks)
	}
	o.MaxLength = 1
	if _, err := data.Read(t.Context(), "a.txt", strings.NewReader("ab"), o); !errors.Is(err, data.ErrTooFew) {
		t.Errorf("blocks of one token: got %v", err)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, text := range map[string]string{"a.txt": "ab", "a.jsonl": `{"text":"ab"}`, "a.json": `[{"text":"ab"}]`} {
		if _, err := data.Read(ctx, name, strings.NewReader(text), options()); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

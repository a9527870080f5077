package data_test

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/transformer/chat"
)

// bare is a template without special tokens, for texts that can be read.
func bare(t *testing.T) chat.Template {
	t.Helper()
	tmpl, err := chat.Jinja("bare", "{% for m in messages %}<{{ m.role[0] }}>{{ m.content }}.{{ '\n' }}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}", chat.Specials{})
	if err != nil {
		t.Fatal(err)
	}
	return tmpl
}

// TestFormats checks for each format how it is found, and what becomes of a row.
func TestFormats(t *testing.T) {
	alpaca := "Below is an instruction that describes a task%s. Write a response that appropriately completes the request.\n\n### Instruction:\nAdd.\n\n%s### Response:\n"
	plain := func(prompt, answer string) data.Example {
		return example(append([]int32{bos}, ids(prompt)...), append(ids(answer), eos))
	}
	tests := []struct {
		name, file, text string
		change           func(*data.Options)
		format           data.Format
		why              string
		want             []data.Example
	}{
		{
			"alpaca", "a.json", `[{"instruction":"Add.","input":"1 2","output":"3"},{"instruction":"Add.","input":"","output":"3"},{"instruction":"Add.","output":"3"}]`, nil, data.Alpaca,
			`the first row has "instruction" and "output"`,
			[]data.Example{
				plain(fmt.Sprintf(alpaca, ", paired with an input that provides further context", "### Input:\n1 2\n\n"), "3"), plain(fmt.Sprintf(alpaca, "", ""), "3"), plain(fmt.Sprintf(alpaca, "", ""), "3"),
			},
		},
		{
			"messages", "a.jsonl", `{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"ho"}]}`, nil, data.Chat,
			`the first row has "messages"`,
			[]data.Example{example(ids("<u>hi.\n<a>"), ids("ho."))},
		},
		{
			"ShareGPT", "a.jsonl", `{"conversations":[{"from":"human","value":"hi"},{"from":"gpt","value":"ho"}]}`, nil, data.Chat,
			`the first row has "conversations"`,
			[]data.Example{example(ids("<u>hi.\n<a>"), ids("ho."))},
		},
		{
			"messages as prompt and completion", "a.jsonl", `{"prompt":[{"role":"user","content":"hi"},{"role":"assistant","content":"ho"},{"role":"user","content":"hu"}],"completion":[{"role":"assistant","content":"ha"}]}`, nil, data.Completion,
			`the first row has "prompt" and "completion"`,
			[]data.Example{example(ids("<u>hi.\n<a>ho.\n<u>hu.\n<a>"), ids("ha."))},
		},
		{"question and answer", "a.jsonl", `{"question":"x:","answer":"ab"}`, nil, data.Completion, `the first row has "question" and "answer"`, []data.Example{plain("x:", "ab")}},
		{
			"Dolly", "a.jsonl", `{"instruction":"Add.","context":"1 2","response":"3"}`, nil, data.Alpaca, `the first row has "instruction" and "response"`,
			[]data.Example{plain(fmt.Sprintf(alpaca, ", paired with an input that provides further context", "### Input:\n1 2\n\n"), "3")},
		},
		{
			"keys", "a.jsonl", `{"q":"x:","a":"ab"}`, func(o *data.Options) { o.Keys = data.Keys{Prompt: "q", Completion: "a"} }, data.Completion,
			`the first row has "q" and "a"`,
			[]data.Example{plain("x:", "ab")},
		},
		{"text key", "a.jsonl", `{"body":"ab"}`, func(o *data.Options) { o.Keys.Text = "body" }, data.TextRows, `the first row has "body"`, []data.Example{plain("", "ab")}},
		{"asked for", "a.jsonl", `{"text":"ab","label":"x"}`, func(o *data.Options) { o.Format = data.TextRows }, data.TextRows, "as asked for", []data.Example{plain("", "ab")}},
		{
			"prompt of fields", "a.jsonl", `{"q":"why","n":7,"completion":"ab"}`, func(o *data.Options) { o.Prompt = "{n}. {q}? {{}}" }, data.Completion,
			`the first row has "completion"`,
			[]data.Example{plain("7. why? {}", "ab")},
		},
		{
			"converse", "a.jsonl", `{"prompt":"hi","completion":"ho"}`, func(o *data.Options) { o.Converse = true }, data.Completion, `the first row has "prompt" and "completion"`,
			[]data.Example{example(ids("<u>hi.\n<a>"), ids("ho."))},
		},
		{
			"whole loss", "a.jsonl", `{"prompt":"x:","completion":"ab"}`, func(o *data.Options) { o.WholeLoss = true }, data.Completion, `the first row has "prompt" and "completion"`,
			[]data.Example{example([]int32{bos}, append(ids("x:ab"), eos))},
		},
		{"CSV", "a.csv", "\ufeffprompt,completion\r\n\"x,\"\"\ny:\",ab\r\n", nil, data.Completion, `the first row has "prompt" and "completion"`, []data.Example{plain("x,\"\ny:", "ab")}},
		{
			"TSV", "a.tsv", "sentence\tlabel\n\"`` odd \"\" quotes\t1\n\nfine\t0", nil, data.Classes, `the first row has "sentence" and "label"`,
			[]data.Example{withClass(plain("\"`` odd \"\" quotes\nLabel:", " 1"), 1), withClass(plain("fine\nLabel:", " 0"), 2)},
		},
		{
			"named classes", "a.jsonl", `{"text":"a","label":1}` + "\n" + `{"text":"b","label":"bad"}`, func(o *data.Options) { o.Classes = []string{"bad", "good"} }, data.Classes,
			`the first row has "text" and "label"`,
			[]data.Example{withClass(plain("a\nLabel:", " good"), 2), withClass(plain("b\nLabel:", " bad"), 1)},
		},
		{
			"classes by index", "a.jsonl", `{"text":"a","label":"good"}`, func(o *data.Options) { o.Classes, o.ByIndex = []string{"bad", "good"}, true }, data.Classes,
			`the first row has "text" and "label"`,
			[]data.Example{withClass(plain("a\nLabel:", " 1"), 2)},
		},
		{"text by name", "a.txt", "ab", nil, data.Text, "its name ends in .txt", []data.Example{example([]int32{bos}, ids("ab"))}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := options()
			o.MaxLength, o.Template = 512, bare(t)
			if test.change != nil {
				test.change(&o)
			}
			s := read(t, test.file, test.text, o)
			if s.Format != test.format || s.Why != test.why {
				t.Errorf("format %q because %q, want %q because %q", s.Format, s.Why, test.format, test.why)
			}
			if got := all(t, s); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got  %v\nwant %v", got, test.want)
			}
		})
	}
}

func withClass(e data.Example, class int) data.Example {
	e.Class = class
	return e
}

// TestTurns: all answers of a conversation are targets, or the last.
func TestTurns(t *testing.T) {
	o := options()
	o.Template = bare(t)
	text := `{"messages":[{"role":"system","content":"s"},{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"},{"role":"assistant","content":"d"}]}`
	targets := func() (got []string) {
		e := all(t, read(t, "a.jsonl", text, o))[0]
		if !slices.Equal(e.IDs, ids("<s>s.\n<u>a.\n<a>b.\n<u>c.\n<a>d.")) {
			t.Errorf("ids %v", e.IDs)
		}
		for i, y := range e.Labels {
			if y != masked {
				got = append(got, fmt.Sprintf("%d:%c", i, y-3))
			}
		}
		return got
	}
	first := strings.Index("<s>s.\n<u>a.\n<a>b.\n<u>c.\n<a>d.\n", "b.")
	last := first + len("b.\n<u>c.\n<a>")
	b, d := []string{fmt.Sprintf("%d:b", first), fmt.Sprintf("%d:.", first+1)}, []string{fmt.Sprintf("%d:d", last), fmt.Sprintf("%d:.", last+1)}
	if got := targets(); !slices.Equal(got, append(b, d...)) {
		t.Errorf("targets %v", got)
	}
	o.LastTurn = true
	if got := targets(); !slices.Equal(got, d) {
		t.Errorf("targets of the last turn %v", got)
	}
}

// TestFormatErrors checks that what is wrong is said with the line.
func TestFormatErrors(t *testing.T) {
	chatRow := func(messages string) string { return `{"messages":` + messages + `}` }
	tests := []struct {
		name, file, text string
		change           func(*data.Options)
		kind             error
		says             string
	}{
		{"no template", "a.jsonl", chatRow(`[{"role":"user","content":"a"}]`), func(o *data.Options) { o.Template = nil }, data.ErrOptions, "a.jsonl:1: rows of messages need a chat template"},
		{"no answer", "a.jsonl", chatRow(`[{"role":"user","content":"a"}]`), nil, data.ErrFormat, "a.jsonl:1: it has no message of the assistant"},
		{"no messages", "a.jsonl", chatRow(`3`), nil, data.ErrFormat, `a.jsonl:1: field "messages" is no list of messages`},
		{"no answer in the completion", "a.jsonl", `{"prompt":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}],"completion":[{"role":"user","content":"c"}]}`, nil, data.ErrFormat, "a.jsonl:1: the completion has no message of the assistant"},
		{"messages without a template", "a.jsonl", `{"prompt":[{"role":"user","content":"a"}],"completion":[{"role":"assistant","content":"b"}]}`, func(o *data.Options) { o.Template = nil }, data.ErrOptions, "a.jsonl:1: a prompt of messages needs a chat template"},
		{"no content", "a.jsonl", chatRow(`[{"role":"user"}]`), nil, data.ErrFormat, `a.jsonl:1: field "messages": message 1 needs "role" and "content"`},
		{"content of parts", "a.jsonl", chatRow(`[{"role":"user","content":[]}]`), nil, data.ErrFormat, `a.jsonl:1: field "messages" is no list of messages`},
		{"tools", "a.jsonl", `{"messages":[],"tools":[{"name":"f"}]}`, nil, data.ErrFormat, "conversations with tools are not supported"},
		{"NUL in a message", "a.jsonl", chatRow(`[{"role":"user","content":"\u0000"}]`), nil, data.ErrFormat, "message 1: a NUL"},
		{"other format", "a.jsonl", `{"text":"a"}`, func(o *data.Options) { o.Format = data.Alpaca }, data.ErrFormat, `a.jsonl:1: field "instruction" is missing (the row has ["text"])`},
		{"prompt's field", "a.jsonl", `{"q":"a","completion":"b"}`, func(o *data.Options) { o.Prompt = "{r}" }, data.ErrFormat, `a.jsonl:1: field "r" is missing`},
		{"prompt's brace", "a.jsonl", `{"q":"a","completion":"b"}`, func(o *data.Options) { o.Prompt = "{q" }, data.ErrOptions, "a { without name or }"},
		{"prompt's other brace", "a.jsonl", `{"q":"a","completion":"b"}`, func(o *data.Options) { o.Prompt = "q}" }, data.ErrOptions, "a } without {"},
		{"unknown class", "a.jsonl", `{"text":"a","label":"x"}`, func(o *data.Options) { o.Classes = []string{"bad", "good"} }, data.ErrFormat, `a.jsonl:1: field "label": "x" is none of the classes`},
		{"number beyond the classes", "a.jsonl", `{"text":"a","label":2}`, func(o *data.Options) { o.Classes = []string{"bad", "good"} }, data.ErrFormat, `a.jsonl:1: field "label": "2" is none`},
		{"index without names", "a.jsonl", `{"text":"a","label":"x"}`, func(o *data.Options) { o.ByIndex = true }, data.ErrOptions, "classes by number need their names"},
		{"null label", "a.jsonl", `{"text":"a","label":null}`, nil, data.ErrFormat, `a.jsonl:1: field "label" is no string`},
		{"CSV with a quote open", "a.csv", "text,label\na,\"b\nc\nd", nil, data.ErrFormat, "a.csv:2: no CSV"},
		{"CSV with a bare quote", "a.csv", "text,label\na,b\"c\n", nil, data.ErrFormat, "a.csv:2: no CSV"},
		{"CSV with a cell too few", "a.csv", "text,label\na,b\nc\n", nil, data.ErrFormat, "a.csv:3: no CSV"},
		{"CSV without a header", "a.csv", "good,1\nbad,0\n", nil, data.ErrFormat, `a.csv:1: fields ["1" "good"], want one of`},
		{"CSV with a column twice", "a.csv", "text,text\na,b\n", nil, data.ErrFormat, `a.csv:1: column "text" occurs twice`},
		{"TSV with a cell too many", "a.tsv", "text\tlabel\na\tb\nc\td\te\n", nil, data.ErrFormat, "a.tsv:3: 3 cells under 2 columns"},
		{"TSV with only a header", "a.tsv", "text\tlabel\n", nil, data.ErrTooFew, "a.tsv is empty"},
		{"array over lines", "a.json", "[\n{\"text\":\"a\"},\n\n{\n\"text\":3}\n]", nil, data.ErrFormat, `a.json:4: row 2: field "text" is no string`},
		{"text behind an array", "a.json", "[\n{\"text\":\"a\"}\n]\nmore", nil, data.ErrFormat, "a.json:4: text behind the JSON array"},
		{"too many classes", "a.csv", "text,label\n" + manyLabels(1001), nil, data.ErrFormat, "a.csv:1002: field \"label\": more than 1000 different labels"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := options()
			o.Template = bare(t)
			if test.change != nil {
				test.change(&o)
			}
			_, err := data.Read(t.Context(), test.file, strings.NewReader(test.text), o)
			if !errors.Is(err, test.kind) || !strings.Contains(fmt.Sprint(err), test.says) {
				t.Errorf("got %v, want %v saying %q", err, test.kind, test.says)
			}
		})
	}
}

func manyLabels(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "a,%d\n", i)
	}
	return text.String()
}

func TestFormatNamed(t *testing.T) {
	for name, want := range map[string]data.Format{"auto": "", "alpaca": data.Alpaca, "ids": data.Ready} {
		if got, err := data.FormatNamed(name); got != want || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := data.FormatNamed("xml"); !errors.Is(err, data.ErrOptions) || !strings.Contains(err.Error(), "messages") {
		t.Errorf("got %v", err)
	}
}

// TestClassesOfParts: the files of a data set number their classes alike.
func TestClassesOfParts(t *testing.T) {
	files := fstest.MapFS{
		"train.tsv": {Data: []byte("text\tlabel\na\tgood\n")}, "dev.tsv": {Data: []byte("text\tlabel\na\tbad\nb\tgood\n")},
	}
	f, err := data.Open(t.Context(), files, ".", options())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := []data.Choice{{Name: "good", IDs: ids(" good")}, {Name: "bad", IDs: ids(" bad")}}
	if !reflect.DeepEqual(f.Train.Classes, want) || !reflect.DeepEqual(f.Valid.Classes, want) {
		t.Errorf("%v, %v", f.Train.Classes, f.Valid.Classes)
	}
	if e := all(t, f.Valid); e[0].Class != 2 || e[1].Class != 1 {
		t.Errorf("got %v", e)
	}
}

// TestChoices: each row comes with each class.
func TestChoices(t *testing.T) {
	s := read(t, "a.csv", "text,label\na,yes\nb,perhaps\nc,yes\n", options())
	c, err := data.ChoicesOf(s, s.Classes)
	if err != nil {
		t.Fatal(err)
	}
	if c.Len() != 6 || c.Longest() > s.Longest() || s.Longest() != s.Length(1)+4 {
		t.Fatalf("%d choices of up to %d tokens", c.Len(), s.Longest())
	}
	for i := range c.Len() {
		e, err := c.Example(i)
		want := example(append([]int32{bos}, ids(string("abc"[i/2])+"\nLabel:")...), ids([]string{" yes", " perhaps"}[i%2]))
		if err != nil || !slices.Equal(e.IDs, want.IDs) || !slices.Equal(e.Labels, want.Labels) || len(e.IDs) > s.Longest() {
			t.Errorf("choice %d: %v, %v; want %v", i, e, err, want)
		}
	}
}

// TestCutSays: what MaxLength takes away is counted, and the rows are named.
func TestCutSays(t *testing.T) {
	o := options()
	o.MaxLength = 4
	s := read(t, "a.jsonl", "\n"+`{"prompt":"x","completion":"abcd"}`+"\n"+`{"prompt":"long","completion":"z"}`+"\n"+`{"prompt":"","completion":"a"}`, o)
	if want := (data.Cut{Tokens: 6, Targets: 5, Rows: []int{2, 3}}); !reflect.DeepEqual(s.Cut, want) || !slices.Equal(s.Left, []int{3}) {
		t.Errorf("cut %+v, left out %v", s.Cut, s.Left)
	}
	if e, err := s.Example(1); err != nil || e.Row != 4 {
		t.Errorf("%v, %v", e, err)
	}
}

// TestHash: the hash is that of the file's bytes.
func TestHash(t *testing.T) {
	for name, text := range map[string]string{"a.json": "[{\"text\":\"ab\"}]\n\n ", "a.jsonl": "{\"text\":\"ab\"}\r\n", "a.txt": "\ufeffab", "a.csv": "text\nab\n"} {
		if s := read(t, name, text, options()); s.SHA256 != sum(text) {
			t.Errorf("%s: %s, want %s", name, s.SHA256, sum(text))
		}
	}
}

// TestTemporaryFile: with little memory the examples are the same, from a file that
// is gone after Close.
func TestTemporaryFile(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	var text strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&text, "{\"input_ids\":[%d,%d,299,1],\"labels\":[-100,%d,7,-100],\"task\":%d}\n", i%300, i%7, i%7, i%5)
	}
	want := read(t, "a.jsonl", text.String(), options())
	o := options()
	o.Memory = 1000
	s := read(t, "a.jsonl", text.String(), o)
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("%d temporary files, %v", len(files), err)
	}
	if got := all(t, s); !reflect.DeepEqual(got, all(t, want)) || len(got) != 3000 {
		t.Errorf("%d examples differ", len(got))
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("%d files are left, %v", len(files), err)
	}
	if _, err := s.Example(0); err == nil {
		t.Error("an example of a closed set")
	}
	o.MaxLength = 2
	if _, err := data.Read(t.Context(), "a.jsonl", strings.NewReader(text.String()+"{"), o); err == nil {
		t.Error("no error")
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("%d files are left after an error, %v", len(files), err)
	}
}

// TestTextPieces: a long text has the tokens that it has as a whole.
func TestTextPieces(t *testing.T) {
	o := options()
	o.Tokens = letters{space: true}
	line := strings.Repeat("ab ", 30) + "\n"
	text := strings.Repeat(line, 10<<20/len(line))
	s := read(t, "a.txt", text, o)
	want, err := data.EncodePrompt(o.Tokens, text)
	if err != nil {
		t.Fatal(err)
	}
	var got []int32
	for _, e := range all(t, s) {
		got = append(got, e.IDs...)
	}
	if len(got) < len(want)-1 || !slices.Equal(got, want[:len(got)]) {
		t.Errorf("%d tokens, want %d", len(got), len(want))
	}
}

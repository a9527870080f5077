package cli_test

import (
	"encoding/json"
	"io/fs"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/transformer/demo"
)

// strange are texts that a round trip must keep.
var strange = []string{
	"", " ", "Once upon a time", "  two  spaces ", "naïve café 東京 🎈", "tabs\tand\nlines\r\n", "</s>", "\u0000", "Review: good.\nVerdict:",
	strings.Repeat("long ", 2000), "\u2581", "a\u0301",
}

func TestTokenizeLines(t *testing.T) {
	var lines strings.Builder
	for _, s := range strange {
		line, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		lines.Write(append(line, '\n'))
	}
	for _, flags := range [][]string{nil, {"--special"}} {
		encoded := runWith(t, t.Context(), strings.NewReader(lines.String()), append([]string{"tokenize", "--jsonl"}, flags...)...)
		if encoded.code != 0 || strings.Count(encoded.out, "\n") != len(strange) {
			t.Fatalf("%v: exit code %d, %q", flags, encoded.code, encoded.err)
		}
		for line := range strings.Lines(encoded.out) {
			ids := decode[[]int32](t, line)
			if hasBOS := len(ids) > 0 && ids[0] == 1; hasBOS != (flags != nil) {
				t.Errorf("%v: ids %v", flags, ids)
			}
		}
		decoded := runWith(t, t.Context(), strings.NewReader(encoded.out), append([]string{"tokenize", "--jsonl", "--decode"}, flags...)...)
		i := 0
		for line := range strings.Lines(decoded.out) {
			want := strange[i]
			if flags != nil && want == "</s>" {
				want = "" // --special leaves it out
			}
			if want == "\u2581" {
				want = " " // what the tokenizer writes spaces as
			}
			if got := decode[string](t, line); got != want {
				t.Errorf("%v: %q became %q", flags, want, got)
			}
			i++
		}
		if i != len(strange) {
			t.Errorf("%v: %d lines, want %d: %s", flags, i, len(strange), decoded.err)
		}
	}
}

func TestTokenizeText(t *testing.T) {
	r := must(t, "tokenize", "Once", "upon")
	if lines := strings.Split(strings.TrimSpace(r.out), "\n"); len(lines) < 2 || !strings.HasSuffix(lines[0], "\"") || !strings.Contains(lines[0], "\t\"▁") {
		t.Errorf("got %q", r.out)
	}
	fromInput := runWith(t, t.Context(), strings.NewReader("Once upon\n"), "tokenize")
	if fromInput.out != r.out {
		t.Errorf("standard input gives %q, arguments %q", fromInput.out, r.out)
	}
	var ids []string
	for line := range strings.Lines(r.out) {
		id, _, _ := strings.Cut(line, "\t")
		ids = append(ids, id)
	}
	if back := must(t, append([]string{"tokenize", "--decode"}, ids...)...); back.out != "Once upon\n" {
		t.Errorf("decoded %q", back.out)
	}
}

func TestTokenizeBad(t *testing.T) {
	tests := []struct{ name, flags, in, says string }{
		{"no string", "--jsonl", "\"a\"\n3\n", "line 2: not a JSON string"},
		{"null", "--jsonl", "null\n", "line 1: not a JSON string"},
		{"not UTF-8", "--jsonl", "\"\xff\"\n", "line 1: not UTF-8"},
		{"empty line", "--jsonl", "\n", "line 1: not a JSON string"},
		{"no ids", "--jsonl --decode", "[1]\n\"a\"\n", "line 2: not a JSON array of ids"},
		{"id outside", "--jsonl --decode", "[1000000]\n", "line 1: id 1000000 is outside the vocabulary"},
		{"negative id", "--decode", "-1", "id -1 is outside the vocabulary"},
		{"text not UTF-8", "", "\xff", "not UTF-8"},
		{"no tokenizer", "--model " + tiny, "a", "tokenizer"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := runWith(t, t.Context(), strings.NewReader(test.in), append([]string{"tokenize"}, strings.Fields(test.flags)...)...)
			checkLine(t, r, 1, test.says)
		})
	}
}

func TestGenerate(t *testing.T) {
	args := []string{"generate", "--device", "cpu", "-p", "Once upon a time", "--max-tokens", "12"}
	plain := must(t, args...)
	type generated struct {
		Prompt, Text, Stop string
		IDs                []int32
	}
	got := decode[generated](t, must(t, append(args, "--json")...).out)
	if got.Prompt != "Once upon a time" || len(got.IDs) == 0 || len(got.IDs) > 12 || got.Text+"\n" != plain.out || !strings.HasPrefix(got.Text, ",") && !strings.HasPrefix(got.Text, " ") {
		t.Errorf("got %+v, streamed %q", got, plain.out)
	}
	if (got.Stop == "length") != (len(got.IDs) == 12) {
		t.Errorf("stop %q after %d tokens", got.Stop, len(got.IDs))
	}
	sampled := append(args, "--temperature", "1.5", "--top-k", "50", "--top-p", "0.99", "--seed")
	one, again, two := must(t, append(sampled, "1")...), must(t, append(sampled, "1")...), must(t, append(sampled, "2")...)
	if one.out != again.out || one.out == two.out {
		t.Errorf("seed 1 gives %q and %q, seed 2 %q", one.out, again.out, two.out)
	}
	fromInput := runWith(t, t.Context(), strings.NewReader("Once upon a time"), "generate", "--device", "cpu", "-p", "-", "--max-tokens", "12")
	if fromInput.out != plain.out {
		t.Errorf("standard input gives %q, -p %q", fromInput.out, plain.out)
	}
	checkLine(t, run(t, "generate", "--device", "cpu", "--model", tiny, "-p", "x"), 1, "has no tokenizer")
	checkLine(t, run(t, "generate", "--device", "cpu", "-p", strings.Repeat("word ", 1000)), 1, "no room")
}

func TestEvalDefault(t *testing.T) {
	type evaluation struct {
		Base struct {
			Loss, Accuracy float64
			Exact          *float64 `json:"exact_match"`
		}
		Examples int
	}
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	e := decode[evaluation](t, must(t, "eval", "--device", "cpu", "--json").out)
	if e.Examples != 200 || e.Base.Loss <= 0 || e.Base.Exact == nil || *e.Base.Exact <= 0 || *e.Base.Exact >= 1 {
		t.Errorf("got %+v", e)
	}
	if r := must(t, "eval", "--device", "cpu"); !strings.Contains(r.out, "bare model") || !strings.Contains(r.out, "exact") {
		t.Errorf("got %q", r.out)
	}
}

// TestExactMatch holds eval's exact matches against what generate writes.
func TestExactMatch(t *testing.T) {
	rows, err := fs.ReadFile(demo.Data(), "sentiment/valid.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[bool]bool{}
	for line := range strings.Lines(string(rows)) {
		row := decode[struct{ Prompt, Completion string }](t, line)
		text := decode[struct{ Text string }](t, must(t, "generate", "--device", "cpu", "-p", row.Prompt, "--max-tokens", "1", "--json").out).Text
		e := decode[struct {
			Base struct {
				Exact float64 `json:"exact_match"`
			}
		}](t, must(t, "eval", "--device", "cpu", "--json", "--data", write(t, t.TempDir(), "row.jsonl", line)).out)
		if right := text == row.Completion; right != (e.Base.Exact == 1) {
			t.Errorf("generate says %q, right is %q, exact match %v", text, row.Completion, e.Base.Exact)
		}
		seen[e.Base.Exact == 1] = true
		if len(seen) == 2 {
			return
		}
	}
	t.Error("all rows have the same result")
}

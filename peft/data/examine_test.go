package data_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gpupeft/gpupeft/peft/data"
)

// words makes letters a vocabulary.
type words struct{ letters }

func (words) BOS() (int32, bool)      { return bos, true }
func (words) Pad() (int32, bool)      { return eos, true } // as in many a model
func (words) IsSpecial(id int32) bool { return id < 3 }
func (words) Piece(id int32) string {
	if id < 3 {
		return []string{"<unk>", "<s>", "</s>"}[id]
	}
	return string(rune(id - 3))
}

// embeddings are those of a model that never learned tokens 290 (zero) and 291 (the
// mean of all).
func embeddings(_ context.Context, ids []int32) ([]float32, error) {
	const width = 16
	var rows []float32
	for _, id := range ids {
		for k := range width {
			v := float32((int(id)*7919+k*104729)%1000)/500 - 1
			switch id {
			case 290:
				v = 0
			case 291:
				v = 0.001
			}
			rows = append(rows, v)
		}
	}
	return rows, nil
}

// examine reads files and examines them.
func examine(t *testing.T, files map[string]string, o data.Options, preview int) *data.Examination {
	t.Helper()
	dir := fstest.MapFS{}
	for name, text := range files {
		dir[name] = &fstest.MapFile{Data: []byte(text)}
	}
	f, err := data.Open(t.Context(), dir, ".", o)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	x, err := data.Examine(t.Context(), f, data.ExamineOptions{Tokens: words{}, Stop: []int32{eos}, Vocab: vocab, Embeddings: embeddings, Preview: preview})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// prompts makes rows of prompt and completion.
func prompts(pairs ...string) string {
	var text strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		row, _ := json.Marshal(map[string]string{"prompt": pairs[i], "completion": pairs[i+1]})
		text.Write(append(row, '\n'))
	}
	return text.String()
}

// TestWarnings: each problem has a file that causes it, and only it.
func TestWarnings(t *testing.T) {
	bosLetters := letters{pairs: []string{"<s>"}} // id 259, which is made BOS below
	good := prompts("a", "b", "c", "d", "e", "f", "g", "h")
	tests := []struct {
		name   string
		files  map[string]string
		change func(*data.Options)
		want   data.Problem // "": none
		count  int
		rows   []int
		says   string
	}{
		{"good", map[string]string{"train.jsonl": good, "test.jsonl": prompts("i", "j")}, nil, "", 0, nil, ""},
		{"doubled BOS", map[string]string{"train.jsonl": prompts("a", "b", "<s>c", "d")}, func(o *data.Options) { o.Tokens = begins{bosLetters} }, data.DoubledBOS, 1, []int{2}, "1 row: BOS stands in front twice"},
		{"missing EOS", map[string]string{"train.jsonl": good}, func(o *data.Options) { o.Tokens = letters{noEOS: true} }, data.MissingEOS, 4, []int{1, 2, 3, 4}, "4 rows: the last target"},
		{"missing EOS in ready rows", map[string]string{"train.jsonl": `{"input_ids":[5,6,7],"labels":[-100,6,7]}`}, nil, data.MissingEOS, 1, []int{1}, ""},
		{"EOS masked by id", map[string]string{"train.jsonl": `{"input_ids":[5,6,2],"labels":[-100,6,-100]}` + "\n" + `{"input_ids":[5,6,2],"labels":[-100,6,2]}`}, nil, data.PadIsEOS, 1, []int{1}, "1 row: EOS is there but is no target"},
		{"empty answer", map[string]string{"train.jsonl": good + prompts("k", "")}, nil, data.EmptyTarget, 1, []int{5}, "1 row: the answer is empty"},
		{"no target", map[string]string{"train.jsonl": `{"input_ids":[5,6,2],"labels":[-100,6,2]}` + "\n" + `{"input_ids":[5,6],"labels":[-100,-100]}`}, nil, data.EmptyTarget, 1, []int{2}, ""},
		{"answer cut", map[string]string{"train.jsonl": good + prompts("k", "long answer")}, func(o *data.Options) { o.MaxLength = 6 }, data.CutTarget, 1, []int{5}, "1 row: cut to 6 tokens, which loses 8 targets"},
		{"answer cut off", map[string]string{"train.jsonl": good + prompts("long prompt", "k")}, func(o *data.Options) { o.MaxLength = 6 }, data.CutTarget, 1, []int{5}, "loses 2 targets"},
		{"tokens never learned", map[string]string{"train.jsonl": `{"input_ids":[5,290,291,292,2],"labels":[-100,290,291,292,2]}`}, nil, data.Untrained, 2, nil, "(290)"},
		{"test in train", map[string]string{"train.jsonl": good, "test.jsonl": prompts("z", "j", "cc", "x", "ee", "f"), "valid.jsonl": prompts("cc", "other", "yy", "n")}, func(o *data.Options) { o.Prompt = "{prompt}{prompt}" }, "", 0, nil, ""},
		{"same prompt in test", map[string]string{"train.jsonl": good, "test.jsonl": prompts("c", "other", "y", "f")}, nil, data.Duplicates, 1, []int{2}, "1 row: also in the data that is evaluated on"},
		{"same text in valid", map[string]string{"train.jsonl": `{"text":"ab"}` + "\n" + `{"text":"cd"}`, "dev.jsonl": `{"text":"ab"}`}, nil, data.Duplicates, 1, []int{1}, ""},
		{"one class", map[string]string{"train.csv": "text,label\na,x\nb,x\nc,x\nd,x\ne,y\n"}, nil, data.OneAnswer, 4, nil, "80 % of the answers are the same"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := options()
			if test.change != nil {
				test.change(&o)
			}
			x := examine(t, test.files, o, 0)
			if test.want == "" {
				if len(x.Warnings) > 0 {
					t.Errorf("got %+v", x.Warnings)
				}
				return
			}
			if len(x.Warnings) != 1 {
				t.Fatalf("got %+v", x.Warnings)
			}
			w := x.Warnings[0]
			if w.Problem != test.want || w.Count != test.count || !slices.Equal(w.Rows, test.rows) || !strings.Contains(w.Text, test.says) {
				t.Errorf("got %+v", w)
			}
		})
	}
}

// begins is a tokenizer in which "<s>" in a text is BOS.
type begins struct{ letters }

func (l begins) Encode(text string, special bool) ([]int32, error) {
	ids, err := l.letters.Encode(text, special)
	for i, id := range ids {
		if id == 259 {
			ids[i] = bos
		}
	}
	return ids, err
}

func TestExamine(t *testing.T) {
	x := examine(t, map[string]string{
		"train.csv": "text,label\na,x\nb,y\nc,x\n" + strings.Repeat("long text,x\n", 5) + strings.Repeat("much longer text than that,y\n", 2), "test.csv": "text,label\nd,x\n",
	}, options(), 2)
	if len(x.Parts) != 2 || x.Parts[0].Part != "train" || x.Parts[1].Part != "test" || x.Parts[0].Examples != 10 || x.Parts[0].Targets != 30 || x.Parts[0].SHA256 == x.Parts[1].SHA256 {
		t.Errorf("parts %+v", x.Parts)
	}
	if got := fmt.Sprint(x.Parts[0].Lengths); got != "[{1 16 3} {17 32 5} {33 64 2}]" {
		t.Errorf("lengths %s", got)
	}
	if m := x.Majority; m == nil || m.Share != 0.7 || m.Classes != 2 || !slices.Equal(m.Answer, append(ids(" x"), eos)) {
		t.Errorf("majority %+v", m)
	}
	if len(x.Preview) != 2 || x.Preview[1].Row != 3 {
		t.Fatalf("preview %+v", x.Preview)
	}
	var text strings.Builder
	for _, token := range x.Preview[0].Tokens {
		if fmt.Fprint(&text, token.Piece); token.Target {
			text.WriteByte('!')
		}
	}
	if text.String() != "<s>a\nLabel: !x!</s>!" || !x.Preview[0].Tokens[0].Special {
		t.Errorf("preview %q", text.String())
	}
}

// TestExamineSplit: a file of which a part was held out is reported on once.
func TestExamineSplit(t *testing.T) {
	o := options()
	o.MaxLength = 6
	s := read(t, "a.jsonl", prompts("a", "long answer", "b", "c", "d", "e", "f", "g"), o)
	train, valid := s.Split(0.25, 1)
	x, err := data.Examine(t.Context(), &data.Files{Train: train, Valid: valid}, data.ExamineOptions{Tokens: words{}, Vocab: vocab})
	if err != nil || len(x.Warnings) != 1 || x.Warnings[0].Problem != data.CutTarget {
		t.Errorf("%+v, %v", x, err)
	}
}

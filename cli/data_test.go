package cli_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/transformer/demo"
	"github.com/gpupeft/gpupeft/transformer/tokenizer"
)

// examined are the fields of data-doctor --json that the tests look at.
type examined struct {
	Parts []struct {
		Part, File, Format, Why, SHA256 string
		Examples, Tokens, Targets       int
	}
	Warnings []struct {
		Problem, Part string
		Count         int
		Rows          []int
	}
	Preview []struct {
		Tokens []struct {
			Piece  string
			Target bool
		}
	}
}

// reviews writes n rows of each format, and returns the files by format.
func reviews(t *testing.T, n int) map[string]string {
	t.Helper()
	dir := t.TempDir()
	texts := map[string]*strings.Builder{}
	add := func(name, format string, args ...any) {
		if texts[name] == nil {
			texts[name] = &strings.Builder{}
		}
		fmt.Fprintf(texts[name], format, args...)
	}
	add("classes.csv", "text,label\n")
	add("classes.tsv", "sentence\tlabel\n")
	for i := range n {
		text, label := fmt.Sprintf("The soup number %d was good.", i), "good"
		if i%2 == 1 {
			text, label = fmt.Sprintf("The soup number %d was bad.", i), "bad"
		}
		add("classes.csv", "%q,%s\n", text, label)
		add("classes.tsv", "%s\t%d\n", text, (i+1)%2)
		for name, row := range map[string]any{
			"chat.jsonl":       map[string]any{"messages": []map[string]string{{"role": "user", "content": text}, {"role": "assistant", "content": label}}},
			"alpaca.jsonl":     map[string]string{"instruction": "Judge.", "input": text, "output": label},
			"completion.jsonl": map[string]string{"prompt": text, "completion": " " + label},
			"rows.jsonl":       map[string]string{"text": text},
		} {
			line, err := json.Marshal(row)
			if err != nil {
				t.Fatal(err)
			}
			add(name, "%s\n", line)
		}
	}
	files := map[string]string{}
	for name, text := range texts {
		files[name] = write(t, dir, name, text.String())
	}
	return files
}

// TestTuneFormats tunes on every format, and evaluates on it.
func TestTuneFormats(t *testing.T) {
	for name, file := range reviews(t, 40) {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			flags := []string{"--device", "cpu", "--data", file, "--max-seq-length", "160"}
			if name == "classes.tsv" {
				flags = append(flags, "--label-names", "bad,good", "--prompt-template", `Review: {sentence}\nVerdict:`)
			}
			r := must(t, append([]string{"tune", "--steps", "8", "--lr", "0.01", "--out", out}, flags...)...)
			for _, want := range []string{"(the first row has ", "row ", "«"} {
				if !strings.Contains(r.out, want) {
					t.Errorf("%q is missing in %q", want, r.out)
				}
			}
			if uses := strings.Contains(r.out, "chat template llama-2"); uses != (name == "chat.jsonl") {
				t.Errorf("chat template: %v in %q", uses, r.out)
			}
			e := must(t, append([]string{"eval", "--adapter", out, "--preview", "1"}, flags...)...)
			if !strings.Contains(e.out, "«") || !strings.Contains(e.out, "with adapter") {
				t.Errorf("eval prints %q", e.out)
			}
			report, err := os.ReadFile(filepath.Join(out, "run.json"))
			if err != nil || !strings.Contains(string(report), `"sha256": "`) || !strings.Contains(string(report), `"format_why": "the first row has`) {
				t.Errorf("run.json: %s, %v", report, err)
			}
		})
	}
}

// TestTuneOrders tunes with packed rows and with rows by length, with every kind of
// method that stands before the text.
func TestTuneOrders(t *testing.T) {
	file := reviews(t, 60)["completion.jsonl"]
	for _, flags := range []string{"--packing", "--packing --method prompt --virtual-tokens 4", "--packing --method prefix --virtual-tokens 4", "--packing --method ptuning --virtual-tokens 4", "--group-by-length", "--packing --no-shuffle"} {
		t.Run(flags, func(t *testing.T) {
			r := must(t, append([]string{"tune", "--device", "cpu", "--data", file, "--steps", "6", "--batch-size", "4", "--json", "--out", filepath.Join(t.TempDir(), "out")}, strings.Fields(flags)...)...)
			got := decode[struct {
				Tokens    int
				LossAfter *float64 `json:"loss_after"`
				Data      struct {
					Packing bool `json:"packing"`
				}
			}](t, r.out)
			if got.LossAfter == nil || got.Data.Packing != strings.Contains(flags, "packing") {
				t.Errorf("got %+v", got)
			}
			if got.Data.Packing && got.Tokens < 6*4*60 {
				t.Errorf("%d tokens in %d packed rows", got.Tokens, 6*4)
			}
		})
	}
}

// TestClassAccuracy: the class, or the choice, is the likeliest of those that there are,
// as computed from the losses of files with one answer each.
func TestClassAccuracy(t *testing.T) {
	type evaluation struct {
		Base struct {
			Loss    float64
			Targets int
			Class   *float64 `json:"class_accuracy"`
			Norm    *float64 `json:"class_accuracy_norm"`
		}
	}
	tok, err := tokenizer.Load(demo.Model())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"a.csv":   "text,label\nThe soup was good.,good\nThe soup was bad.,bad\nThe night was long.,not at all good\n",
		"a.jsonl": `{"question":"The soup was","choices":["good","not at all what we had wanted"],"answer":1}` + "\n" + `{"ctx":"The room was","question":"","choices":["big","the night of the soup","old"],"answer":"A"}`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			set, err := data.Read(t.Context(), name, strings.NewReader(text), data.Options{Tokens: tok, Vocab: tok.Size(), MaxLength: 64})
			if err != nil {
				t.Fatal(err)
			}
			choices, err := data.ChoicesOf(set, set.Classes)
			if err != nil {
				t.Fatal(err)
			}
			var right, best [2]float64
			var class [2]int
			for i := range choices.Len() {
				c, err := choices.Example(i)
				if err != nil {
					t.Fatal(err)
				}
				row, err := json.Marshal(map[string][]int32{"input_ids": c.IDs, "labels": c.Labels})
				if err != nil {
					t.Fatal(err)
				}
				e := decode[evaluation](t, must(t, "eval", "--device", "cpu", "--json", "--data", write(t, dir, "row.jsonl", string(row))).out)
				which := choices.Choice(i)
				loss := e.Base.Loss * float64(e.Base.Targets)
				for k, loss := range []float64{loss, loss / float64(len(c.Choices[which].Name))} {
					if which == 0 || loss < best[k] {
						best[k], class[k] = loss, which+1
					}
					if which == len(c.Choices)-1 && class[k] == c.Class {
						right[k]++
					}
				}
			}
			n := float64(set.Len())
			e := decode[evaluation](t, must(t, "eval", "--device", "cpu", "--json", "--data", write(t, dir, name, text)).out)
			if e.Base.Class == nil || *e.Base.Class != right[0]/n || (e.Base.Norm != nil) != (name == "a.jsonl") || e.Base.Norm != nil && *e.Base.Norm != right[1]/n {
				t.Errorf("class accuracy %v, by characters %v, want %v of %v", e.Base.Class, e.Base.Norm, right, n)
			}
			if r := must(t, "eval", "--device", "cpu", "--data", filepath.Join(dir, name)); !strings.Contains(r.out, "class") {
				t.Errorf("got %q", r.out)
			}
		})
	}
}

// TestMetricClass tunes with the best step chosen by the classes.
func TestMetricClass(t *testing.T) {
	table := "text,label\n" + strings.Repeat("The soup was good.,good\nThe soup was bad.,bad\n", 20)
	file := write(t, t.TempDir(), "a.csv", table)
	tuned := func(more ...string) result {
		return run(t, append([]string{
			"tune", "--device", "cpu", "--data", file, "--metric", "class", "--eval-every", "4", "--keep-best", "--steps", "8",
			"--json", "--out", filepath.Join(t.TempDir(), "out"),
		}, more...)...)
	}
	got := decode[struct {
		Before, After struct {
			Class *float64 `json:"class_accuracy"`
		}
	}](t, tuned().out)
	if got.Before.Class == nil || got.After.Class == nil || *got.After.Class < *got.Before.Class {
		t.Errorf("got %+v", got)
	}
	if r := tuned("--mask-prompt=false"); r.code == 0 || !strings.Contains(r.err, "--mask-prompt=false") {
		t.Errorf("got %+v", r)
	}
}

func TestDataDoctor(t *testing.T) {
	files := reviews(t, 10)
	got := decode[examined](t, must(t, "data-doctor", "--data", files["chat.jsonl"], "--json", "--preview", "2").out)
	if len(got.Parts) != 1 || got.Parts[0].Format != "rows of messages" || got.Parts[0].Examples != 10 || len(got.Parts[0].SHA256) != 64 || len(got.Warnings) != 0 || len(got.Preview) != 2 {
		t.Errorf("got %+v", got)
	}
	var targets string
	for _, token := range got.Preview[0].Tokens {
		if token.Target {
			targets += token.Piece
		}
	}
	if targets != "▁good▁</s>" {
		t.Errorf("targets %q", targets)
	}
	r := must(t, "data-doctor", "--data", files["chat.jsonl"], "--chat-template", "chatml", "--preview", "1")
	for _, want := range []string{"chat   chatml: --chat-template", "«", "lengths of train", "warning   train: 10 rows: the last target isn't one that ends a text"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("%q is missing in %q", want, r.out)
		}
	}
	if r := must(t, "data-doctor"); !strings.Contains(r.out, "no warnings") || !strings.Contains(r.out, "2 different answers") {
		t.Errorf("the built-in data: %q", r.out)
	}
	dir := t.TempDir()
	row := `{"prompt":"a","completion":"b"}` + "\n"
	write(t, dir, "train.jsonl", row+`{"prompt":"<s>c","completion":"d"}`+"\n"+`{"prompt":"e","completion":""}`+"\n")
	write(t, dir, "dev.jsonl", row)
	bad := decode[examined](t, must(t, "data-doctor", "--data", dir, "--json").out)
	problems := map[string]string{}
	for _, w := range bad.Warnings {
		problems[w.Problem] = fmt.Sprint(w.Part, w.Rows)
	}
	for problem, where := range map[string]string{"doubled-bos": "train[2]", "empty-target": "train[3]", "duplicates": "train[1]"} {
		if problems[problem] != where {
			t.Errorf("%s: %q, want %q", problem, problems[problem], where)
		}
	}
}

// TestDataFlagErrors: flags of data that are wrong are said so in one line.
func TestDataFlagErrors(t *testing.T) {
	files := reviews(t, 20)
	dir := t.TempDir()
	hostile := write(t, dir, "template.jinja", "{% include '/etc/passwd' %}")
	raising := write(t, dir, "raising.jinja", "{{ raise_exception('not like this') }}")
	for _, test := range []struct {
		args string
		code int
		says string
	}{
		{"--data-format xml", 2, `--data-format "xml" (known: auto, alpaca`},
		{"--data-format alpaca", 1, `chat.jsonl:1: field "instruction" is missing`},
		{"--chat-template llama-9", 2, `--chat-template: chat template "llama-9" (known: llama-2`},
		{"--chat-template none", 1, "rows of messages need a chat template"},
		{"--chat-template " + hostile, 2, `line 1: the tag "include" is not supported`},
		{"--chat-template " + raising, 1, "chat.jsonl:1: "},
		{"--packing --group-by-length", 2, "--group-by-length has nothing to group"},
		{"--preview -1", 2, "--preview -1"},
		{"--packing --batch-size 512", 1, "packed rows are less than one batch of 512"},
	} {
		t.Run(test.args, func(t *testing.T) {
			args := append([]string{"tune", "--device", "cpu", "--data", files["chat.jsonl"], "--out", filepath.Join(t.TempDir(), "out")}, strings.Fields(test.args)...)
			checkLine(t, run(t, args...), test.code, test.says)
		})
	}
	checkLine(t, run(t, "data-doctor", "--model", tiny), 2, "--data is missing")
	checkLine(t, run(t, "generate", "--device", "cpu", "-p", "a", "--system", "b"), 2, "--system needs a --chat-template")
}

// TestGenerateChat: the prompt is put into a conversation.
func TestGenerateChat(t *testing.T) {
	plain := must(t, "generate", "--device", "cpu", "-p", "[INST] Hi [/INST]", "--max-tokens", "5").out
	chat := must(t, "generate", "--device", "cpu", "-p", "Hi", "--chat-template", "llama-2", "--max-tokens", "5").out
	system := must(t, "generate", "--device", "cpu", "-p", "Hi", "--chat-template", "llama-2", "--system", "You are a pirate on a ship.", "--max-tokens", "5").out
	if chat != plain || chat == system {
		t.Errorf("%q in a conversation, %q written out, %q with a system", chat, plain, system)
	}
}

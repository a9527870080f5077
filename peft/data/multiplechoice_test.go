package data_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/peft/data"
)

func choice(text string) data.Choice { return data.Choice{Name: text, IDs: ids(" " + text)} }

// TestMultipleChoice: the forms in which a file says what the choices are, and which is
// the right one.
func TestMultipleChoice(t *testing.T) {
	plain := func(prompt, answer string, class int, choices ...data.Choice) data.Example {
		e := withClass(example(append([]int32{bos}, ids(prompt)...), append(ids(" "+answer), eos)), class)
		e.Choices = choices
		return e
	}
	letters := func(texts ...string) (list []data.Choice) {
		for i, text := range texts {
			list = append(list, data.Choice{Name: text, IDs: ids(" " + string(rune('A'+i)))})
		}
		return list
	}
	tests := []struct {
		name, text string
		change     func(*data.Options)
		want       data.Example
	}{
		{"place", `{"question":"q","choices":["no","yes"],"answer":1}`, nil, plain("q\nAnswer:", "yes", 2, choice("no"), choice("yes"))},
		{"letter", `{"question":"q","choices":["no","yes"],"answer":"A"}`, nil, plain("q\nAnswer:", "no", 1, choice("no"), choice("yes"))},
		{"text before place", `{"question":"q","options":["2","1"],"answer":"1"}`, nil, plain("q\nAnswer:", "1", 2, choice("2"), choice("1"))},
		{"labels", `{"question":"q","choices":{"text":["no","yes"],"label":["1","2"]},"answerKey":"1"}`, nil, plain("q\nAnswer:", "no", 1, choice("no"), choice("yes"))},
		{"continued", `{"ctx":"q","endings":["no","yes"],"label":"1"}`, nil, plain("q", "yes", 2, choice("no"), choice("yes"))},
		{"by letter", `{"question":"q","choices":["no","yes"],"answer":1}`, func(o *data.Options) { o.ByIndex = true }, plain("q\nA. no\nB. yes\nAnswer:", "B", 2, letters("no", "yes")...)},
		{"own prompt", `{"question":"q","choices":["no","yes"],"answer":1}`, func(o *data.Options) { o.Prompt = "{choices}\n{question}" }, plain("A. no\nB. yes\nq", "yes", 2, choice("no"), choice("yes"))},
		{"keys", `{"q":"q","o":["no","yes"],"a":1}`, func(o *data.Options) { o.Keys = data.Keys{Prompt: "q", Choices: "o", Label: "a"} }, plain("q\nAnswer:", "yes", 2, choice("no"), choice("yes"))},
		{"in a conversation", `{"question":"q","choices":["no","yes"],"answer":1}`, func(o *data.Options) { o.Template, o.Converse = bare(t), true }, func() data.Example {
			e := withClass(example(ids("<u>q\nAnswer:.\n<a>"), ids("yes.")), 2)
			e.Choices = []data.Choice{{Name: "no", IDs: ids("no")}, {Name: "yes", IDs: ids("yes")}}
			return e
		}()},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := options()
			if test.change != nil {
				test.change(&o)
			}
			s := read(t, "a.jsonl", test.text, o)
			if got := all(t, s); s.Format != data.MultipleChoice || !s.HasChoices() || !reflect.DeepEqual(got, []data.Example{test.want}) {
				t.Errorf("%s\ngot  %v\nwant %v", s.Format, got, test.want)
			}
		})
	}
}

func TestBadMultipleChoice(t *testing.T) {
	for _, test := range []struct{ text, says string }{
		{`{"question":"q","choices":["no","yes"],"answer":2}`, `a.jsonl:1: field "answer": "2" is none of the labels ["A" "B"], none of the choices, nor a number below 2`},
		{`{"question":"q","choices":["no","yes"],"answer":"maybe"}`, `"maybe" is none of`},
		{`{"question":"q","choices":["no","yes"],"answer":[1]}`, `field "answer" is no string`},
		{`{"question":"q","choices":"no","answer":0}`, `field "choices" is no list of texts`},
		{`{"question":"q","choices":["no",3],"answer":0}`, `field "choices" is no list of texts`},
		{`{"question":"q","choices":{"text":["no"],"label":["A","B"]},"answer":0}`, `field "choices" is no list of texts`},
		{`{"question":"q","choices":["no","yes"],"answer":0}` + "\n" + `{"question":"q","answer":0}`, `a.jsonl:2: field "choices" is missing`},
		{`{"question":"q","choices":["no"],"answer":0}`, "want two choices or more"},
		{`{"question":"q","choices":["no",""],"answer":0}`, "none of them empty"},
		{`{"question":"q","choices":["no","\u0000"],"answer":0}`, "a NUL character"},
		{`{"question":"q","choices":["no","yes"],"answer":0,"n":1}`, `field "nothing" is missing`},
	} {
		o := options()
		if strings.Contains(test.says, "nothing") {
			o.Prompt = "{choices}{nothing}"
		}
		if _, err := data.Read(t.Context(), "a.jsonl", strings.NewReader(test.text), o); !errors.Is(err, data.ErrFormat) || !strings.Contains(fmt.Sprint(err), test.says) {
			t.Errorf("%s: got %v, want %q", test.text, err, test.says)
		}
	}
}

// TestMultipleChoices: each row comes with each of its own choices, also out of a
// temporary file, and behind solved examples.
func TestMultipleChoices(t *testing.T) {
	o := options()
	o.Memory = 8 // bytes, so that tokens go to a file
	text := `{"question":"a","choices":["yes","no"],"answer":0}` + "\n" + `{"question":"bc","choices":["x","perhaps","z"],"answer":2}`
	s := read(t, "a.jsonl", text, o)
	defer s.Close()
	first, err := s.Example(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, front := range []string{"", "a\nAnswer: yes|"} {
		var source data.Source = s
		if front != "" {
			source = data.FewShot{Source: s, Shots: []data.Example{first}, Between: ids("|"), BOS: bos, Stop: []int32{eos}}
		}
		c, err := data.ChoicesOf(source, s.Classes)
		if err != nil || c.Len() != 5 || front == "" && c.Longest() > s.Longest() {
			t.Fatalf("%d choices of up to %d tokens, %d in the set, %v", c.Len(), c.Longest(), s.Longest(), err)
		}
		for i, want := range []struct {
			question, answer     string
			choice, class, count int
		}{{"a", "yes", 0, 1, 2}, {"a", "no", 1, 1, 2}, {"bc", "x", 0, 3, 3}, {"bc", "perhaps", 1, 3, 3}, {"bc", "z", 2, 3, 3}} {
			e, err := c.Example(i)
			whole := example(append([]int32{bos}, ids(front+want.question+"\nAnswer:")...), ids(" "+want.answer))
			if err != nil || !reflect.DeepEqual(e.IDs, whole.IDs) || !reflect.DeepEqual(e.Labels, whole.Labels) || len(e.IDs) > c.Length(i) {
				t.Errorf("choice %d: %v, %v; want %v", i, e, err, whole)
			}
			if c.Choice(i) != want.choice || e.Class != want.class || len(e.Choices) != want.count || e.Choices[want.choice].Name != want.answer {
				t.Errorf("choice %d: %d of %v, class %d", i, c.Choice(i), e.Choices, e.Class)
			}
		}
	}
}

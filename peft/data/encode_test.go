package data_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/gpupeft/gpupeft/peft/data"
)

func TestEncodePrompt(t *testing.T) {
	for _, l := range []letters{{}, {addEOS: true}} {
		got, err := data.EncodePrompt(l, "ab")
		if want := append([]int32{bos}, ids("ab")...); err != nil || !slices.Equal(got, want) {
			t.Errorf("%+v: got %v, %v, want %v", l, got, err, want)
		}
	}
}

// TestCompletion checks that a completion's tokens follow exactly those that the
// prompt has alone.
func TestCompletion(t *testing.T) {
	tests := []struct {
		name               string
		tokens             letters
		prompt, completion string
		want               data.Example
	}{
		{"plain", letters{}, "x:", "yes", example(append([]int32{bos}, ids("x:")...), append(ids("yes"), eos))},
		{"no EOS", letters{noEOS: true}, "x:", "yes", example(append([]int32{bos}, ids("x:")...), ids("yes"))},
		{"EOS added to texts", letters{addEOS: true}, "x:", "yes", example(append([]int32{bos}, ids("x:")...), append(ids("yes"), eos))},
		{"space before texts", letters{space: true}, "x:", " yes", example(append([]int32{bos}, ids(" x:")...), append(ids(" yes"), eos))},
		{
			"token across the border",
			letters{space: true, pairs: []string{": "}},
			"x:", " yes",
			example(append([]int32{bos}, ids(" x:")...), append(ids(" yes"), eos)),
		},
		{
			"token across the border, anchor too",
			letters{space: true, pairs: []string{": ", "\n "}},
			"x:", " yes",
			example(append([]int32{bos}, ids(" x:")...), append(ids(" yes"), eos)),
		},
		{"empty prompt", letters{}, "", "yes", example([]int32{bos}, append(ids("yes"), eos))},
		{"empty completion", letters{}, "x", "", example([]int32{bos, 3 + 'x'}, []int32{eos})},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := options()
			o.Tokens = test.tokens
			text := `{"prompt":"` + test.prompt + `","completion":"` + test.completion + `"}`
			got := all(t, read(t, "a.jsonl", text, o))
			if len(got) != 1 || !reflect.DeepEqual(got[0], test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
			if p := got[0].Prompt(); !slices.Equal(p, test.want.Prompt()) {
				t.Errorf("prompt %v", p)
			}
		})
	}
}

func TestParts(t *testing.T) {
	e := example([]int32{bos, 5}, []int32{6, eos})
	if !slices.Equal(e.Prompt(), []int32{bos, 5}) || !slices.Equal(e.Completion(), []int32{6, eos}) || e.Targets() != 2 {
		t.Errorf("got %v, %v, %d", e.Prompt(), e.Completion(), e.Targets())
	}
	all := data.Example{IDs: []int32{5, 6}, Labels: []int32{5, 6}}
	if len(all.Prompt()) != 0 || !slices.Equal(all.Completion(), []int32{6}) || all.Targets() != 1 {
		t.Errorf("got %v, %v, %d", all.Prompt(), all.Completion(), all.Targets())
	}
}

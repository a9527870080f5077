package chat_test

import (
	"fmt"

	"github.com/gpupeft/gpupeft/transformer/chat"
)

func Example() {
	t, err := chat.Named("gemma", chat.Specials{})
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := t.Render([]chat.Message{{Role: chat.User, Content: "Why is the sky blue?"}}, true)
	fmt.Printf("%s%v\n", text, err)
	// Output:
	// <bos><start_of_turn>user
	// Why is the sky blue?<end_of_turn>
	// <start_of_turn>model
	// <nil>
}

func ExampleAnswers() {
	t, err := chat.Named("chatml", chat.Specials{})
	if err != nil {
		fmt.Println(err)
		return
	}
	spans, text, err := chat.Answers(t, []chat.Message{{Role: chat.User, Content: "2+2?"}, {Role: chat.Assistant, Content: "4"}})
	for _, s := range spans {
		fmt.Printf("%q\n", text[s.Start:s.End])
	}
	fmt.Println(err)
	// Output:
	// "4<|im_end|>"
	// <nil>
}

func ExampleJinja() {
	t, err := chat.Jinja("mine", "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}", chat.Specials{})
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := t.Render([]chat.Message{{Role: chat.User, Content: "Hi"}}, false)
	fmt.Printf("%s%v\n", text, err)
	// Output:
	// user: Hi
	// <nil>
}

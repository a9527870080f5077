package chat_test

import (
	"context"
	"fmt"
	"log"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
	"github.com/gpupeft/gpupeft/transformer/chat"
	"github.com/gpupeft/gpupeft/transformer/demo"
	"github.com/gpupeft/gpupeft/transformer/tokenizer"
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

// A conversation with the built-in model, which hasn't learnt to have one: it goes on
// with the text.
func ExampleSession() {
	ctx := context.Background()
	backend := tensor.NewCPU(0)
	defer backend.Close()
	model, err := transformer.Load(ctx, backend, demo.Model(), transformer.LoadOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	words, err := tokenizer.Load(demo.Model())
	if err != nil {
		log.Fatal(err)
	}
	run, err := model.NewRun(transformer.RunOptions{Batch: 1, Length: 64, Context: 200})
	if err != nil {
		log.Fatal(err)
	}
	defer run.Close()

	s, err := chat.NewSession(chat.SessionConfig{Run: run, Tokens: words, Generation: transformer.Generation{MaxTokens: 8, Stop: model.Config.EOS}})
	if err != nil {
		log.Fatal(err)
	}
	for _, question := range []string{"Once upon a time", "Then"} {
		for piece, err := range s.Ask(ctx, question) {
			if err != nil {
				log.Fatal(err)
			}
			fmt.Print(piece)
		}
		a := s.Last()
		fmt.Printf(" (%d of %d tokens computed)\n", a.Computed, a.Context-a.Tokens)
	}
	// Output:
	// named Sam. One day, Sam and (7 of 7 tokens computed)
	// g goat stall was good. I (12 of 19 tokens computed)
}

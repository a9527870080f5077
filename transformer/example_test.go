package transformer_test

import (
	"context"
	"fmt"
	"log"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
	"github.com/gpupeft/gpupeft/transformer/demo"
	"github.com/gpupeft/gpupeft/transformer/tokenizer"
)

// Continue a text with the built-in model.
func Example() {
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
	run, err := model.NewRun(transformer.RunOptions{Batch: 1, Length: 32, Context: 64})
	if err != nil {
		log.Fatal(err)
	}
	defer run.Close()
	ids, err := words.Encode("The inn was", true)
	if err != nil {
		log.Fatal(err)
	}
	for id, err := range run.Generate(ctx, ids, transformer.Generation{MaxTokens: 12}) {
		if err != nil {
			log.Fatal(err)
		}
		ids = append(ids, id)
	}
	fmt.Println(model.Params()/1000, "thousand parameters")
	fmt.Println(words.Decode(ids, true))
	// Output:
	// 1058 thousand parameters
	// The inn was a gift from Sam. Sam praised the helper too, which
}

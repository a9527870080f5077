package interp_test

import (
	"context"
	"fmt"
	"log"

	"github.com/gpupeft/gpupeft/interp"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
	"github.com/gpupeft/gpupeft/transformer/demo"
)

// openDemo loads the built-in model.
func openDemo() (*transformer.Model, func()) {
	backend := tensor.NewCPU(0)
	model, err := transformer.Load(context.Background(), backend, demo.Model(), transformer.LoadOptions{})
	if err != nil {
		log.Fatal(err)
	}
	return model, func() {
		model.Close()
		backend.Close()
	}
}

// Look at an attention pattern of the built-in model.
func ExampleCapture() {
	model, closeModel := openDemo()
	defer closeModel()
	ids := [][]int32{{1, 300, 301, 302}}
	trace, err := interp.Capture(context.Background(), model, ids, interp.Options{Hooks: []string{"blocks.0.attn.hook_pattern"}})
	if err != nil {
		log.Fatal(err)
	}
	pattern := trace.Activations["blocks.0.attn.hook_pattern"] // [batch, head, query, key]
	fmt.Println(pattern.Shape)
	fmt.Println(pattern.Values[:4]) // the first token sees only itself
	// Output:
	// [1 4 4 4]
	// [1 0 0 0]
}

// Take a head out, and see what the logits of the last token make of it.
func ExampleEdit() {
	model, closeModel := openDemo()
	defer closeModel()
	ids := [][]int32{{1, 300, 301, 302}}
	metric := interp.LogitDiff([]int32{303}, []int32{304})
	without := []interp.Edit{{Hook: "blocks.2.attn.hook_z", Heads: interp.Of(1), Change: interp.Zero()}}
	values, err := interp.Sweep(context.Background(), model, ids, metric, [][]interp.Edit{nil, without}, interp.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the head matters:", values[0] != values[1])
	// Output:
	// the head matters: true
}

// Find the head that looks most at the previous token.
func ExamplePatterns() {
	model, closeModel := openDemo()
	defer closeModel()
	ids := interp.RepeatedTokens(model.Config, 4, 30, 1, nil, 0)
	found, err := interp.InspectHeads(context.Background(), model, ids, interp.InspectOptions{
		PatternOptions: interp.PatternOptions{Period: 30, BOS: true},
	})
	if err != nil {
		log.Fatal(err)
	}
	top := found.Top(interp.Previous, 1, nil, nil)[0]
	fmt.Printf("L%dH%d looks at the previous token with %.0f %% of its weight\n", top.Layer, top.Head, 100*top.Score)
	// Output:
	// L2H1 looks at the previous token with 74 % of its weight
}

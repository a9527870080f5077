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

// Look at an attention pattern of the built-in model.
func Example() {
	ctx := context.Background()
	backend := tensor.NewCPU(0)
	defer backend.Close()
	model, err := transformer.Load(ctx, backend, demo.Model(), transformer.LoadOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	trace, err := interp.Capture(ctx, model, [][]int32{{1, 300, 301, 302}}, interp.Options{Hooks: []string{"blocks.0.attn.hook_pattern"}})
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

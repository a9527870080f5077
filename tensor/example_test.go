package tensor_test

import (
	"context"
	"fmt"
	"log"

	"github.com/gpupeft/gpupeft/tensor"
)

// The probabilities softmax(x·wᵀ), and the gradient of w for the loss −log p₁.
func Example() {
	ctx, b := context.Background(), tensor.NewCPU(0)
	defer b.Close()
	make := func(data []float32, shape ...int) *tensor.Tensor {
		t, err := tensor.FromFloats(ctx, b, "", data, shape...)
		if err != nil {
			log.Fatal(err)
		}
		return t
	}
	x, w := make([]float32{1, 2}, 1, 2), make([]float32{0, 0, 0.5, 0.5, 1, -1}, 3, 2)
	logits, p, dw := make([]float32{0, 0, 0}, 1, 3), make([]float32{0, 0, 0}, 1, 3), make([]float32{0, 0, 0, 0, 0, 0}, 3, 2)
	dlogits, target := make([]float32{0, 0, 0}, 1, 3), make([]float32{0, 1, 0}, 1, 3)

	pass := tensor.Begin(b)
	pass.Do(
		tensor.MatMul{Out: logits, X: x, W: w},
		tensor.Softmax{Out: p, X: logits},
		tensor.Scale{Out: dlogits, X: target, Factor: -1},
		tensor.Scale{Out: dlogits, X: p, Factor: 1, Add: true},
		tensor.MatMulDW{DW: dw, DOut: dlogits, X: x},
	)
	if err := pass.Submit(ctx); err != nil {
		log.Fatal(err)
	}
	for _, t := range []*tensor.Tensor{p, dw} {
		values, err := tensor.Floats(ctx, b, t)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%.3f\n", values)
	}
	// Output:
	// [0.171 0.766 0.063]
	// [0.171 0.342 -0.234 -0.468 0.063 0.126]
}

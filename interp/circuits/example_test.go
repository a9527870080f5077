package circuits_test

import (
	"context"
	"fmt"
	"log"

	"github.com/gpupeft/gpupeft/interp/circuits"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// One attention head learns to find the larger of two numbers: its scores grow with the key.
func Example() {
	ctx, backend := context.Background(), tensor.NewCPU(0)
	defer backend.Close()
	example := circuits.Max{Numbers: 2, Vocab: 10, Steps: 400, Tests: 1000}
	task, err := example.Task()
	if err != nil {
		log.Fatal(err)
	}
	training, err := task.Start(ctx, backend)
	if err != nil {
		log.Fatal(err)
	}
	defer training.Close()
	for _, err := range training.Steps(ctx) {
		if err != nil {
			log.Fatal(err)
		}
	}
	checkpoint, err := training.Checkpoint(ctx)
	if err != nil {
		log.Fatal(err)
	}
	model, err := checkpoint.Load(ctx, backend, transformer.LoadOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	report, err := example.Inspect(ctx, model)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("finds the larger:", report.Accuracy > 0.9)
	fmt.Println("9 gets a higher score than 1:", report.QK[5][9] > report.QK[5][1])
	// Output:
	// finds the larger: true
	// 9 gets a higher score than 1: true
}

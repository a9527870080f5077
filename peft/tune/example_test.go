package tune_test

import (
	"context"
	"fmt"
	"iter"
	"log"
	"os"
	"path/filepath"

	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/peft/tune"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
	"github.com/gpupeft/gpupeft/transformer/demo"
	"github.com/gpupeft/gpupeft/transformer/tokenizer"
)

// Train the built-in model with checkpoints, "lose" the run after its third step, and go
// on from the newest checkpoint.
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
	ids, err := words.Encode("The kettle whistled three times before the rain began.", true)
	if err != nil {
		log.Fatal(err)
	}
	batch := transformer.Batch{IDs: [][]int32{ids}, Labels: [][]int32{ids}}
	dir, err := os.MkdirTemp("", "run")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	train := func(until int, from *tune.Checkpoint) {
		lora, err := peft.New(ctx, model, peft.LoRAConfig{Rank: 4})
		if err != nil {
			log.Fatal(err)
		}
		defer lora.Close()
		run, err := model.NewRun(transformer.RunOptions{Batch: 1, Length: len(ids), Train: true, Adapters: []transformer.Adapter{lora}})
		if err != nil {
			log.Fatal(err)
		}
		defer run.Close()
		job := tune.Job{
			Config: tune.Config{
				Train: peft.TrainConfig{Steps: 6, Optimizer: peft.Lion, LR: 1e-3},
				Save:  tune.Saving{Dir: dir, Every: 2, Facts: []tune.Fact{{Name: "model", Value: "demo"}}},
			},
			Run: run, Method: lora,
			Data: func(int) iter.Seq2[[]transformer.Batch, error] { // the same at each step
				return func(yield func([]transformer.Batch, error) bool) {
					for yield([]transformer.Batch{batch}, nil) {
					}
				}
			},
			Evaluate: func(ctx context.Context) (tune.Score, error) {
				l, err := peft.Evaluate(ctx, run, func(yield func(transformer.Batch, error) bool) { yield(batch, nil) })
				return tune.ScoreOf(l), err
			},
			Resume: from,
		}
		for step, err := range tune.Run(ctx, job) {
			if err != nil {
				log.Fatal(err)
			}
			fmt.Println("step", step.Step.Step)
			if step.Stop != "" {
				fmt.Println(step.Stop)
			}
			if step.Step.Step == until {
				return
			}
		}
	}
	train(3, nil)
	checkpoint, err := tune.Open(dir)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("from", filepath.Base(checkpoint.Dir))
	train(6, checkpoint)
	// Output:
	// step 1
	// step 2
	// step 3
	// from step-00000002
	// step 3
	// step 4
	// step 5
	// step 6
	// finished
}

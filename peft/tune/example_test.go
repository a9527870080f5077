package tune_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log"
	"os"
	"os/exec"
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

// A program that must not end with a GPU's driver runs itself once more, with another
// argument, and lets that process compute. (Without expected output: compiled, not run.)
func ExampleIsolate() {
	ctx, checkpoints := context.Background(), "checkpoints"
	if len(os.Args) > 1 && os.Args[1] == "worker" {
		ctx, cancel := tune.Attend(ctx, os.Stdin, func() { os.Exit(1) })
		defer cancel()
		from, err := tune.Open(checkpoints)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			log.Fatal(err) // exit code 1: another worker would fare no better
		}
		job := tune.Job{ /* … */ Config: tune.Config{Save: tune.Saving{Dir: checkpoints, Every: 50}}, Resume: from}
		for step, err := range tune.Run(ctx, job) {
			if err != nil {
				log.Fatal(err)
			}
			fmt.Println(step.Step.Step, step.Loss)
		}
		return
	}
	err := tune.Isolate(ctx, tune.Isolation{
		Dir: checkpoints, Restarts: 3,
		Command: func(*tune.Checkpoint) (*exec.Cmd, error) {
			worker := exec.Command(os.Args[0], "worker")
			worker.Stdout, worker.Stderr = os.Stdout, os.Stderr
			return worker, nil
		},
		Restarting: func(l tune.WorkerLoss) { log.Printf("lost: %v", l.State) },
	})
	if err != nil {
		log.Fatal(err)
	}
}

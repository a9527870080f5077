package peft_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
	"github.com/gpupeft/gpupeft/transformer/demo"
	"github.com/gpupeft/gpupeft/transformer/tokenizer"
)

// Teach the built-in model one sentence by LoRA, and save the matrices in PEFT's
// format.
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
	lora, err := peft.New(ctx, model, peft.LoRAConfig{Rank: 8, Targets: peft.Named(peft.AllLinear)})
	if err != nil {
		log.Fatal(err)
	}
	defer lora.Close()
	run, err := model.NewRun(transformer.RunOptions{Batch: 1, Length: len(ids), Train: true, Adapters: []transformer.Adapter{lora}})
	if err != nil {
		log.Fatal(err)
	}
	defer run.Close()
	batch := transformer.Batch{IDs: [][]int32{ids}, Labels: [][]int32{ids}}
	data := func(yield func([]transformer.Batch, error) bool) {
		for yield([]transformer.Batch{batch}, nil) {
		}
	}
	var first, last float64
	for step, err := range peft.Train(ctx, run, lora, data, peft.TrainConfig{Steps: 60, LR: 5e-3}) {
		if err != nil {
			log.Fatal(err)
		}
		if step.Step == 1 {
			first = step.Loss
		}
		last = step.Loss
	}
	dir, err := os.MkdirTemp("", "adapter")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := peft.Save(ctx, dir, lora, peft.SaveOptions{BaseModel: "demo"}); err != nil {
		log.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("learnt:", first > 2 && last < 0.1)
	for _, f := range files {
		fmt.Println(filepath.Base(f))
	}
	// Output:
	// learnt: true
	// adapter_config.json
	// adapter_model.safetensors
}

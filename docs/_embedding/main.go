// Command embedding is what a program with gpupeft inside looks like: it tunes a model,
// asks it something, saves the adapter, and looks at what the tuned heads attend to.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"os/signal"

	"github.com/gpupeft/gpupeft/gpu"
	"github.com/gpupeft/gpupeft/interp"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/peft/tune"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
	"github.com/gpupeft/gpupeft/transformer/demo"
	"github.com/gpupeft/gpupeft/transformer/tokenizer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, "adapter"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run does it all. The library prints nothing, and its errors say what was wrong.
func run(ctx context.Context, w io.Writer, out string) error {
	backend, err := openBackend(ctx)
	if err != nil {
		return err
	}
	defer backend.Close()

	// os.DirFS("llama-3.2-1b") in place of the built-in model works the same.
	model, err := transformer.Load(ctx, backend, demo.Model(), transformer.LoadOptions{})
	if err != nil {
		return err
	}
	defer model.Close()
	words, err := tokenizer.Load(demo.Model())
	if err != nil {
		return err
	}

	lora, err := peft.New(ctx, model, peft.LoRAConfig{Rank: 4, Targets: peft.Named(peft.AllLinear)})
	if err != nil {
		return err
	}
	defer lora.Close()
	if err := train(ctx, w, model, words, lora); err != nil {
		return err
	}
	if err := peft.Save(ctx, out, lora, peft.SaveOptions{BaseModel: "gpupeft-demo"}); err != nil {
		return err
	}

	const question = "Review: The soup was cold and the waiter yawned.\nVerdict:"
	ids, err := data.EncodePrompt(words, question)
	if err != nil {
		return err
	}
	if err := answer(ctx, w, model, words, lora, ids); err != nil {
		return err
	}
	return inspect(ctx, w, model, words, lora, ids)
}

// openBackend takes the best GPU, or the CPU where there is none but one that is emulated.
func openBackend(ctx context.Context) (tensor.Backend, error) {
	backend, err := gpu.Open(ctx, gpu.Config{})
	switch {
	case errors.Is(err, gpu.ErrUnavailable):
		return tensor.NewCPU(0), nil
	case err == nil && backend.Info().Type == "cpu":
		return tensor.NewCPU(0), backend.Close()
	}
	return backend, err
}

// train tunes on reviews for sixty steps, and stops early if that no longer helps.
func train(ctx context.Context, w io.Writer, model *transformer.Model, words *tokenizer.Tokenizer, lora peft.Method) error {
	files, err := data.Open(ctx, demo.Data(), "sentiment", data.Options{Tokens: words, Vocab: model.Config.VocabSize, MaxLength: 96})
	if err != nil {
		return err
	}
	defer files.Close()
	const batch = 8
	r, err := model.NewRun(transformer.RunOptions{
		Batch: batch, Length: max(files.Train.Longest(), files.Valid.Longest()),
		Train: true, Adapters: []transformer.Adapter{lora},
	})
	if err != nil {
		return err
	}
	defer r.Close()
	job := tune.Job{
		Config: tune.Config{Train: peft.TrainConfig{Steps: 60, LR: 5e-3, Schedule: peft.Linear}, EvalEvery: 20, Patience: 2, KeepBest: true},
		Run:    r, Method: lora,
		Data: func(int) iter.Seq2[[]transformer.Batch, error] {
			return data.Loader{Batch: batch, Seed: 1}.Steps(files.Train)
		},
		Evaluate: func(ctx context.Context) (tune.Score, error) {
			loss, err := peft.Evaluate(ctx, r, data.Once(files.Valid, batch))
			return tune.ScoreOf(loss), err
		},
	}
	for step, err := range tune.Run(ctx, job) {
		if err != nil {
			return err
		}
		if step.Score != nil {
			fmt.Fprintf(w, "step %d: loss %.3f, held out %.3f\n", step.Step.Step, step.Step.Loss, step.Score.Loss)
		}
	}
	return nil
}

// answer continues a text with the adapter in place.
func answer(ctx context.Context, w io.Writer, model *transformer.Model, words *tokenizer.Tokenizer, lora peft.Method, ids []int32) error {
	r, err := model.NewRun(transformer.RunOptions{Batch: 1, Length: len(ids), Context: len(ids) + 8, Adapters: []transformer.Adapter{lora}})
	if err != nil {
		return err
	}
	defer r.Close()
	var reply []int32
	for id, err := range r.Generate(ctx, ids, transformer.Generation{MaxTokens: 8, Stop: model.Config.EOS}) {
		if err != nil {
			return err
		}
		reply = append(reply, id)
	}
	fmt.Fprintf(w, "verdict: %s\n", words.Decode(reply, true))
	return nil
}

// inspect finds the token that the last layer attends to most where the answer begins,
// and how much of the answer each layer's attention adds.
func inspect(ctx context.Context, w io.Writer, model *transformer.Model, words *tokenizer.Tokenizer, lora peft.Method, ids []int32) error {
	last := len(model.Config.Layers) - 1
	hook := fmt.Sprintf("blocks.%d.attn.hook_pattern", last)
	trace, err := interp.Capture(ctx, model, [][]int32{ids}, interp.Options{Hooks: []string{hook}, Adapters: []transformer.Adapter{lora}})
	if err != nil {
		return err
	}
	pattern := trace.Activations[hook] // [1, heads, T, T]
	heads, t := pattern.Shape[1], pattern.Shape[2]
	for h := range heads {
		row := pattern.Values[(h*t+t-1)*t:][:t] // what the last token attends to
		best := 0
		for i, p := range row {
			if p > row[best] {
				best = i
			}
		}
		fmt.Fprintf(w, "layer %d, head %d looks at %q (%.0f %%)\n", last, h, words.Decode(ids[best:best+1], false), 100*row[best])
	}
	return nil
}

package cli

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/internal/disk"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/peft/tune"
)

const tuneDescription = `Trains a soft prompt, LoRA matrices or another small addition on data and saves it as
an adapter. The model itself is not changed.

Data is plain text; or rows in JSONL, a JSON array, CSV or TSV of one of the forms
   {"text": "..."}
   {"prompt": "...", "completion": "..."}       loss on the completion only
   {"instruction": "...", "output": "..."}      Alpaca, perhaps with "input"
   {"messages": [{"role": ..., "content": ...}, ...]}
   {"text": "...", "label": ...}                classification
   {"input_ids": [...], "labels": [...]}        taken as they are, -100 is masked
or a directory with train, valid (validation, val, dev) and test files of these.

Without --model and --data, a small built-in model learns to judge reviews.

Examples:
   gpupeft tune
   gpupeft tune --model llama --data book.txt --out adapter
   gpupeft tune --model llama --data rows.jsonl --method prompt \
      --prompt-init-text "Classify the review:" --epochs 3
   gpupeft tune --model llama --data rows.jsonl --init-adapter adapter --out more
   gpupeft tune --config settings.yaml --out adapter --resume auto

Ctrl-C stops after the step that is running and saves the adapter and a checkpoint,
from which the same command with --resume auto goes on as if nothing had happened; a
second one ends at once.`

func (p *program) tuneCommand() *cli.Command {
	return &cli.Command{
		Name:        "tune",
		Usage:       "train a soft prompt, LoRA or another adapter on data",
		UsageText:   "gpupeft tune [options]",
		Description: tuneDescription,
		Flags:       slices.Concat(tuneFlags(), dataFlags(), packingFlags()),
		Action:      p.tune,
	}
}

func tuneFlags() []cli.Flag {
	return []cli.Flag{
		modelFlag(),
		&cli.StringFlag{Name: "data", Category: groupInput, Usage: "`PATH` of a file or directory to train on"},
		&cli.Float64Flag{Name: "val-split", Value: 0.1, Category: groupInput, Usage: "`FRACTION` to hold out where the data has no valid file; 0: none"},
		&cli.IntFlag{
			Name: "max-seq-length", Value: 128, Category: groupInput,
			Usage: "`TOKENS` of a sequence, without virtual ones: plain text is cut into such blocks, longer rows lose their end",
		},
		&cli.StringFlag{Name: "init-adapter", Category: groupInput, Usage: "start from the PEFT adapter in `DIR`"},
		promptScaleFlag(),

		&cli.StringFlag{Name: "method", Value: "lora", Category: groupMethod, Usage: "`METHOD`: " + strings.Join(methodNames(), ", ")},
		&cli.IntFlag{Name: "virtual-tokens", Category: groupMethod, DefaultText: "20; llama-adapter: 10", Usage: "prompt methods: `N` trainable vectors before the text"},
		&cli.StringFlag{
			Name: "prompt-init", Category: groupMethod, DefaultText: "text with a --prompt-init-text, else vocab; prefix: zero",
			Usage: "prompt, mpt, prefix: start from a `KIND` of vectors: text, vocab, random or zero",
		},
		&cli.StringFlag{Name: "prompt-init-text", Category: groupMethod, Usage: "prompt, mpt, prefix: `TEXT` to start from"},
		&cli.StringFlag{Name: "encoder", Value: "mlp", Category: groupMethod, Usage: "ptuning: `KIND` of the network that computes the vectors, mlp or lstm"},
		&cli.IntFlag{Name: "encoder-hidden", Category: groupMethod, DefaultText: "ptuning: 128; prefix: no network", Usage: "ptuning, prefix: width `N` of that network"},
		&cli.IntFlag{Name: "tasks", Value: 1, Category: groupMethod, Usage: "mpt: `N` tasks; rows of data say theirs as \"task\": 0 to N-1"},
		&cli.IntFlag{Name: "task-rank", Value: 1, Category: groupMethod, Usage: "mpt: `R`, the rank of each task's matrix"},
		&cli.IntFlag{Name: "rank", Value: 8, Category: groupMethod, Usage: "lora, dora: `R`, the inner size of the matrices"},
		&cli.Float64Flag{Name: "alpha", Value: 16, Category: groupMethod, Usage: "lora, dora: `A`; the matrices' product is scaled by A/R"},
		&cli.Float64Flag{Name: "dropout", Category: groupMethod, Usage: "lora, dora: drop this `SHARE` of the matrices' inputs in training"},
		&cli.BoolFlag{Name: "rslora", Category: groupMethod, DisableDefaultText: true, Usage: "lora, dora: scale by A/√R (arXiv 2312.03732)"},
		&cli.StringFlag{Name: "rank-pattern", Category: groupMethod, Usage: "lora, dora: other ranks for some modules, as `PATTERN=R,...`"},
		&cli.StringFlag{Name: "alpha-pattern", Category: groupMethod, Usage: "lora, dora: other alphas for some modules, as `PATTERN=A,...`"},
		&cli.Float64Flag{Name: "lora-plus-ratio", Category: groupMethod, DefaultText: "1", Usage: "lora, dora: train B `N` times as fast as A (LoRA+, arXiv 2402.12354)"},
		&cli.StringFlag{
			Name: "target-modules", Category: groupMethod, DefaultText: "lora, dora: all-linear; others: their own",
			Usage: "lora, dora, ia3, ln-tuning, full: `LIST` of q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj, or all-linear; also embed_tokens, lm_head, norms where the method has them",
		},
		&cli.StringFlag{Name: "modules-to-save", Category: groupMethod, Usage: "lora, dora: train `LIST` of modules as a whole, such as lm_head"},
		&cli.IntFlag{Name: "num-layers", Value: -1, Category: groupMethod, DefaultText: "all; llama-adapter: all but two", Usage: "lora, dora, llama-adapter: change only the upper `N` layers"},
		&cli.Float64Flag{Name: "reduction-factor", Category: groupMethod, DefaultText: "16; par-bn: 2", Usage: "bottlenecks: the network is 1/`N` as wide as the model"},
		&cli.StringFlag{Name: "non-linearity", Category: groupMethod, DefaultText: "relu; double-seq-bn: swish", Usage: "bottlenecks: `F`, one of " + strings.Join(peft.NonLinearities(), ", ")},
		&cli.StringFlag{Name: "token-ids", Category: groupMethod, Usage: "tokens: `LIST` of the ids whose embeddings are trained"},

		&cli.IntFlag{Name: "steps", Value: 300, Category: groupLoop, Usage: "`N` optimizer steps, however many epochs that is"},
		&cli.IntFlag{Name: "epochs", Category: groupLoop, DefaultText: "--steps", Usage: "`N` passes over the data, in place of --steps"},
		&cli.IntFlag{Name: "batch-size", Value: 8, Category: groupLoop, Usage: "`N` sequences that are computed together"},
		&cli.IntFlag{Name: "grad-accum", Value: 1, Category: groupLoop, Usage: "`N` batches a step"},
		&cli.StringFlag{Name: "optimizer", Value: string(peft.AdamW), Category: groupLoop, Usage: "`NAME`: " + join(peft.Optimizers())},
		&cli.Float64Flag{Name: "lr", Category: groupLoop, DefaultText: "by method; lora: 0.82/width, but 0.0002 to 0.005; lion: a tenth", Usage: "peak learning `RATE`"},
		&cli.StringFlag{Name: "lr-schedule", Value: string(peft.Linear), Category: groupLoop, Usage: "`SHAPE` of the learning rate: " + join(peft.Schedules())},
		&cli.Float64Flag{Name: "min-lr", Category: groupLoop, Usage: "`RATE` that the schedule falls to"},
		&cli.IntFlag{Name: "warmup-steps", Category: groupLoop, Usage: "`N` steps until the learning rate is full; 0: none"},
		&cli.Float64Flag{Name: "warmup-ratio", Category: groupLoop, Usage: "the same as a `FRACTION` of all steps"},
		&cli.Float64Flag{Name: "weight-decay", Category: groupLoop, Usage: "decay `RATE` of the weights, decoupled but with sgd; 0: none"},
		&cli.Float64Flag{Name: "max-grad-norm", Value: 1, Category: groupLoop, Usage: "clip the gradient to this `NORM`; 0: don't"},
		&cli.DurationFlag{Name: "max-time", Category: groupLoop, DefaultText: "none", Usage: "stop after `TIME` such as 90m or 8h, with a checkpoint; counted anew with --resume"},
		&cli.Uint64Flag{Name: "seed", Value: 42, Category: groupLoop, Usage: "`N` that initialisation, split and order follow"},
		&cli.BoolFlag{Name: "no-shuffle", Category: groupLoop, DisableDefaultText: true, Usage: "keep the order of the data"},

		&cli.IntFlag{Name: "eval-every", Value: 100, Category: groupEval, Usage: "evaluate on the held-out data every `N` steps; 0: only before and after"},
		&cli.IntFlag{Name: "eval-batches", Value: 20, Category: groupEval, Usage: "evaluate on the first `N` held-out batches; 0: all"},
		&cli.StringFlag{Name: "metric", Value: string(tune.Loss), Category: groupEval, Usage: "`NAME` of what makes an evaluation better: " + join(tune.Metrics())},
		&cli.IntFlag{Name: "early-stop", Category: groupEval, DefaultText: "never", Usage: "stop after `N` evaluations without a better one, and keep the best"},
		&cli.BoolFlag{Name: "keep-best", Category: groupEval, DisableDefaultText: true, Usage: "save the adapter as it was at the best evaluation"},
		&cli.StringFlag{Name: "sample-prompt", Category: groupEval, DefaultText: "from the held-out data", Usage: "`TEXT` to continue before, after, and at each evaluation"},

		deviceFlag(), quantFlag(),
		&cli.BoolFlag{Name: "grad-checkpoint", Category: groupCompute, DisableDefaultText: true, Usage: "compute activations again on the way back: a fraction of the memory, a third more time"},
		&cli.StringFlag{Name: "micro-batch", Category: groupCompute, DefaultText: "--batch-size", Usage: "compute `N` sequences of a batch at a time, with the same result; auto: as many as fit"},
		&cli.StringFlag{Name: "memory-limit", Category: groupCompute, DefaultText: "on the CPU, what is free", Usage: "stop before the start if the run would take more than `SIZE`, such as 6GB"},
		&cli.IntFlag{Name: "restarts", Category: groupCompute, DefaultText: "3, with --device cpu 0", Usage: "compute in a process of its own, which is started again from the last checkpoint if a driver ends it, up to `N` times in a row without a new one; 0: in this process"},
		&cli.BoolFlag{Name: "dry-run", Category: groupCompute, DisableDefaultText: true, Usage: "print what would take how much memory; a config.json is enough"},

		&cli.StringFlag{Name: "out", Category: groupOutput, DefaultText: "gpupeft-out, or the next free gpupeft-out-N", Usage: "`DIR` for the adapter; must be new or empty"},
		&cli.IntFlag{Name: "save-every", Value: 100, Category: groupOutput, Usage: "save a checkpoint beside --out every `N` steps, removed at the end; 0: only when interrupted"},
		&cli.IntFlag{Name: "keep", Category: groupOutput, DefaultText: "2 while it runs, none after", Usage: "keep the newest `N` checkpoints, also after the end"},
		&cli.StringFlag{Name: "resume", Category: groupOutput, Usage: "go on from the checkpoint in `DIR`; auto: from the newest of --out, or from the start if there is none"},
		&cli.StringFlag{Name: "config", Category: groupOutput, Usage: "read flags from a YAML `FILE` of lines such as \"batch-size: 4\"; those given here win"},
		&cli.StringFlag{Name: "log-jsonl", Category: groupOutput, Usage: "write one JSON record a step to `FILE`, too, replacing it; --out has its own log.jsonl"},
		&cli.StringFlag{Name: "log-csv", Category: groupOutput, Usage: "the same as CSV"},
		&cli.StringFlag{Name: "tensorboard", Category: groupOutput, Usage: "the same as event files for TensorBoard, in `DIR`"},
		&cli.StringFlag{Name: "progress", Value: "auto", Category: groupOutput, Usage: "show steps as `KIND`: bar (one live line), lines, json (a record a step, on standard error), or auto: bar on a terminal, else lines"},
		&cli.BoolFlag{Name: "no-report", Category: groupOutput, DisableDefaultText: true, Usage: "leave out report.html and the plots of the loss (see: gpupeft help report)"},
		previewFlag(1),
		jsonFlag("print one JSON object at the end; the rest goes to standard error"),
		quietFlag(),
	}
}

func (p *program) tune(c *cli.Context) error {
	if err := readConfig(c); err != nil {
		return err
	}
	plan, err := newPlan(c)
	if err != nil {
		return err
	}
	out := p.output(c)
	if err := p.progress(c, out); err != nil {
		return err
	}
	if c.Bool("dry-run") {
		return p.dryRun(c, plan, out)
	}
	if err := plan.place(); err != nil {
		return err
	}
	if plan.done != nil {
		out.say("%s is complete: nothing to do", plan.out)
		err := errors.Join(printSaved(out, plan.done, c.Bool("json")), disk.Clean(filepath.Dir(plan.out), filepath.Base(plan.out)))
		if !exists(filepath.Join(plan.out, pageName)) { // it was killed before
			err = errors.Join(err, plan.writePage(out))
		}
		return err
	}
	if p.restarts(c) > 0 {
		return p.isolate(c, plan, out)
	}
	j, err := openJob(c, plan, out)
	if err != nil {
		return err
	}
	defer j.close()
	j.announce()
	if err := j.before(c.Context); err != nil {
		return err
	}
	if err := j.train(c.Context); err != nil {
		return err
	}
	if err := j.after(c.Context); err != nil {
		return err
	}
	if err := j.save(); err != nil {
		return err
	}
	if c.Bool("json") {
		err = writeJSON(out.result, j.report)
	} else {
		err = j.printResult(out.result)
	}
	if err = errors.Join(err, plan.writePage(out)); err == nil && j.report.Interrupted {
		err = errInterrupted
	}
	return err
}

// join lists names for the help.
func join[T ~string](names []T) string {
	var all []string
	for _, n := range names {
		all = append(all, string(n))
	}
	return strings.Join(all, ", ")
}

// list splits a comma-separated value.
func list(value string) []string {
	parts := strings.Split(value, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

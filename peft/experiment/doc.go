// Package experiment runs a matrix of trainings, methods × models × datasets × seeds, and
// compares them with baselines.
//
// A [Plan] is read from a YAML file:
//
//	name: reviews
//	metric: exact               # class, norm, exact, accuracy, loss or perplexity
//	settings: {steps: 200}      # for all; names and values of the flags of gpupeft tune
//	models:
//	  - {name: SmolLM2, model: smollm2.gguf}
//	datasets:
//	  - {name: SST-2, data: sst2}
//	methods:
//	  - {name: LoRA, method: lora, rank: 8}
//	  - {name: prompt, method: prompt}
//	seeds: [1, 2, 3]
//	baselines: [majority, zero-shot]
//
// [Plan.Cells] lists what is to be run. [Run] runs the cells one after the other with a
// function of the caller's, keeps the result of each in a file, and skips cells that have
// one: an experiment that was stopped goes on where it was. [Plan.Table] takes the seeds
// together.
package experiment

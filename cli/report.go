package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/peft/baseline"
	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/peft/runlog"
	"github.com/gpupeft/gpupeft/peft/tune"
	"github.com/gpupeft/gpupeft/tensor"
)

// report is what --json prints and run.json keeps. Numbers that were not measured
// are null.
type report struct {
	Model       string         `json:"model"`  // --model, or gpupeft-demo
	Kind        string         `json:"kind"`   // model_type of config.json
	Method      string         `json:"method"` // lora or prompt
	Device      tensor.Info    `json:"device"`
	BaseParams  int64          `json:"base_params"`
	Params      int            `json:"params"` // trainable
	Data        dataReport     `json:"data"`
	Settings    settings       `json:"settings"`
	Steps       int            `json:"steps"` // taken
	Epochs      float64        `json:"epochs"`
	Tokens      int            `json:"tokens"`  // trained on, without virtual ones and padding
	Seconds     float64        `json:"seconds"` // of training, without evaluation
	TokensPerS  float64        `json:"tokens_per_s"`
	PeakBytes   int64          `json:"peak_bytes"`  // of the device's memory
	Memory      memoryPlan     `json:"memory"`      // as planned
	LossBase    *float64       `json:"loss_base"`   // held-out, bare model
	LossBefore  *float64       `json:"loss_before"` // held-out, with the adapter as it starts
	LossAfter   *float64       `json:"loss_after"`
	PPL         *float64       `json:"ppl"` // exp(loss_after)
	TrainLoss   *float64       `json:"train_loss"`
	Base        *score         `json:"base"`
	Before      *score         `json:"before"`
	After       *score         `json:"after"`
	Majority    *majority      `json:"majority,omitempty"`
	Warnings    []data.Warning `json:"warnings,omitempty"` // about the data
	Sample      *sampleReport  `json:"sample,omitempty"`
	Adapter     string         `json:"adapter"` // directory
	Interrupted bool           `json:"interrupted"`
	Stop        tune.Reason    `json:"stop"`                // why it ended
	BestStep    int            `json:"best_step,omitempty"` // of the adapter, with --keep-best
	// What the run was made with: enough to make it again.
	Build       build          `json:"build"`
	ModelSHA256 string         `json:"model_sha256"` // see tune.Fingerprint
	Config      map[string]any `json:"config"`       // flags as they took effect
}

// dataReport says what was read.
type dataReport struct {
	Path      string      `json:"path"`
	Format    data.Format `json:"format"`
	Why       string      `json:"format_why"`
	SHA256    string      `json:"sha256"` // of the training file
	Template  string      `json:"chat_template,omitempty"`
	Train     int         `json:"train_examples"`
	HeldOut   int         `json:"held_out_examples"` // that are evaluated on
	Tokens    int         `json:"train_tokens"`
	Truncated int         `json:"truncated"`
	Dropped   int         `json:"dropped"`
	Packing   bool        `json:"packing"`
	ByLength  bool        `json:"group_by_length"`
}

// settings are the effective ones.
type settings struct {
	Steps       int     `json:"steps"`
	BatchSize   int     `json:"batch_size"`
	GradAccum   int     `json:"grad_accum"`
	MaxLength   int     `json:"max_seq_length"`
	Optimizer   string  `json:"optimizer"`
	LR          float64 `json:"lr"`
	MinLR       float64 `json:"min_lr"`
	Schedule    string  `json:"lr_schedule"`
	Warmup      int     `json:"warmup_steps"`
	WeightDecay float64 `json:"weight_decay"`
	MaxGradNorm float64 `json:"max_grad_norm"`
	Seed        uint64  `json:"seed"`
	Shuffle     bool    `json:"shuffle"`
	InitAdapter string  `json:"init_adapter,omitempty"`
	Quant       string  `json:"quant,omitempty"` // the weights' type, if it isn't the stored one
	MicroBatch  int     `json:"micro_batch"`
	Checkpoint  bool    `json:"grad_checkpoint"`
}

func (j *job) fillReport(c *cli.Context) (err error) {
	p := j.plan
	j.report = report{
		Model: j.name, Kind: j.model.Config.Kind, Method: p.method, Device: j.backend.Info(),
		BaseParams: j.model.Params(), Params: j.method.Params().Count(),
		Data: dataReport{
			Path: j.dataName(), Format: j.trainData.Format, Why: j.trainData.Why, SHA256: j.trainData.SHA256, Template: j.templateName(), Train: j.trainData.Len(), Tokens: j.trainData.Tokens(),
			Truncated: j.trainData.Truncated, Dropped: j.trainData.Dropped, Packing: p.loader.Pack > 0, ByLength: p.loader.ByLength,
		},
		Settings: settings{
			Steps: p.train.Steps, BatchSize: p.loader.Batch, GradAccum: p.loader.Accumulate, MaxLength: p.maxLength,
			Optimizer: string(p.train.Optimizer), LR: p.train.LR, MinLR: p.train.MinLR, Schedule: string(p.train.Schedule), Warmup: p.train.Warmup, WeightDecay: p.train.WeightDecay,
			MaxGradNorm: p.train.MaxGradNorm, Seed: p.loader.Seed, Shuffle: !p.loader.InOrder, InitAdapter: p.initAdapter,
			Quant: quantName(j.quant), MicroBatch: p.micro, Checkpoint: p.checkpoint,
		},
		Sample: j.sample, Warnings: j.checked.Warnings, Adapter: p.out, Memory: p.memory,
		Build: thisBuild(), ModelSHA256: j.prints.model, Config: j.effective(c),
	}
	if j.valid != nil {
		j.report.Data.HeldOut = j.valid.Len()
	}
	if j.tokens != nil && j.valid != nil && j.trainData.Format.Answers() {
		a, err := baseline.Majority(j.trainData, j.valid)
		if err != nil {
			return err
		}
		if a != nil {
			j.report.Majority = &majority{j.tokens.Decode(a.IDs, true), a.Right}
		}
	}
	return err
}

// add counts a step.
func (r *report) add(s runlog.Record) {
	r.Steps, r.Epochs, r.TrainLoss = s.Step, s.Epoch, number(s.Loss)
	r.Tokens += s.Tokens
	r.Seconds += s.StepMS / 1000
	r.TokensPerS = float64(r.Tokens) / r.Seconds
}

// announce prints what is about to happen.
func (j *job) announce() {
	j.explain(j.out)
	r, s := &j.report, &j.report.Settings
	model := fmt.Sprintf("%s (%s), %s, frozen", r.Model, r.Kind, count(r.BaseParams, "parameter"))
	if r.Model == demoName {
		model = fmt.Sprintf("the built-in one (%s), %s, frozen", r.Kind, count(r.BaseParams, "parameter"))
	}
	j.out.say("model     %s", model)
	j.out.say("data      %s: %s (%s); %s to train on, %d held out", r.Data.Path, r.Data.Format, r.Data.Why, count(r.Data.Train, "example"), r.Data.HeldOut)
	if r.Data.Truncated > 0 {
		j.out.say("          %s cut to --max-seq-length %d", count(r.Data.Truncated, "row"), s.MaxLength)
	}
	if r.Data.Dropped > 0 {
		j.out.say("          %s left out: nothing to predict within --max-seq-length %d", count(r.Data.Dropped, "row"), s.MaxLength)
	}
	j.announceData()
	if from := j.plan.from; from != nil {
		j.out.say("resume    %s, after step %d", from.Dir, from.Step)
	}
	j.out.say("method    %s, %s trainable (%.2g %% of the model)", j.describeMethod(), count(r.Params, "parameter"), 100*float64(r.Params)/float64(r.BaseParams))
	j.out.say("device    %s; %s: %s weights, %s activations", deviceName(r.Device), byteSize(j.plan.memory.Total),
		byteSize(j.plan.memory.Weights), byteSize(j.plan.memory.Activations+j.plan.memory.Gradients))
	j.out.say("steps     %s of %d×%d sequences of up to %d tokens, lr %.3g %s", thousands(s.Steps), s.GradAccum, s.BatchSize, j.longest(), s.LR, s.Schedule)
}

// describeMethod names the method with its sizes.
func (j *job) describeMethod() string {
	p := j.plan
	if p.initAdapter != "" {
		return fmt.Sprintf("%s from %s", p.method, p.initAdapter)
	}
	return describe(j.method.Config())
}

// save completes the report and writes the adapter with its log. It isn't interrupted: what is
// there is worth keeping.
func (j *job) save() error {
	r := &j.report
	r.PeakBytes = j.backend.Memory().Peak
	if r.Base != nil {
		r.LossBase, r.LossBefore = r.Base.Loss, r.Before.Loss
	}
	if r.After != nil {
		r.LossAfter, r.PPL = r.After.Loss, r.After.Perplexity
	}
	if err := j.log.Close(); err != nil {
		return err
	}
	if err := saveAdapter(context.Background(), j.plan.out, j.plan.from != nil, j.method, r.Model, r, func(dir string) error {
		return errors.Join(j.log.copyTo(dir), j.copyTemplate(dir))
	}); err != nil {
		return err
	}
	if r.Stop.Complete() && j.plan.keep == 0 {
		return os.RemoveAll(j.plan.checkpoints())
	}
	return nil
}

// writePage writes the page and the plots of the run beside its adapter.
func (p *plan) writePage(out *output) error {
	if p.noReport {
		return nil
	}
	records, err := readRunLog(p.out, "")
	if err == nil {
		_, err = writeRunReport(p.out, records)
	}
	if err != nil {
		return fmt.Errorf("%s is saved, but not its report: %w", p.out, err)
	}
	out.say("report %s", filepath.Join(p.out, pageName))
	return nil
}

// printResult prints the comparison.
func (j *job) printResult(w io.Writer) error {
	r := &j.report
	if r.Base != nil {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintf(t, "\nheld-out\tloss\tperplexity\taccuracy\t%s\n", exactTitle(r.Base))
		for _, row := range []struct {
			name string
			s    *score
		}{{"bare model", r.Base}, {"before", r.Before}, {"after", r.After}} {
			if row.s != nil {
				fmt.Fprintf(t, "%s\t%s\n", row.name, row.s.row())
			}
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	if r.Majority != nil {
		fmt.Fprintf(w, "baseline: always answering %q is right on %.1f %%\n", r.Majority.Completion, 100*r.Majority.Exact)
	}
	if s := r.Sample; s != nil {
		fmt.Fprintf(w, "\nsample  %s\nbefore  %s\n", quoted(s.Prompt, 200), quoted(s.Before, 160))
		if s.After != "" {
			fmt.Fprintf(w, "after   %s\n", quoted(s.After, 160))
		}
		if s.Expected != "" {
			fmt.Fprintf(w, "right   %s\n", quoted(s.Expected, 160))
		}
	}
	if r.BestStep > 0 {
		fmt.Fprintf(w, "\nthe adapter is that of step %d, the best\n", r.BestStep)
	}
	if !r.Stop.Complete() {
		fmt.Fprintf(w, "\nthe run can go on: the same command with --resume %s\n", j.plan.checkpoints())
	}
	_, err := fmt.Fprintf(w, "\nsaved %s after %s: %s tokens, %s tokens/s\n", r.Adapter, count(r.Steps, "step"), thousands(r.Tokens), thousands(int(r.TokensPerS)))
	return err
}

func exactTitle(s *score) string {
	title := ""
	if s.Exact != nil {
		title += "exact\t"
	}
	if s.Class != nil {
		title += "class\t"
	}
	if s.ClassNormalized != nil {
		title += "norm\t"
	}
	return title
}

// row returns the cells of a table.
func (s *score) row() string {
	text := fmt.Sprintf("%s\t%s\t%.1f %%\t", loss(s), perplexity(s), 100*s.Accuracy)
	if s.Exact != nil {
		text += fmt.Sprintf("%.1f %%\t", 100**s.Exact)
	}
	if s.Class != nil {
		text += fmt.Sprintf("%.1f %%\t", 100**s.Class)
	}
	if s.ClassNormalized != nil {
		text += fmt.Sprintf("%.1f %%\t", 100**s.ClassNormalized)
	}
	return text
}

func perplexity(s *score) string {
	if s.Perplexity == nil {
		return "huge"
	}
	return fmt.Sprintf("%.2f", *s.Perplexity)
}

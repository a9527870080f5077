package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/internal/disk"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/peft/tune"
	"github.com/gpupeft/gpupeft/transformer"
	"github.com/gpupeft/gpupeft/transformer/demo"
)

// job is a run of tune.
type job struct {
	*base
	plan      *plan
	out       *output
	sketch    *sketch
	files     *data.Files // nil until they are open
	trainData *data.Set
	valid     *data.Set     // what is evaluated on; nil: nothing
	choices   *data.Choices // of valid; nil: the metric isn't about them
	checked   *data.Examination
	method    peft.Method
	run       *transformer.Run
	log       *runLog
	report    report
	sample    *sampleReport // of report; nil: none
	prompt    []int32       // of the sample
	prints    fingerprints
	facts     []tune.Fact // what a run that goes on must have in common
}

// demoData is the built-in data set that is tuned on without --data.
const demoData = "sentiment"

// openJob checks and loads everything. Nothing large is read before it is known that
// all of it fits.
func openJob(c *cli.Context, p *plan, out *output) (*job, error) {
	j, err := newJob(c, p, out)
	if err != nil {
		return nil, err
	}
	for _, step := range []func(*cli.Context) error{j.openData, j.fitMemory, j.fingerprint, j.fitCheckpoint, j.loadModel, j.openMethod, j.openSample} {
		if err := step(c); err != nil {
			return nil, errors.Join(err, j.close())
		}
	}
	if j.log, err = p.openLog(); err != nil {
		return nil, errors.Join(err, j.close())
	}
	if err := j.fillReport(c); err != nil {
		return nil, errors.Join(err, j.close())
	}
	if err := j.recall(); err != nil {
		return nil, errors.Join(err, j.close())
	}
	return j, nil
}

// newJob opens the model's files and the device, and sketches the job.
func newJob(c *cli.Context, p *plan, out *output) (*job, error) {
	b, err := openCheckpoint(c)
	if err != nil {
		return nil, err
	}
	j := &job{base: b, plan: p, out: out}
	if err = b.openDevice(c); err == nil {
		err = j.openSketch(c)
	}
	if err != nil {
		return nil, errors.Join(err, j.close())
	}
	return j, nil
}

func (j *job) loadModel(c *cli.Context) error { return j.load(c.Context, j.out) }

func (j *job) openMethod(c *cli.Context) (err error) {
	j.method, err = j.newMethod(c, j.model)
	return err
}

// newMethod makes what is trained, or loads it.
func (j *job) newMethod(c *cli.Context, model *transformer.Model) (peft.Method, error) {
	p, ctx := j.plan, c.Context
	if p.initAdapter != "" {
		return loadAdapter(c, j.out, "init-adapter", p.initAdapter, model)
	}
	if p.initText != "" && p.text == nil {
		tok, err := j.needTokens()
		if err == nil {
			p.text, err = tok.Encode(p.initText, false)
		}
		if err != nil {
			return nil, fmt.Errorf("--prompt-init-text: %w", err)
		}
	}
	method, _ := methodNamed(p.method)
	config, err := method.config(methodFlags{c, p.text, len(model.Config.Layers)})
	if err != nil {
		return nil, err
	}
	m, err := peft.New(ctx, model, config)
	switch {
	case errors.Is(err, peft.ErrConfig):
		return nil, usagef("--method %s: %w", p.method, err)
	case err != nil:
		return nil, fmt.Errorf("--method %s: %w", p.method, err)
	}
	return m, nil
}

// openData reads and splits the data, and settles what depends on it.
func (j *job) openData(c *cli.Context) error {
	p := j.plan
	if err := j.fitLength(); err != nil {
		return err
	}
	o, err := j.dataOptions(c, p.maxLength)
	if err != nil {
		return err
	}
	files, err := readData(c.Context, p.data, o)
	if err != nil {
		return err
	}
	j.files = files
	if files.Train == nil {
		return fmt.Errorf("--data %s: no file named train", p.data)
	}
	j.trainData, j.valid = files.Train, files.Valid
	if p.valSplit == 0 {
		j.valid = nil
	} else if j.valid == nil {
		j.trainData, j.valid = j.trainData.Split(p.valSplit, p.loader.Seed)
	}
	if j.valid != nil && j.valid.Len() == 0 {
		j.valid = nil
	}
	if err := j.checkMetric(o.WholeLoss); err != nil {
		return err
	}
	if err := j.pack(c); err != nil {
		return err
	}
	if j.checked, err = j.examine(c.Context, &data.Files{Train: j.trainData, Valid: j.valid, Test: files.Test}, c.Int("preview")); err != nil {
		return err
	}
	perEpoch, err := p.loader.StepsPerEpoch(j.trainData)
	if err != nil {
		return fmt.Errorf("--data %s, without what is held out: %w (lower --batch-size)", j.dataName(), err)
	}
	if p.epochs > 0 {
		p.train.Steps = p.epochs * perEpoch
	}
	if p.warmupRatio > 0 {
		p.train.Warmup = int(math.Ceil(p.warmupRatio * float64(p.train.Steps)))
	}
	if j.valid != nil {
		j.valid = j.valid.Head(p.evalBatches * p.loader.Batch)
		j.choices, err = j.choicesOf(j.valid)
	}
	return err
}

// pack settles how rows become batches. A packed row has room for the longest row with
// its virtual tokens.
func (j *job) pack(c *cli.Context) error {
	p := j.plan
	p.loader.ByLength = c.Bool("group-by-length")
	if !c.Bool("packing") {
		return nil
	}
	p.loader.Virtual = virtual(j.sketch.method)
	p.loader.Pack = p.maxLength + p.loader.Virtual
	prefix := j.sketch.method.PrefixTokens()
	for _, l := range j.ckpt.Config.Layers {
		if prefix > 0 && l.Window > 0 && prefix+j.trainData.Longest() > l.Window {
			return usagef("--packing: %s and rows of %d tokens are more than the model's window of %d, beyond which rows in a sequence would see other parts of the prefix than alone",
				count(prefix, "prefix token"), j.trainData.Longest(), l.Window)
		}
	}
	return nil
}

// checkMetric makes sure that there is something to measure by.
func (j *job) checkMetric(wholeLoss bool) error {
	p := j.plan
	switch {
	case p.keepBest && j.valid == nil:
		return usagef("--early-stop and --keep-best: --data %s has nothing to hold out", j.dataName())
	case p.metric == tune.Exact && (j.valid == nil || !j.valid.Format.Answers()):
		return usagef("--metric exact: the held-out data has no rows of prompt and completion")
	case p.metric == tune.Class && (j.valid == nil || !j.valid.HasChoices()):
		return usagef("--metric class: the held-out data has no rows of text and label, or of question and choices")
	case p.metric == tune.Class && wholeLoss:
		return usagef("--metric class: with --mask-prompt=false rows don't say where the answer begins")
	}
	return nil
}

// fitLength keeps sequences and virtual tokens within the model's positions.
func (j *job) fitLength() error {
	p, room := j.plan, j.ckpt.Config.MaxPositions-taken(j.sketch.method)
	if p.maxLength <= room {
		return nil
	}
	if p.fixedLength || room < 2 {
		return usagef("--max-seq-length %d and %s are more than the %d positions of the model",
			p.maxLength, count(taken(j.sketch.method), "virtual token"), j.ckpt.Config.MaxPositions)
	}
	p.maxLength = room
	return nil
}

// readData reads --data, or the built-in reviews.
func readData(ctx context.Context, name string, o data.Options) (*data.Files, error) {
	if name == "" {
		return data.Open(ctx, demo.Data(), demoData, o)
	}
	dir, file, err := dataPath(name)
	if err != nil {
		return nil, err
	}
	files, err := data.Open(ctx, dir, file, o)
	if err != nil {
		return nil, fmt.Errorf("--data: %w", err)
	}
	return files, nil
}

// dataPath returns the directory of --data, and which file of it, "." for all.
func dataPath(name string) (dir fs.FS, file string, err error) {
	info, err := os.Stat(name)
	switch {
	case os.IsNotExist(err):
		return nil, "", fmt.Errorf("--data %s: no such file or directory", name)
	case err != nil:
		return nil, "", fmt.Errorf("--data: %w", err)
	case info.IsDir():
		return disk.Dir(name), ".", nil
	}
	return os.DirFS(filepath.Dir(name)), filepath.Base(name), nil
}

// openRun allocates the activations.
func (j *job) openRun() (err error) {
	j.run, err = j.model.NewRun(j.runOptions(j.method, j.longest(), j.plan.sizing))
	return err
}

// runOptions are those of training, for sequences of up to length real tokens.
func (j *job) runOptions(m peft.Method, length int, s sizing) transformer.RunOptions {
	return transformer.RunOptions{
		Batch: s.micro, Length: length + virtual(m), Train: true, GradCheckpoint: s.checkpoint, Adapters: adapters(m),
	}
}

func (j *job) longest() int {
	n := j.trainData.Longest()
	if pack := j.plan.loader.Pack; pack > 0 {
		n = pack - j.plan.loader.Virtual
	}
	if j.valid != nil {
		n = max(n, j.valid.Longest())
	}
	return n
}

// dataName names the data for people.
func (j *job) dataName() string {
	if j.plan.data == "" {
		return "built-in reviews"
	}
	return j.plan.data
}

// closeRun frees the activations.
func (j *job) closeRun() error {
	if j.run == nil {
		return nil
	}
	return j.run.Close()
}

func (j *job) close() error {
	err := j.closeRun()
	if j.method != nil {
		err = errors.Join(err, j.method.Close())
	}
	if j.files != nil {
		err = errors.Join(err, j.files.Close())
	}
	return errors.Join(err, j.log.close(), j.base.Close())
}

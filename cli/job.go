package cli

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/transformer"
	"github.com/gpupeft/gpupeft/transformer/demo"
)

// job is a run of tune.
type job struct {
	*base
	plan      *plan
	out       *output
	trainData *data.Set
	valid     *data.Set // what is evaluated on; nil: nothing
	method    peft.Method
	run       *transformer.Run
	log       *logFile
	report    report
	sample    *sampleReport // of report; nil: none
	prompt    []int32       // of the sample
}

// demoData is the built-in data set that is tuned on without --data.
const demoData = "sentiment"

// openJob loads everything and allocates it.
func openJob(c *cli.Context, p *plan, out *output) (*job, error) {
	var err error
	if p.out, err = p.freeName(); err != nil {
		return nil, err
	}
	if err := checkWritable(p.out); err != nil {
		return nil, err
	}
	b, err := openBase(c, out)
	if err != nil {
		return nil, err
	}
	j := &job{base: b, plan: p, out: out}
	for _, step := range []func(*cli.Context) error{j.openMethod, j.openData, j.openRun, j.openSample} {
		if err := step(c); err != nil {
			return nil, errors.Join(err, j.close())
		}
	}
	if j.log, err = openLog(p.logFile); err != nil {
		return nil, errors.Join(err, j.close())
	}
	j.fillReport()
	return j, nil
}

// openMethod makes what is trained, or loads it.
func (j *job) openMethod(c *cli.Context) (err error) {
	p, ctx := j.plan, c.Context
	if p.initAdapter != "" {
		if j.method, err = j.adapter(c, "init-adapter"); err != nil {
			return err
		}
		was := p.method
		p.method = methodName(j.method)
		if p.methodSet && was != p.method {
			return usagef("--method %s, but --init-adapter %s is %s", was, p.initAdapter, p.method)
		}
	} else if p.method == methodLoRA {
		j.method, err = peft.NewLoRA(ctx, j.model, p.lora)
	} else {
		if p.initText != "" {
			tok, err := j.needTokens()
			if err != nil {
				return fmt.Errorf("--prompt-init-text: %w", err)
			}
			if p.prompt.Text, err = tok.Encode(p.initText, false); err != nil {
				return fmt.Errorf("--prompt-init-text: %w", err)
			}
		}
		j.method, err = peft.NewPrompt(ctx, j.model, p.prompt)
	}
	if err == nil && p.train.LR == 0 {
		p.train.LR = defaultLR(p.method, j.model.Config.Hidden)
	}
	return err
}

func methodName(m peft.Method) string {
	if _, ok := m.(*peft.Prompt); ok {
		return methodPrompt
	}
	return methodLoRA
}

// openData reads and splits the data, and settles what depends on it.
func (j *job) openData(c *cli.Context) error {
	p := j.plan
	if err := j.fitLength(); err != nil {
		return err
	}
	files, err := readData(c.Context, p.data, j.dataOptions(p.maxLength))
	if err != nil {
		return err
	}
	if files.Train == nil {
		return fmt.Errorf("--data %s: no file named train", p.data)
	}
	j.trainData, j.valid = files.Train, files.Valid
	if p.valSplit == 0 {
		j.valid = nil
	} else if j.valid == nil {
		j.trainData, j.valid = j.trainData.Split(p.valSplit, p.loader.Seed)
	}
	if j.valid != nil && len(j.valid.Examples) == 0 {
		j.valid = nil
	}
	perEpoch, err := p.loader.StepsPerEpoch(len(j.trainData.Examples))
	if err != nil {
		return fmt.Errorf("--data %s, without what is held out: %w (lower --batch-size)", j.dataName(), err)
	}
	if p.epochs > 0 {
		p.train.Steps = p.epochs * perEpoch
	}
	if p.warmupRatio > 0 {
		p.train.Warmup = int(math.Ceil(p.warmupRatio * float64(p.train.Steps)))
	}
	j.valid = head(j.valid, p.evalBatches*p.loader.Batch)
	return nil
}

// fitLength keeps sequences and virtual tokens within the model's positions.
func (j *job) fitLength() error {
	p, room := j.plan, j.model.Config.MaxPositions-virtual(j.method)
	if p.maxLength <= room {
		return nil
	}
	if p.fixedLength || room < 2 {
		return usagef("--max-seq-length %d and %s are more than the %d positions of the model",
			p.maxLength, count(virtual(j.method), "virtual token"), j.model.Config.MaxPositions)
	}
	p.maxLength = room
	return nil
}

// dataOptions say how the model's data becomes tokens.
func (b *base) dataOptions(maxLength int) data.Options {
	o := data.Options{Vocab: b.model.Config.VocabSize, MaxLength: maxLength}
	if b.tokens != nil { // a nil pointer would be a non-nil Encoder
		o.Tokens = b.tokens
	}
	return o
}

// readData reads --data, or the built-in reviews.
func readData(ctx context.Context, name string, o data.Options) (*data.Files, error) {
	if name == "" {
		return data.Open(ctx, demo.Data(), demoData, o)
	}
	info, err := os.Stat(name)
	if os.IsNotExist(err) {
		return nil, fmt.Errorf("--data %s: no such file or directory", name)
	}
	if err != nil {
		return nil, fmt.Errorf("--data: %w", err)
	}
	dir, file := name, "."
	if !info.IsDir() {
		dir, file = filepath.Split(name)
		if dir == "" {
			dir = "."
		}
	}
	files, err := data.Open(ctx, os.DirFS(dir), file, o)
	if err != nil {
		return nil, fmt.Errorf("--data: %w", err)
	}
	return files, nil
}

// openRun allocates the activations, for the longest sequence that there is.
func (j *job) openRun(*cli.Context) (err error) {
	j.run, err = j.model.NewRun(transformer.RunOptions{
		Batch: j.plan.loader.Batch, Length: j.longest() + virtual(j.method), Train: true, Adapters: adapters(j.method),
	})
	return err
}

func (j *job) longest() int {
	n := j.trainData.Longest()
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

func (j *job) close() error {
	var err error
	if j.run != nil {
		err = j.run.Close()
	}
	if j.method != nil {
		err = errors.Join(err, j.method.Close())
	}
	return errors.Join(err, j.log.close(), j.base.Close())
}

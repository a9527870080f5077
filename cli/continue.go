package cli

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/peft/tune"
)

// fingerprints tell what a run was made of.
type fingerprints struct{ model, tokenizer, adapter string }

// fingerprint reads the files of the run for their hashes.
func (j *job) fingerprint(c *cli.Context) (err error) {
	weights := []string{"config.json", "*.safetensors", "*.gguf"}
	if j.ckpt.GGUF != nil && c.String("model") != "" {
		if _, file, err := modelPath(c.String("model")); err == nil && file != "" {
			weights = []string{file}
		}
	}
	if j.prints.model, err = hashOf(j.dir, weights...); err != nil {
		return fmt.Errorf("model %s: %w", j.name, err)
	}
	if j.prints.tokenizer, err = hashOf(j.dir, "tokenizer*", "*.model"); err != nil {
		return fmt.Errorf("model %s: %w", j.name, err)
	}
	if a := j.plan.initAdapter; a != "" {
		adapter, err := directory("--init-adapter", a)
		if err != nil {
			return nil // a single file: its name is a fact, and loading says what is wrong
		}
		j.prints.adapter, err = hashOf(adapter, "*")
		return err
	}
	return nil
}

// hashOf returns the fingerprint of the files of a directory that match patterns, "" of
// none.
func hashOf(dir fs.FS, patterns ...string) (string, error) {
	var names []string
	for _, p := range patterns {
		matches, err := fs.Glob(dir, p)
		if err != nil { // a file's name that is no pattern
			matches = []string{p}
		}
		for _, name := range matches {
			if info, err := fs.Stat(dir, name); err == nil && info.Mode().IsRegular() {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		return "", nil
	}
	slices.Sort(names)
	return tune.Fingerprint(dir, slices.Compact(names)...)
}

// fitCheckpoint collects the run's facts, and makes sure that they are the checkpoint's.
func (j *job) fitCheckpoint(c *cli.Context) error {
	j.facts = []tune.Fact{
		{Name: "the base model", Value: j.prints.model},
		{Name: "the tokenizer", Value: j.prints.tokenizer},
		{Name: "the training data", Value: j.trainData.SHA256},
	}
	if j.valid != nil {
		j.facts = append(j.facts, tune.Fact{Name: "the held-out data", Value: j.valid.SHA256})
	}
	if j.plan.initAdapter != "" {
		j.facts = append(j.facts, tune.Fact{Name: "--init-adapter", Value: j.plan.initAdapter + " " + j.prints.adapter})
	}
	flags := j.effective(c)
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		if value := flags[name]; !slices.Contains(notFacts, name) && !reflect.ValueOf(value).IsZero() {
			j.facts = append(j.facts, tune.Fact{Name: "--" + name, Value: fmt.Sprint(value)})
		}
	}
	if j.plan.from == nil {
		return nil
	}
	if err := j.plan.from.Fits(j.facts); err != nil {
		return fmt.Errorf("--resume: %w", err)
	}
	return nil
}

// notFacts are settings that a run which goes on may change: they say where things are and
// what is shown, kept or bounded. The files that they name are facts by their hashes.
var notFacts = []string{
	"model", "data", "init-adapter", "out", "log-jsonl", "log-csv", "tensorboard", "save-every", "keep", "max-time",
	"memory-limit", "device", "preview", "sample-prompt",
}

// note is what a checkpoint holds of the report.
type note struct {
	Device  string       `json:"device"`
	Tokens  int          `json:"tokens"`
	Seconds float64      `json:"seconds"`
	Steps   int          `json:"steps"`
	Base    *score       `json:"base,omitempty"`
	Before  *score       `json:"before,omitempty"`
	Sample  string       `json:"sample,omitempty"` // of the bare model
	During  []stepSample `json:"samples,omitempty"`
}

// note makes it, with the log on the disk up to there.
func (j *job) note() (any, error) {
	if err := j.log.Sync(); err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	r := &j.report
	n := note{Device: deviceName(r.Device), Tokens: r.Tokens, Seconds: r.Seconds, Steps: r.Steps, Base: r.Base, Before: r.Before}
	if j.sample != nil {
		n.Sample, n.During = j.sample.Before, j.sample.During
	}
	return n, nil
}

// recall takes the report up where a checkpoint has left it.
func (j *job) recall() error {
	if j.plan.from == nil {
		return nil
	}
	var n note
	if err := json.Unmarshal(j.plan.from.Note, &n); err != nil {
		return fmt.Errorf("--resume: %s: %w", j.plan.from.Dir, err)
	}
	r := &j.report
	r.Tokens, r.Seconds, r.Steps, r.Base, r.Before = n.Tokens, n.Seconds, n.Steps, n.Base, n.Before
	if j.sample != nil {
		j.sample.Before, j.sample.During = n.Sample, n.During
	}
	if now := deviceName(r.Device); now != n.Device {
		j.out.warn("%s was made on %s, this is %s: it will round otherwise from here on", j.plan.from.Dir, n.Device, now)
	}
	return nil
}

// logged is the number of steps that the log keeps.
func (p *plan) logged() int {
	switch {
	case p.from == nil:
		return 0
	case p.from.Again:
		return p.from.Step - 1
	}
	return p.from.Step
}

// effective returns the flags as they took effect.
func (j *job) effective(c *cli.Context) map[string]any {
	all := map[string]any{}
	for _, f := range c.Command.Flags {
		name := f.Names()[0]
		if method := users(name); method != nil && !slices.Contains(method, j.plan.method) || slices.Contains(notSettings, name) {
			continue
		}
		value := c.Value(name)
		if !c.IsSet(name) && reflect.ValueOf(value).IsZero() {
			continue // there is no such value
		}
		if d, ok := value.(time.Duration); ok {
			value = d.String()
		}
		all[name] = value
	}
	p := j.plan
	all["steps"], all["lr"], all["warmup-steps"], all["max-seq-length"], all["micro-batch"] = p.train.Steps, p.train.LR, p.train.Warmup, p.maxLength, p.micro
	delete(all, "epochs")
	delete(all, "warmup-ratio")
	return all
}

// notSettings are flags that say nothing about a run.
var notSettings = []string{"config", "resume", "restarts", "dry-run", "json", "quiet", "progress", "no-report", "help"}

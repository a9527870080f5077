package cli

import (
	"math"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/peft/tune"
)

// plan is what the flags of tune ask for. Fields that depend on model and data are
// filled in when those are known.
type plan struct {
	data        string // "": the built-in reviews
	template    string // --chat-template
	valSplit    float64
	maxLength   int
	fixedLength bool // maxLength was asked for

	method      string
	methodSet   bool
	initAdapter string
	initText    string
	text        []int32 // of initText

	loader data.Loader
	sizing
	autoMicro   bool  // micro may be lowered
	memoryLimit int64 // 0: what is known of the device
	memory      memoryPlan
	epochs      int // 0: train.Steps counts
	warmupRatio float64
	train       peft.TrainConfig

	evalEvery, evalBatches int
	metric                 tune.Metric
	patience               int
	keepBest               bool
	maxTime                time.Duration
	samplePrompt           string

	out       string
	logFiles  logFiles
	noReport  bool
	saveEvery int
	keep      int    // checkpoints; 0: two, and none at the end
	resume    string // --resume
	from      *tune.Checkpoint
	done      []byte // run.json of a complete --out that --resume auto has found
}

// logFiles are logs that flags ask for.
type logFiles struct{ jsonl, csv, tensorboard string }

// newPlan reads the flags and checks all that can be checked without the files.
func newPlan(c *cli.Context) (*plan, error) {
	if err := noArguments(c); err != nil {
		return nil, err
	}
	for _, check := range []func(*cli.Context) error{checkNumbers, checkPairs, checkMethod, checkDataFlags} {
		if err := check(c); err != nil {
			return nil, err
		}
	}
	seed := c.Uint64("seed")
	p := &plan{
		data: c.String("data"), template: c.String("chat-template"), valSplit: c.Float64("val-split"), maxLength: c.Int("max-seq-length"), fixedLength: c.IsSet("max-seq-length"),
		method: c.String("method"), methodSet: c.IsSet("method"), initAdapter: c.String("init-adapter"), initText: c.String("prompt-init-text"),
		loader: data.Loader{Batch: c.Int("batch-size"), Accumulate: c.Int("grad-accum"), InOrder: c.Bool("no-shuffle"), Seed: seed},
		epochs: c.Int("epochs"), warmupRatio: c.Float64("warmup-ratio"),
		train: peft.TrainConfig{
			Steps: c.Int("steps"), Optimizer: peft.Optimizer(c.String("optimizer")),
			LR: c.Float64("lr"), MinLR: c.Float64("min-lr"), Schedule: peft.Schedule(c.String("lr-schedule")),
			Warmup: c.Int("warmup-steps"), WeightDecay: c.Float64("weight-decay"), MaxGradNorm: c.Float64("max-grad-norm"), Seed: seed,
		},
		evalEvery: c.Int("eval-every"), evalBatches: c.Int("eval-batches"), samplePrompt: c.String("sample-prompt"),
		metric: tune.Metric(c.String("metric")), patience: c.Int("early-stop"), keepBest: c.Bool("keep-best") || c.Int("early-stop") > 0,
		maxTime: c.Duration("max-time"),
		out:     c.String("out"), logFiles: logFiles{c.String("log-jsonl"), c.String("log-csv"), c.String("tensorboard")}, noReport: c.Bool("no-report"),
		saveEvery: c.Int("save-every"), keep: c.Int("keep"), resume: c.String("resume"),
	}
	return p, p.readSizing(c)
}

// readSizing reads the flags that trade memory for something else.
func (p *plan) readSizing(c *cli.Context) (err error) {
	p.checkpoint = c.Bool("grad-checkpoint")
	if p.quant, err = quantType(c.String("quant")); err != nil {
		return err
	}
	p.micro = p.loader.Batch
	switch micro := c.String("micro-batch"); micro {
	case "":
	case "auto":
		p.autoMicro = true
	default:
		if p.micro, err = strconv.Atoi(micro); err != nil || p.micro < 1 || p.micro > p.loader.Batch {
			return usagef("--micro-batch %q: want auto, or 1 to --batch-size %d", micro, p.loader.Batch)
		}
	}
	if text := c.String("memory-limit"); text != "" {
		if p.memoryLimit, err = parseSize(text); err != nil {
			return usagef("--memory-limit %w", err)
		}
	}
	return nil
}

// bounds are what the numbers of tune may be.
var bounds = []struct {
	flag     string
	min, max float64
	open     bool // min itself is not allowed
}{
	{"steps", 1, math.MaxInt32, false},
	{"epochs", 1, math.MaxInt32, false},
	{"batch-size", 1, 1 << 20, false},
	{"grad-accum", 1, 1 << 20, false},
	{"max-seq-length", 2, 1 << 20, false},
	{"virtual-tokens", 1, 1 << 20, false},
	{"rank", 1, 1 << 20, false},
	{"alpha", 0, math.MaxFloat32, true},
	{"dropout", 0, 0.99, false},
	{"lora-plus-ratio", 1, 1e6, false},
	{"encoder-hidden", 1, 1 << 20, false},
	{"reduction-factor", 0, 1e6, true},
	{"tasks", 1, 1 << 16, false},
	{"task-rank", 1, 1 << 20, false},
	{"lr", 0, math.MaxFloat32, true},
	{"val-split", 0, 0.9, false},
	{"warmup-steps", 0, math.MaxInt32, false},
	{"warmup-ratio", 0, 1, false},
	{"weight-decay", 0, math.MaxFloat32, false},
	{"max-grad-norm", 0, math.MaxFloat32, false},
	{"eval-every", 0, math.MaxInt32, false},
	{"min-lr", 0, math.MaxFloat32, false},
	{"early-stop", 1, math.MaxInt32, false},
	{"save-every", 0, math.MaxInt32, false},
	{"keep", 1, math.MaxInt32, false},
	{"restarts", 0, 1000, false},
	{"eval-batches", 0, math.MaxInt32, false},
}

func checkNumbers(c *cli.Context) error {
	for _, b := range bounds {
		if !c.IsSet(b.flag) {
			continue
		}
		v, ok := c.Value(b.flag).(float64)
		if !ok {
			v = float64(c.Int(b.flag))
		}
		above := v >= b.min && !(b.open && v == b.min)
		switch {
		case above && v <= b.max:
		case b.open && !above:
			return usagef("--%s %v: want more than %v", b.flag, v, b.min)
		case b.max < 1e6:
			return usagef("--%s %v: want %v to %v", b.flag, v, b.min, b.max)
		default:
			return usagef("--%s %v: want at least %v and a number that fits", b.flag, v, b.min)
		}
	}
	return nil
}

// checkPairs refuses flags that contradict each other.
func checkPairs(c *cli.Context) error {
	for _, pair := range [][2]string{{"steps", "epochs"}, {"warmup-steps", "warmup-ratio"}} {
		if c.IsSet(pair[0]) && c.IsSet(pair[1]) {
			return usagef("--%s and --%s: give one of them", pair[0], pair[1])
		}
	}
	if c.String("model") != "" && c.String("data") == "" && !c.Bool("dry-run") {
		return usagef("--data is missing: a file or directory to train on")
	}
	if c.String("optimizer") == string(peft.SGD) && !c.IsSet("lr") {
		return usagef("--optimizer sgd needs a --lr: there is no rate that usually works")
	}
	if c.IsSet("max-time") && c.Duration("max-time") <= 0 {
		return usagef("--max-time %v: want more than 0, such as 90m", c.Duration("max-time"))
	}
	if held := c.Float64("val-split") == 0 || c.IsSet("eval-every") && c.Int("eval-every") == 0; held && (c.IsSet("early-stop") || c.IsSet("keep-best")) {
		return usagef("--early-stop and --keep-best need evaluations on held-out data: --val-split and --eval-every above 0")
	}
	if c.String("prompt-init") == string(peft.InitText) && c.String("prompt-init-text") == "" {
		return usagef("--prompt-init text needs a --prompt-init-text")
	}
	if init := c.String("prompt-init"); init != "" && init != string(peft.InitText) && c.String("prompt-init-text") != "" {
		return usagef("--prompt-init %s and --prompt-init-text: give one of them", init)
	}
	return nil
}

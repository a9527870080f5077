package cli

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/internal/disk"
	"github.com/gpupeft/gpupeft/interp/circuits"
	"github.com/gpupeft/gpupeft/interp/view"
	"github.com/gpupeft/gpupeft/peft/runlog"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

const circuitsDescription = `Trains a transformer that is small enough to be understood whole, on data that it makes
itself, and shows how it does what it does: the full QK and OV circuits of its heads,
what they attend to, what happens without them.

   max         one attention head says the largest number of a list
   induction   two layers of attention heads go on with what was there before

Examples:
   gpupeft circuits max --html max.html
   gpupeft circuits max --seeds 5
   gpupeft circuits induction --html induction.html --out toy
   gpupeft inspect-heads --model toy --random 8 --composition`

// circuitExample makes an example from its flags.
type circuitExample struct {
	name, usage string
	flags       []cli.Flag
	make        func(c *cli.Context, seed uint64) toyExample
}

// sizes are the names of the flags.
func (e circuitExample) sizes() []string {
	var names []string
	for _, f := range e.flags {
		names = append(names, f.Names()[0])
	}
	return names
}

// toyExample is an example with its sizes.
type toyExample struct {
	task    func() (circuits.Task, error)
	inspect func(context.Context, *transformer.Model) (circuits.Report, error)
}

func newToyExample[R circuits.Report](task func() (circuits.Task, error), inspect func(context.Context, *transformer.Model) (R, error)) toyExample {
	return toyExample{task, func(ctx context.Context, m *transformer.Model) (circuits.Report, error) { return inspect(ctx, m) }}
}

func circuitExamples() []circuitExample {
	size := func(name string, value int, usage string) cli.Flag {
		return &cli.IntFlag{Name: name, Value: value, Category: groupMethod, Usage: usage}
	}
	return []circuitExample{
		{"max", "train one attention head to say the largest number of a list", []cli.Flag{
			size("numbers", 4, "`N` numbers in a list"), size("vocab", 64, "numbers are below `N`"), size("width", 32, "`N` values in the stream and the head"),
			size("steps", 3000, "`N` training steps"), size("batch", 128, "`N` lists in a step"), size("tests", 100_000, "`N` lists to measure accuracies on"),
		}, func(c *cli.Context, seed uint64) toyExample {
			x := circuits.Max{
				Numbers: c.Int("numbers"), Vocab: c.Int("vocab"), Width: c.Int("width"), Steps: c.Int("steps"), Batch: c.Int("batch"),
				Tests: c.Int("tests"), Seed: seed,
			}
			return newToyExample(x.Task, x.Inspect)
		}},
		{"induction", "train two layers of attention heads to go on with what was there before", []cli.Flag{
			size("length", 32, "`N` tokens in a sequence"), size("vocab", 64, "`N` tokens"), size("width", 64, "`N` values in the stream"), size("heads", 2, "`N` heads in a layer"),
			size("steps", 1500, "`N` training steps"), size("batch", 64, "`N` sequences in a step"), size("tests", 2000, "`N` sequences to measure accuracies on"),
		}, func(c *cli.Context, seed uint64) toyExample {
			x := circuits.Induction{
				Length: c.Int("length"), Vocab: c.Int("vocab"), Width: c.Int("width"), Heads: c.Int("heads"), Steps: c.Int("steps"),
				Batch: c.Int("batch"), Tests: c.Int("tests"), Seed: seed,
			}
			return newToyExample(x.Task, x.Inspect)
		}},
	}
}

func (p *program) circuitsCommand() *cli.Command {
	command := &cli.Command{
		Name:        "circuits",
		Usage:       "train a toy and take it apart: transformer circuits by example",
		UsageText:   "gpupeft circuits max|induction [options]",
		Description: circuitsDescription,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usagef("unknown example %q (known: max, induction)", c.Args().First())
			}
			return usagef("which example? (known: max, induction; see: gpupeft help circuits)")
		},
	}
	for _, e := range circuitExamples() {
		command.Subcommands = append(command.Subcommands, &cli.Command{
			Name: e.name, Usage: e.usage, UsageText: "gpupeft circuits " + e.name + " [options]", OnUsageError: onUsageError, HideHelpCommand: true,
			Action: func(c *cli.Context) error { return p.circuits(c, e) },
			Flags: append(e.flags,
				&cli.Uint64Flag{Name: "seed", Category: groupMethod, Usage: "the same `N` gives the same weights, data and results"},
				&cli.IntFlag{Name: "seeds", Value: 1, Category: groupMethod, Usage: "train with `N` seeds, from --seed on, and compare; files are of the first"},
				&cli.StringFlag{Name: "html", Category: groupOutput, Usage: "`FILE` for a page about it, which needs no network"},
				&cli.StringFlag{Name: "png", Category: groupOutput, Usage: "`DIR` for pictures"},
				&cli.StringFlag{Name: "out", Category: groupOutput, Usage: "`DIR` for the trained toy, which is a model for other commands"},
				deviceFlag(), jsonFlag("print one JSON object"), quietFlag()),
		})
	}
	return command
}

// toyRun is one trained toy.
type toyRun struct {
	Seed     uint64          `json:"seed"`
	Seconds  float64         `json:"seconds"`
	Findings []finding       `json:"findings"`
	Remarks  []string        `json:"remarks"`
	Report   circuits.Report `json:"report"`
	Losses   []float64       `json:"losses"` // of each step

	toy     transformer.Toy
	trained *transformer.Checkpoint
}

// finding is a number of a report.
type finding struct {
	Name     string   `json:"name"`
	Value    *float64 `json:"value"`
	Expected string   `json:"expected,omitempty"`
	Met      bool     `json:"met"`
}

func (p *program) circuits(c *cli.Context, e circuitExample) error {
	if err := noArguments(c); err != nil {
		return err
	}
	for _, name := range append(e.sizes(), "seeds") {
		if c.Int(name) < 1 {
			return usagef("--%s %d: want at least 1", name, c.Int(name))
		}
	}
	if dir := c.String("out"); dir != "" {
		o, err := openModelOut(dir)
		if err != nil {
			return err
		}
		if o.gguf {
			return usagef("--out %s: a toy has no form in GGUF, name a directory", dir)
		}
	}
	if _, err := e.make(c, 0).task(); err != nil {
		return usagef("%w", err)
	}
	out := p.output(c)
	b, note, err := openDevice(c.Context, c.String("device"))
	if err != nil {
		return err
	}
	defer b.Close()
	if note != "" {
		out.say("%s", note)
	}
	var runs []*toyRun
	for i := range c.Int("seeds") {
		r, err := trainToy(c, e, c.Uint64("seed")+uint64(i), b, out)
		if err != nil {
			return err
		}
		runs = append(runs, r)
	}
	if err := runs[0].write(c); err != nil {
		return err
	}
	if c.Bool("json") {
		return writeJSON(out.result, struct {
			Example string      `json:"example"`
			Device  tensor.Info `json:"device"`
			Runs    []*toyRun   `json:"runs"`
		}{e.name, b.Info(), runs})
	}
	return printToys(out.result, runs)
}

// trainToy trains and inspects.
func trainToy(c *cli.Context, e circuitExample, seed uint64, b tensor.Backend, out *output) (*toyRun, error) {
	start, r := time.Now(), &toyRun{Seed: seed}
	example := e.make(c, seed)
	task, err := example.task()
	if err != nil {
		return nil, err
	}
	training, err := task.Start(c.Context, b)
	if err != nil {
		return nil, err
	}
	defer training.Close()
	out.say("seed %d: %s parameters, on %s", seed, thousands(training.Params()), deviceName(b.Info()))
	show := newProgress(out, task.Train.Steps)
	for s, err := range training.Steps(c.Context) {
		if err != nil {
			return nil, err
		}
		r.Losses = append(r.Losses, s.Loss)
		show.step(runlog.Record{Step: s.Step, Loss: s.Loss, LR: s.LR, Tokens: s.Tokens, StepMS: float64(s.Duration) / float64(time.Millisecond)})
	}
	show.line.clear()
	r.toy = task.Toy
	if r.trained, err = training.Checkpoint(c.Context); err != nil {
		return nil, err
	}
	m, err := r.trained.Load(c.Context, b, transformer.LoadOptions{})
	if err != nil {
		return nil, err
	}
	defer m.Close()
	if r.Report, err = example.inspect(c.Context, m); err != nil {
		return nil, err
	}
	r.Remarks, r.Seconds = r.Report.Remarks(), time.Since(start).Seconds()
	for _, n := range r.Report.Numbers() {
		r.Findings = append(r.Findings, finding{n.Name, number(n.Value), n.Expected(), n.Met()})
	}
	return r, nil
}

// write makes the files.
func (r *toyRun) write(c *cli.Context) error {
	if err := writePage(c, func() view.Page { return r.Report.Page(r.Losses) }); err != nil {
		return err
	}
	if dir := c.String("png"); dir != "" {
		if err := r.writePictures(dir); err != nil {
			return fmt.Errorf("--png: %w", err)
		}
	}
	if dir := c.String("out"); dir != "" {
		config, err := r.toy.ConfigJSON()
		if err != nil {
			return err
		}
		return disk.Make(dir, false, func(temp string) error {
			return writeFiles(temp, map[string][]byte{"config.json": config}, r.trained)
		})
	}
	return nil
}

// pictureSide is about how many points wide or high a picture is.
const pictureSide = 576

// writePictures draws the maps.
func (r *toyRun) writePictures(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, m := range r.Report.Maps() {
		o := view.PNGOptions{Scale: 1, Cell: max(8, pictureSide/max(len(m.Values), len(m.Values[0])))}
		name := strings.ReplaceAll(strings.ToLower(m.Title), " ", "-") + ".png"
		if err := disk.Write(filepath.Join(dir, name), func(w io.Writer) error { return view.PNG(w, m, o) }); err != nil {
			return err
		}
	}
	return nil
}

// printToys shows the findings: of one toy with its maps, of several beside each other.
func printToys(w io.Writer, runs []*toyRun) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t)
	for _, r := range runs {
		fmt.Fprintf(t, "\tseed %d", r.Seed)
	}
	if len(runs) > 1 {
		fmt.Fprint(t, "\tleast\tmean\tmost")
	}
	fmt.Fprintln(t, "\texpected\t")
	for i, n := range runs[0].Report.Numbers() {
		fmt.Fprint(t, n.Name)
		least, most, sum, met := math.Inf(1), math.Inf(-1), 0.0, true
		for _, r := range runs {
			n := r.Report.Numbers()[i]
			fmt.Fprintf(t, "\t%s", circuits.Digits(n.Value))
			least, most, sum, met = min(least, n.Value), max(most, n.Value), sum+n.Value, met && n.Met()
		}
		if len(runs) > 1 {
			fmt.Fprintf(t, "\t%s\t%s\t%s", circuits.Digits(least), circuits.Digits(sum/float64(len(runs))), circuits.Digits(most))
		}
		expected := n.Expected()
		if !met {
			expected += "  NOT MET"
		}
		fmt.Fprintf(t, "\t%s\t\n", expected)
	}
	if err := t.Flush(); err != nil || len(runs) > 1 {
		return err
	}
	for _, m := range runs[0].Report.Maps()[:2] {
		fmt.Fprintf(w, "\n%s", view.Terminal(coarse(m, terminalCells), view.TerminalOptions{}))
	}
	for _, text := range runs[0].Remarks {
		fmt.Fprintf(w, "\n%s\n", text)
	}
	return nil
}

// terminalCells is how many rows and columns of a map a terminal shows.
const terminalCells = 16

// coarse is a map with the means of square blocks, at most n in a row.
func coarse(m view.Matrix, n int) view.Matrix {
	per := (len(m.Values) + n - 1) / n
	blocks := m
	blocks.Title, blocks.Values = fmt.Sprintf("%s, blocks of %d × %d", m.Title, per, per), nil
	blocks.Rows, blocks.Columns = nil, nil
	for top := 0; top < len(m.Values); top += per {
		var row []float32
		blocks.Rows = append(blocks.Rows, fmt.Sprint(top))
		for left := 0; left < len(m.Values[0]); left += per {
			sum, cells := float32(0), float32(0)
			for _, values := range m.Values[top:min(top+per, len(m.Values))] {
				for _, v := range values[left:min(left+per, len(values))] {
					sum, cells = sum+v, cells+1
				}
			}
			row = append(row, sum/cells)
			if top == 0 {
				blocks.Columns = append(blocks.Columns, fmt.Sprint(left))
			}
		}
		blocks.Values = append(blocks.Values, row)
	}
	return blocks
}

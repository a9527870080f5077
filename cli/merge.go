package cli

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

const mergeDescription = `Works an adapter's change of matrices into the model and writes the result, which
needs no adapter any more. The sum is computed in float32; then each matrix takes the
type that it had, or with --to another one. At the end the new model is loaded and its
predictions are compared with those of the model with the adapter beside it.

Examples:
   gpupeft merge --model llama --adapter adapter --out merged
   gpupeft merge --model llama-q4_0.gguf --adapter adapter --out merged.gguf
   gpupeft merge --model llama --adapter adapter --to q8_0 --out merged.gguf`

func (p *program) mergeCommand() *cli.Command {
	return &cli.Command{
		Name:        "merge",
		Usage:       "work an adapter into its model",
		UsageText:   "gpupeft merge [options] --adapter DIR --out PATH",
		Description: mergeDescription,
		Action:      p.merge,
		Flags: []cli.Flag{
			modelFlag(), adapterFlag(),
			&cli.StringFlag{Name: "to", Category: groupOutput, DefaultText: "as it was", Usage: "`TYPE` of the matrices: q8_0, q4_0, q4_k, nf4, f16, bf16 or f32"},
			&cli.StringFlag{Name: "text", Category: groupOutput, DefaultText: "a paragraph", Usage: "`TEXT` to compare the predictions on"},
			outModelFlag(), deviceFlag(), jsonFlag("print one JSON object"), quietFlag(),
		},
	}
}

// mergeReport is the result of merge.
type mergeReport struct {
	Model     string       `json:"model"`
	Adapter   string       `json:"adapter"`
	Out       string       `json:"out"`
	Types     []typeReport `json:"types"`
	Bytes     int64        `json:"bytes"`     // of all files
	Positions int          `json:"positions"` // that were compared
	transformer.Divergence
}

func (p *program) merge(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	if c.String("adapter") == "" {
		return usagef("--adapter is missing: the directory of a LoRA adapter")
	}
	to, err := openModelOut(c.String("out"))
	if err != nil {
		return err
	}
	var dt *tensor.DType
	if name := c.String("to"); name != "" {
		t, err := writtenType(name)
		if err == nil {
			err = to.takes(t)
		}
		if err != nil {
			return err
		}
		dt = &t
	}
	out := p.output(c)
	b, err := openBase(c, out)
	if err != nil {
		return err
	}
	defer b.Close()
	m, err := loadAdapter(c, out, "adapter", c.String("adapter"), b.model)
	if err != nil {
		return err
	}
	defer m.Close()
	ids, err := b.comparedIDs(c.String("text"))
	if err != nil {
		return err
	}
	before, err := logitsOf(c.Context, b.model, m, ids)
	if err != nil {
		return err
	}
	merged, err := b.merged(c.Context, m, dt)
	if err != nil {
		return fmt.Errorf("--adapter %s: %w", c.String("adapter"), err)
	}
	if err := to.write(b, merged); err != nil {
		return err
	}
	r := mergeReport{Model: b.name, Adapter: c.String("adapter"), Out: to.path, Types: storedTypes(merged), Positions: len(ids)}
	if r.Bytes, err = sizeOf(to.path); err != nil {
		return err
	}
	if r.Divergence, err = b.compare(c.Context, to.path, ids, before); err != nil {
		return err
	}
	if c.Bool("json") {
		return writeJSON(out.result, r)
	}
	_, err = fmt.Fprintf(out.result, "wrote %s: %s (%s)\nKL to the model with the adapter, over %d tokens: mean %.2g nats, at most %.2g; the same most likely token at %.1f %%\n",
		r.Out, byteSize(r.Bytes), typeList(r.Types), r.Positions, r.Mean, r.Max, 100*r.Agree)
	return err
}

// merged is the checkpoint with an adapter worked in, its matrices as they were stored or
// of another type.
func (b *base) merged(ctx context.Context, m peft.Method, dt *tensor.DType) (*transformer.Checkpoint, error) {
	merged, err := peft.Merge(ctx, b.ckpt, m)
	if err != nil {
		return nil, err
	}
	if dt != nil {
		return merged.Quantized(*dt)
	}
	as := map[string]transformer.Stored{}
	for _, name := range merged.Names() {
		s, _ := merged.Tensor(name)
		was, _ := b.ckpt.Tensor(name)
		as[name] = s.As(was.DType)
	}
	return merged.With(as), nil
}

// comparison is what predictions are compared on where nothing else is given.
const comparison = `The morning train was late again, and the people on the platform had begun to talk to each
other. A woman with a red umbrella said that she had counted the minutes: eleven, as on every Monday. "They should
print it in the timetable," an old man answered, and everybody laughed. Then the rails began to sing.`

// comparedTokens bounds a text for comparison, and is the length of one that stands in
// where there is no tokenizer.
const comparedTokens = 256

// comparedIDs are the tokens of a text that predictions are compared on.
func (b *base) comparedIDs(text string) ([]int32, error) {
	config := b.ckpt.Config
	n := min(comparedTokens, config.MaxPositions)
	if b.tokens == nil {
		if text != "" {
			_, err := b.needTokens()
			return nil, fmt.Errorf("--text: %w", err)
		}
		rng := rand.New(rand.NewPCG(1, 1))
		ids := make([]int32, n)
		for i := range ids {
			ids[i] = rng.Int32N(int32(config.VocabSize))
		}
		return ids, nil
	}
	if text == "" {
		text = comparison
	}
	ids, err := b.tokens.Encode(text, true)
	if err == nil && len(ids) == 0 {
		err = usagef("no tokens")
	}
	if err != nil {
		return nil, fmt.Errorf("--text: %w", err)
	}
	return ids[:min(n, len(ids))], nil
}

// logitsOf returns the logits behind each of the tokens.
func logitsOf(ctx context.Context, model *transformer.Model, m peft.Method, ids []int32) ([]float32, error) {
	r, err := model.NewRun(transformer.RunOptions{Batch: 1, Length: len(ids), Adapters: adapters(m)})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if err := r.Forward(ctx, transformer.Batch{IDs: [][]int32{ids}}); err != nil {
		return nil, err
	}
	return r.Logits(ctx, r.Rows())
}

// compare loads what was written and compares its predictions with others.
func (b *base) compare(ctx context.Context, path string, ids []int32, before []float32) (d transformer.Divergence, err error) {
	ckpt, _, _, _, err := openModel(path, false)
	if err != nil {
		return d, err
	}
	defer ckpt.Close()
	model, err := ckpt.Load(ctx, b.backend, transformer.LoadOptions{})
	if err != nil {
		return d, fmt.Errorf("model %s: %w", path, err)
	}
	defer model.Close()
	after, err := logitsOf(ctx, model, nil, ids)
	if err != nil {
		return d, err
	}
	return transformer.Diverge(before, after, ckpt.Config.VocabSize), nil
}

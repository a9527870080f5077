package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

const quantizeDescription = `Packs a model's matrices into fewer bits and writes it: q8_0, q4_0 and q4_k as a
GGUF file, nf4 as a Hugging Face directory that transformers loads with
bitsandbytes; f16, bf16 and f32 as either. Norms stay as they are. The embedding and
output matrices become q8_0 in a GGUF file and stay as they are with nf4.

Examples:
   gpupeft quantize --model llama --to q4_0 --out llama-q4_0.gguf
   gpupeft quantize --model llama --to nf4 --out llama-nf4`

// writtenTypes are the values of --to.
var writtenTypes = []tensor.DType{tensor.Q8_0, tensor.Q4_0, tensor.Q4_K, tensor.NF4, tensor.F16, tensor.BF16, tensor.F32}

// writtenType reads --to.
func writtenType(name string) (tensor.DType, error) {
	dt, err := tensor.ParseDType(name)
	if err != nil || !slices.Contains(writtenTypes, dt) {
		var known []string
		for _, dt := range writtenTypes {
			known = append(known, dt.String())
		}
		return dt, usagef("--to %q (known: %s)", name, strings.Join(known, ", "))
	}
	return dt, nil
}

func outModelFlag() cli.Flag {
	return &cli.StringFlag{Name: "out", Category: groupOutput, Usage: "`PATH` of the new model: a FILE.gguf, or a directory; must not exist"}
}

func (p *program) quantizeCommand() *cli.Command {
	return &cli.Command{
		Name:        "quantize",
		Usage:       "pack a model into fewer bits, as a GGUF file or for bitsandbytes",
		UsageText:   "gpupeft quantize [options] --to TYPE --out PATH",
		Description: quantizeDescription,
		Action:      p.quantize,
		Flags: []cli.Flag{
			modelFlag(),
			&cli.StringFlag{Name: "to", Category: groupOutput, Usage: "`TYPE` of the matrices: q8_0, q4_0, q4_k, nf4, f16, bf16 or f32"},
			outModelFlag(), jsonFlag("print one JSON object"), quietFlag(),
		},
	}
}

// quantized is the result of quantize.
type quantized struct {
	Model string       `json:"model"`
	Out   string       `json:"out"`
	Types []typeReport `json:"types"`
	Bytes int64        `json:"bytes"` // of all files
}

func (p *program) quantize(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	dt, err := writtenType(c.String("to"))
	if err != nil {
		return err
	}
	to, err := openModelOut(c.String("out"))
	if err != nil {
		return err
	}
	if err := to.takes(dt); err != nil {
		return err
	}
	b, err := openCheckpoint(c)
	if err != nil {
		return err
	}
	defer b.Close()
	packed, err := b.ckpt.Quantized(dt)
	if err != nil {
		return fmt.Errorf("model %s: %w", b.name, err)
	}
	if err := to.write(b, packed); err != nil {
		return err
	}
	out := p.output(c)
	r := quantized{Model: b.name, Out: to.path, Types: storedTypes(packed)}
	if r.Bytes, err = sizeOf(to.path); err != nil {
		return err
	}
	if c.Bool("json") {
		return writeJSON(out.result, r)
	}
	_, err = fmt.Fprintf(out.result, "wrote %s: %s (%s)\n", r.Out, byteSize(r.Bytes), typeList(r.Types))
	return err
}

// takes says whether the form of --out can hold a type.
func (o modelOut) takes(dt tensor.DType) error {
	codebook := dt == tensor.NF4 || dt == tensor.FP4
	switch {
	case o.gguf && codebook:
		return usagef("--out %s: %v has no form in GGUF; name a directory", o.path, dt)
	case !o.gguf && dt.Quantized() && !codebook:
		return usagef("--out %s: %v has no form in a Hugging Face directory; name a FILE.gguf", o.path, dt)
	}
	return nil
}

// storedTypes counts a checkpoint's tensors by type.
func storedTypes(c *transformer.Checkpoint) []typeReport {
	var counts typeCounts
	for _, name := range c.Names() {
		s, _ := c.Tensor(name)
		counts.add(s.DType, s.Bytes(0, s.Shape[0]))
	}
	return counts.list
}

// sizeOf adds up the bytes of a file, or of a directory's files.
func sizeOf(path string) (total int64, err error) {
	err = filepath.WalkDir(path, func(_ string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	return total, err
}

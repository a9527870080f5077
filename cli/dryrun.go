package cli

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/tensor"
)

// dryRun is the result of tune --dry-run.
type dryRun struct {
	Model     string       `json:"model"`
	Kind      string       `json:"kind"`
	Format    string       `json:"format"` // of the checkpoint
	Method    string       `json:"method"`
	Device    tensor.Info  `json:"device"`
	Params    int64        `json:"base_params"`
	Trainable int          `json:"params"`
	Types     []typeReport `json:"types"`
	MaxTensor int64        `json:"max_tensor"` // the device's bounds
	MaxBind   int64        `json:"max_binding,omitempty"`
	Batch     int          `json:"batch_size"`
	Micro     int          `json:"micro_batch"`
	Length    int          `json:"max_seq_length"`
	Memory    memoryPlan   `json:"memory"`
}

func (p *program) dryRun(c *cli.Context, plan *plan, out *output) error {
	j, err := newJob(c, plan, out)
	if err != nil {
		return err
	}
	defer j.close()
	length := plan.maxLength
	if plan.data != "" || c.String("model") == "" {
		if err := j.openData(c); err != nil {
			return err
		}
		length = j.longest()
	}
	if err := j.fit(c, length); err != nil {
		return err
	}
	limits := j.backend.Limits()
	d := dryRun{
		Model: j.name, Kind: j.ckpt.Config.Kind, Format: j.ckpt.Format, Method: plan.method, Device: j.backend.Info(),
		Params: j.sketch.model.Params(), Trainable: j.sketch.method.Params().Count(), Types: typesOf(j.sketch.model),
		MaxTensor: limits.MaxTensorBytes, MaxBind: limits.MaxBindingBytes,
		Batch: plan.loader.Batch, Micro: plan.micro, Length: length, Memory: plan.memory,
	}
	if c.Bool("json") {
		return writeJSON(out.result, d)
	}
	return d.print(out.result)
}

func (d *dryRun) print(w io.Writer) error {
	fmt.Fprintf(w, "model     %s (%s, %s), %s\n", d.Model, d.Kind, d.Format, count(d.Params, "parameter"))
	fmt.Fprintf(w, "method    %s, %s trainable\n", d.Method, count(d.Trainable, "parameter"))
	fmt.Fprintf(w, "device    %s\n", deviceName(d.Device))
	fmt.Fprintf(w, "batch     %d×%d tokens, %d at a time\n\n", d.Batch, d.Length, d.Micro)
	m := d.Memory
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range []struct {
		name  string
		bytes int64
		note  string
	}{
		{"weights", m.Weights, typeList(d.Types)},
		{"activations", m.Activations, "of the blocks, kept for the way back"},
		{"gradients", m.Gradients, "of the activations, one block at a time"},
		{"logits", m.Logits, "a part of the vocabulary at a time"},
		{"tables", m.Tables, "ids, positions, angles"},
		{"adapter", m.Adapter, "with gradients and hidden values"},
		{"optimizer", m.Optimizer, "two moments"},
		{"total", m.Total, limitNote(m)},
	} {
		fmt.Fprintf(t, "%s\t%s\t%s\n", row.name, byteSize(row.bytes), row.note)
	}
	fmt.Fprintf(t, "\nlargest tensor\t%s\t%s\n", byteSize(m.Largest), "the device allows "+byteSize(d.MaxTensor))
	return t.Flush()
}

func limitNote(m memoryPlan) string {
	if m.Limit == 0 {
		return "what the device has isn't known (see --memory-limit)"
	}
	return "fits " + byteSize(m.Limit)
}

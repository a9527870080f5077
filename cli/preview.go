package cli

import (
	"math"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/peft/data"
)

// shortExample is how many tokens of an example fit the lines at the start of a run.
const shortExample = 40

// announceData prints the short form of data-doctor: the first examples and the
// warnings.
func (j *job) announceData() {
	if name := j.templateName(); name != "" {
		j.out.say("          chat template %s: %s", name, j.chat.Why)
	}
	p := newPaint(j.out.talk)
	for _, shown := range j.checked.Preview {
		j.out.say("row %-5d %s", shown.Row, p.example(shown, shortExample))
	}
	if r := &j.report.Data; r.Packing {
		j.out.say("          packed into rows of up to %d tokens", j.plan.loader.Pack)
	}
	for _, w := range j.checked.Warnings {
		j.out.say("%s", p.warning(w))
	}
}

// templateName names the chat template, if the data has been through one.
func (j *job) templateName() string {
	if !j.conversing(j.trainData.Format) {
		return ""
	}
	return j.chat.Name()
}

// conversing says whether data of a format has been through the chat template.
func (b *base) conversing(f data.Format) bool {
	return b.chat.Template != nil && (f == data.Chat || b.converse && f.Answers())
}

// preview shows the first examples that are evaluated on, with --preview.
func (b *base) preview(c *cli.Context, out *output, s *data.Set) error {
	n := c.Int("preview")
	if n == 0 {
		return nil
	}
	x, err := b.examine(c.Context, &data.Files{Train: s.Head(n)}, n)
	if err != nil {
		return err
	}
	p := newPaint(out.talk)
	for _, shown := range x.Preview {
		out.say("row %d  %s", shown.Row, p.example(shown, math.MaxInt))
	}
	return nil
}

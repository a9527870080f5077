package cli

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/peft/tune"
	"github.com/gpupeft/gpupeft/transformer"
)

// sampleReport shows what tuning changes in a text.
type sampleReport struct {
	Prompt   string       `json:"prompt"`
	Expected string       `json:"expected,omitempty"`
	Before   string       `json:"before"` // by the bare model
	During   []stepSample `json:"during,omitempty"`
	After    string       `json:"after"`
}

// stepSample is how the model goes on after a step.
type stepSample struct {
	Step int    `json:"step"`
	Text string `json:"text"`
}

// Sizes of a sample, in tokens.
const (
	sampleStart  = 16 // of a text that isn't divided into prompt and completion
	sampleLength = 40
)

// openSample chooses a text to continue: --sample-prompt, or the beginning of the
// first held-out example. Without a tokenizer there is none.
func (j *job) openSample(*cli.Context) (err error) {
	var s sampleReport
	switch {
	case j.plan.samplePrompt != "":
		tok, err := j.needTokens()
		if err != nil {
			return fmt.Errorf("--sample-prompt: %w", err)
		}
		s.Prompt = j.plan.samplePrompt
		if j.prompt, err = data.EncodePrompt(tok, s.Prompt); err != nil {
			return fmt.Errorf("--sample-prompt: %w", err)
		}
	case j.tokens == nil:
		return nil
	default:
		e, err := j.exampleToShow()
		if err != nil {
			return err
		}
		j.prompt = e.Prompt()
		if len(j.prompt) == 0 || j.format() == data.Text || j.format() == data.TextRows {
			j.prompt = e.IDs[:min(sampleStart, len(e.IDs)-1)]
		} else {
			s.Expected = j.tokens.Decode(firstAnswer(e), true)
		}
		s.Prompt = j.tokens.Decode(j.prompt, true)
	}
	room := j.ckpt.Config.MaxPositions - taken(j.method) - len(j.prompt)
	if len(j.prompt) == 0 || room < 1 {
		if j.plan.samplePrompt != "" {
			return usagef("--sample-prompt: %s leave no room in a model with %d positions", count(len(j.prompt), "token"), j.ckpt.Config.MaxPositions)
		}
		return nil
	}
	j.sample = &s
	return nil
}

// firstAnswer returns the targets behind the prompt: of a conversation, the first answer.
func firstAnswer(e data.Example) []int32 {
	first := max(1, len(e.Prompt()))
	end := first
	for end < len(e.Labels) && e.Labels[end] != transformer.Masked {
		end++
	}
	return e.Labels[first:end]
}

func (j *job) format() data.Format { return j.trainData.Format }

// exampleToShow is held out, if anything is.
func (j *job) exampleToShow() (data.Example, error) {
	if j.valid != nil {
		return j.valid.Example(0)
	}
	return j.trainData.Example(0)
}

// sampleDuring keeps and prints how the model goes on by now, if --sample-prompt asks for it.
func (j *job) sampleDuring(ctx context.Context, s tune.Step, show *progress) error {
	if j.plan.samplePrompt == "" || j.sample == nil || s.Stop != "" {
		return nil
	}
	text, err := j.continued(ctx, j.method)
	if err != nil && ctx.Err() == nil {
		return err
	}
	if err == nil {
		j.sample.During = append(j.sample.During, stepSample{s.Step.Step, text})
		show.say("sample    %s", quoted(text, 160))
	}
	return nil
}

// continued returns how the model, or the tuned model, goes on.
func (j *job) continued(ctx context.Context, m peft.Method) (string, error) {
	room := j.ckpt.Config.MaxPositions - virtual(m) - len(j.prompt)
	g := generation{base: j.base, with: setOf(m), ids: j.prompt, Generation: transformer.Generation{MaxTokens: min(sampleLength, room)}}
	if j.sample.Expected == "" { // the most likely text of a small model goes in circles
		g.Sampling = transformer.Sampling{Temperature: 0.8, TopP: 0.95, Seed: j.plan.loader.Seed}
	}
	_, text, err := g.run(ctx, nil)
	return text, err
}

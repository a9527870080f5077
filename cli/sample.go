package cli

import (
	"context"
	"strings"

	"github.com/gpupeft/gpupeft/transformer"
)

// promptPiece is how many tokens of a prompt a run takes at a time.
const promptPiece = 128

// generation is a text to be continued.
type generation struct {
	base  *base
	with  *adapterSet
	hooks transformer.Hooks // --steer
	ids   []int32
	task  int // of a multitask prompt
	transformer.Generation
}

// run continues the text. emit, if given, gets it piece by piece. What comes back are
// the new ids and the new text.
func (g generation) run(ctx context.Context, emit func(string) error) (ids []int32, text string, err error) {
	size := g.with.virtual() + len(g.ids) + g.MaxTokens
	r, err := g.base.model.NewRun(transformer.RunOptions{
		Batch: 1, Length: min(promptPiece, size), Context: size, Adapters: g.with.adapters, Hooks: g.hooks,
	})
	if err != nil {
		return nil, "", err
	}
	defer r.Close()
	g.Stop = g.base.stop
	stream := g.base.tokens.Stream(true)
	put := func(piece string) error {
		text += piece
		if emit == nil || piece == "" {
			return nil
		}
		return emit(piece)
	}
	for _, id := range g.ids {
		stream.Next(id) // so that the new text begins with its space
	}
	prompt := r.WithPrompt(transformer.Batch{IDs: [][]int32{g.ids}, Tasks: []int{g.task}}).IDs[0]
	for id, err := range r.Generate(ctx, prompt, g.Generation) {
		if err != nil {
			return ids, text, err
		}
		ids = append(ids, id)
		if err := put(stream.Next(id)); err != nil {
			return ids, text, err
		}
	}
	return ids, text, put(stream.Flush())
}

// quoted makes a text fit a line.
func quoted(text string, limit int) string {
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > limit {
		text = string(r[:limit]) + "…"
	}
	return text
}

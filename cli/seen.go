package cli

import (
	"context"
	"fmt"
	"math"

	"github.com/gpupeft/gpupeft/interp"
	"github.com/gpupeft/gpupeft/interp/view"
	"github.com/gpupeft/gpupeft/transformer"
)

// maxPatterns is how many weights of attention a page holds, which is 5 MB of it.
const maxPatterns = 4 << 20

// seenText is a text with what a model makes of it, for a page.
type seenText struct {
	losses    view.Text
	attention view.Attention
}

// lookAt captures the attention of a text's first tokens: so many that all heads' weights
// fit on a page. What tokens attend to doesn't depend on those behind them.
func lookAt(ctx context.Context, b *base, with *adapterSet, task int, ids []int32) (*seenText, error) {
	c := b.model.Config
	lead := with.taken()
	most := shownTokens(len(c.Layers)*c.Heads, lead, len(ids))
	tokens, about := ids[:most], "All heads."
	if most < len(ids) {
		about = fmt.Sprintf("All heads, on the first %d of %d tokens: what these attend to doesn't depend on the rest.", most, len(ids))
	}
	trace, err := interp.Capture(ctx, b.model, [][]int32{tokens}, interp.Options{Hooks: []string{"*.hook_pattern"}, Adapters: with.adapters, Task: task})
	if err != nil {
		return nil, err
	}
	s := &seenText{losses: tokenLosses(b, trace, tokens)}
	s.attention = view.Attention{
		Title: "Attention", About: about, Heads: c.Heads, Group: c.Heads / c.KVHeads,
		Tokens: append(leading(lead), b.pieces(tokens)...),
	}
	for l := range c.Layers {
		hook := transformer.Site{Layer: l, Point: transformer.Pattern}.String()
		s.attention.Patterns = append(s.attention.Patterns, trace.Activations[hook].Values)
	}
	return s, nil
}

// shownTokens is how many of a text's tokens so many heads' patterns fit of; at least two.
func shownTokens(heads, lead, tokens int) int {
	for tokens > 2 && heads*(lead+tokens)*(lead+tokens+1)/2 > maxPatterns {
		tokens--
	}
	return tokens
}

// leading are the names of the positions of soft prompts and prefixes.
func leading(n int) []string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("(prompt %d)", i))
	}
	return names
}

// pieces are what tokens stand for in a text.
func (b *base) pieces(ids []int32) []string {
	var all []string
	for _, id := range ids {
		all = append(all, b.piece(id))
	}
	return all
}

// tokenLosses colours a text by how little each token was expected.
func tokenLosses(b *base, trace *interp.Trace, ids []int32) view.Text {
	vocab := trace.Logits.Shape[2]
	lead := trace.Logits.Shape[1] - len(ids)
	losses := make([]float32, len(ids))
	for t, id := range ids {
		losses[t] = float32(math.NaN())
		if row := lead + t - 1; row >= 0 {
			losses[t] = float32(-interp.LogProb(trace.Logits.Values[row*vocab:][:vocab], id))
		}
	}
	return view.Text{
		Title: "Text", About: "How little each token was expected: −log of its probability, in nats.",
		Tokens: b.pieces(ids), Series: []view.Series{{Name: "loss", Values: losses}},
	}
}

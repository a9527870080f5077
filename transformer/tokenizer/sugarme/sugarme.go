package sugarme

import (
	"github.com/gpupeft/gpupeft/transformer/tokenizer"
	sugar "github.com/sugarme/tokenizer"
	"github.com/sugarme/tokenizer/normalizer"
)

// New returns a tokenizer of the library that gives the ids of tk: model,
// pre-tokenizer, post-processor and a decoder that leaves out special tokens,
// whatever the skipSpecialTokens argument of its Decode says.
func New(tk *tokenizer.Tokenizer) *sugar.Tokenizer {
	t := sugar.NewTokenizer(NewModel(tk))
	t.WithPreTokenizer(NewPreTokenizer(tk))
	t.WithPostProcessor(NewPostProcessor(tk))
	t.WithDecoder(NewDecoder(tk, true))
	return t
}

// PreTokenizer runs the whole pipeline of a tokenizer, up to the ids, where the
// library expects words. That way added tokens are found as the model expects.
type PreTokenizer struct{ tk *tokenizer.Tokenizer }

var _ sugar.PreTokenizer = PreTokenizer{}

// NewPreTokenizer returns the pre-tokenizer of tk.
func NewPreTokenizer(tk *tokenizer.Tokenizer) PreTokenizer { return PreTokenizer{tk} }

// PreTokenize attaches the tokens of every part that has none yet. Each token's
// offsets are those of its part. Parts without any token are dropped.
func (p PreTokenizer) PreTokenize(text *sugar.PreTokenizedString) (*sugar.PreTokenizedString, error) {
	var failed error
	out := text.Split(func(_ int, part *normalizer.NormalizedString) []sugar.SplitIdx {
		ids, err := p.tk.Encode(part.GetNormalized(), false)
		if err != nil {
			failed = err
		}
		if len(ids) == 0 {
			return nil
		}
		tokens := make([]sugar.Token, len(ids))
		for i, id := range ids {
			tokens[i] = sugar.NewToken(int(id), p.tk.Piece(id), []int{0, part.Len()})
		}
		return []sugar.SplitIdx{{Normalized: part, Tokens: tokens}}
	})
	if failed != nil {
		return nil, failed
	}
	return out, nil
}

// PostProcessor puts the special tokens of a tokenizer round each sequence.
type PostProcessor struct {
	tk             *tokenizer.Tokenizer
	before, behind []int32
}

var _ sugar.PostProcessor = PostProcessor{}

// NewPostProcessor returns the post-processor of tk.
func NewPostProcessor(tk *tokenizer.Tokenizer) PostProcessor {
	before, behind := tk.Surround()
	return PostProcessor{tk: tk, before: before, behind: behind}
}

// AddedTokens returns how many tokens Process adds.
func (p PostProcessor) AddedTokens(isPair bool) int {
	n := len(p.before) + len(p.behind)
	if isPair {
		n *= 2
	}
	return n
}

// Process surrounds one sequence or both, and joins them.
func (p PostProcessor) Process(encoding, pair *sugar.Encoding, addSpecialTokens bool) *sugar.Encoding {
	if addSpecialTokens {
		encoding = p.surround(encoding, 0)
		if pair != nil {
			pair = p.surround(pair, 1)
		}
	}
	return sugar.DefaultProcess(encoding, pair, addSpecialTokens)
}

func (p PostProcessor) surround(e *sugar.Encoding, typeID int) *sugar.Encoding {
	if e == nil {
		e = sugar.DefaultEncoding()
	}
	out := sugar.DefaultEncoding()
	p.appendSpecial(out, p.before, typeID)
	out.Ids = append(out.Ids, e.Ids...)
	out.Tokens = append(out.Tokens, e.Tokens...)
	out.TypeIds = append(out.TypeIds, e.TypeIds...)
	out.Offsets = append(out.Offsets, e.Offsets...)
	out.Words = append(out.Words, e.Words...)
	out.SpecialTokenMask = append(out.SpecialTokenMask, e.SpecialTokenMask...)
	out.AttentionMask = append(out.AttentionMask, e.AttentionMask...)
	p.appendSpecial(out, p.behind, typeID)
	for i := range e.Overflowing {
		out.Overflowing = append(out.Overflowing, *p.surround(&e.Overflowing[i], typeID))
	}
	return out
}

// appendSpecial appends tokens that stand for no text; -1 is the library's "no
// word".
func (p PostProcessor) appendSpecial(e *sugar.Encoding, ids []int32, typeID int) {
	for _, id := range ids {
		e.Ids = append(e.Ids, int(id))
		e.Tokens = append(e.Tokens, p.tk.Piece(id))
		e.TypeIds = append(e.TypeIds, typeID)
		e.Offsets = append(e.Offsets, []int{0, 0})
		e.Words = append(e.Words, -1)
		e.SpecialTokenMask = append(e.SpecialTokenMask, 1)
		e.AttentionMask = append(e.AttentionMask, 1)
	}
}

// Decoder turns pieces back into text. Pieces that the tokenizer does not know
// are left out.
type Decoder struct {
	tk          *tokenizer.Tokenizer
	skipSpecial bool
}

var _ sugar.Decoder = Decoder{}

// NewDecoder returns the decoder of tk. The library's Decode only knows special
// tokens that were registered with it, so whether to leave them out is said here.
func NewDecoder(tk *tokenizer.Tokenizer, skipSpecial bool) Decoder { return Decoder{tk, skipSpecial} }

// Decode returns the text of pieces.
func (d Decoder) Decode(pieces []string) string {
	ids := make([]int32, 0, len(pieces))
	for _, piece := range pieces {
		if id, ok := d.tk.ID(piece); ok {
			ids = append(ids, id)
		}
	}
	return d.tk.Decode(ids, d.skipSpecial)
}

// DecodeChain returns the text of pieces as the only element.
func (d Decoder) DecodeChain(pieces []string) []string { return []string{d.Decode(pieces)} }

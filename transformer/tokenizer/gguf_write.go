package tokenizer

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/gpupeft/gpupeft/tensor/gguf"
)

// GGUF returns the metadata that describe the tokenizer in a GGUF file, so that
// [FromGGUF] gives the same ids. A pipeline that the format can't express gives
// ErrUnsupported.
func (t *Tokenizer) GGUF() ([]gguf.KV, error) {
	var kvs []gguf.KV
	var err error
	if pre, ok := t.splitName(); ok {
		kvs = t.ggufByteLevel(pre)
	} else if kvs, err = t.ggufSentencePiece(); err != nil {
		return nil, err
	}
	addBOS, err := surrounds("in front of a text", t.template.prefix, t.bos)
	if err != nil {
		return nil, err
	}
	addEOS, err := surrounds("behind a text", t.template.suffix, t.eos)
	if err != nil {
		return nil, err
	}
	for _, s := range []struct {
		key string
		id  int32
	}{{ggufBOS, t.bos}, {ggufEOS, t.eos}, {ggufPad, t.pad}} {
		if s.id != noID {
			kvs = append(kvs, gguf.KV{Key: s.key, Value: uint32(s.id)})
		}
	}
	return append(kvs, gguf.KV{Key: ggufAddBOS, Value: addBOS}, gguf.KV{Key: ggufAddEOS, Value: addEOS}), nil
}

// surrounds says whether a special token is added at one end of a text.
func surrounds(where string, ids []int32, special int32) (bool, error) {
	switch {
	case len(ids) == 0:
		return false, nil
	case len(ids) == 1 && ids[0] == special:
		return true, nil
	}
	return false, fmt.Errorf("%w: GGUF has no form for ids %v %s", ErrUnsupported, ids, where)
}

// splitName returns the name that GGUF has for a byte-level tokenizer's stages.
func (t *Tokenizer) splitName() (string, bool) {
	if t.norm != nil || t.pre == nil || t.model.byteFallback || t.model.hasUnk {
		return "", false
	}
	for _, name := range []string{"llama-bpe", "tekken", "qwen2", "smollm", "gpt-2"} {
		split := ggufSplits[name]
		stages, err := parsePreTokenizer(json.RawMessage(split.stages), 0)
		if err == nil && describe(stages) == describe(t.pre) && (split.ignoreMerges == t.model.ignoreMerges || t.mergesReachAll()) {
			return name, true
		}
	}
	return "", false
}

// mergesReachAll says whether looking whole words up, as ignore_merges asks, finds what
// merging finds: so it is if each entry is the end of its own merges.
func (t *Tokenizer) mergesReachAll() bool {
	var scratch mergeScratch
	model := *t.model
	model.ignoreMerges = false
	for piece, id := range model.ids {
		ids, err := model.appendWord(nil, piece, &scratch)
		if err != nil || len(ids) != 1 || ids[0] != id {
			return false
		}
	}
	return true
}

// describe spells stages out, so that equal ones can be told.
func describe(p preTokenizer) string {
	switch p := p.(type) {
	case preTokenizerSequence:
		text := ""
		for _, stage := range p {
			text += describe(stage) + "; "
		}
		return text
	case patternSplit:
		if e, ok := p.pattern.(expression); ok {
			return fmt.Sprintf("split %v %v %s", p.invert, p.behavior, e.re)
		}
	}
	return fmt.Sprintf("%T %+v", p, p)
}

// ggufByteLevel describes a byte-level tokenizer.
func (t *Tokenizer) ggufByteLevel(pre string) []gguf.KV {
	tokens, types := t.ggufTokens()
	return []gguf.KV{
		{Key: ggufModel, Value: "gpt2"},
		{Key: ggufPre, Value: pre},
		{Key: ggufTokens, Value: tokens},
		{Key: ggufTypes, Value: types},
		{Key: ggufMerges, Value: t.ggufMerges()},
	}
}

// ggufMerges spells the merges as GGUF does, best first. Of merges with one rank, which
// SentencePiece has, any order will do: they have the same result.
func (t *Tokenizer) ggufMerges() []string {
	var merges []string
	for _, s := range t.rankedMerges() {
		merges = append(merges, t.vocab.pieces[s.left]+" "+t.vocab.pieces[s.right])
	}
	return merges
}

// rankedMerges returns the merges, best first.
func (t *Tokenizer) rankedMerges() []pairSlot {
	var list []pairSlot
	for _, s := range t.model.pairs.slots {
		if s.rank != noRank {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b pairSlot) int { return cmp.Compare(a.rank, b.rank) })
	return list
}

// ggufSentencePiece describes a tokenizer with SentencePiece's pipeline. Two things make
// one from a tokenizer.json different, in runs of spaces for the most part: of two ways
// to make a piece, one comes first, and added tokens are found before spaces become "▁".
// For those the merges stand beside the scores, where other readers don't look.
func (t *Tokenizer) ggufSentencePiece() ([]gguf.KV, error) {
	addSpace, ok := t.spacePrefix()
	if !ok || !t.model.byteFallback || t.model.ignoreMerges {
		return nil, fmt.Errorf("%w: GGUF has no form for this pipeline (known: SentencePiece's, and byte-level ones of known models)", ErrUnsupported)
	}
	tokens, types := t.ggufTokens()
	scores := make([]float32, len(tokens))
	for _, s := range slices.Backward(t.rankedMerges()) {
		scores[s.merged] = -float32(s.rank)
	}
	kvs := []gguf.KV{
		{Key: ggufModel, Value: "llama"},
		{Key: ggufPre, Value: "default"},
		{Key: ggufTokens, Value: tokens},
		{Key: ggufScores, Value: scores},
		{Key: ggufTypes, Value: types},
		{Key: ggufAddSpace, Value: addSpace},
	}
	if t.added.normalized.empty() {
		kvs = append(kvs, gguf.KV{Key: ggufMerges, Value: t.ggufMerges()})
	}
	return kvs, nil
}

// spacePrefix says whether spaces become "▁" and nothing else happens, and whether one is
// put in front of a text.
func (t *Tokenizer) spacePrefix() (addSpace, ok bool) {
	stages, isSequence := t.norm.(normalizerSequence)
	if !isSequence && t.norm != nil {
		stages = normalizerSequence{t.norm}
	}
	if len(stages) > 0 && stages[0] == normalizer(prepend(string(metaspace))) {
		addSpace, stages = true, stages[1:]
	}
	if t.pre != nil || len(stages) != 1 {
		return false, false
	}
	r, isReplace := stages[0].(replace)
	return addSpace, isReplace && r.pattern == pattern(literal(" ")) && r.content == string(metaspace)
}

// ggufTokens returns the vocabulary by id, and what kind each entry is.
func (t *Tokenizer) ggufTokens() (tokens []string, types []int32) {
	for id, piece := range t.vocab.pieces {
		kind := pieceNormal
		_, own := t.model.ids[piece]
		switch {
		case piece == "": // no entry has this id
			kind, piece = pieceUnused, fmt.Sprintf("[PAD%d]", id)
		case t.model.hasUnk && int32(id) == t.model.unkID:
			kind = pieceUnknown
		case t.IsSpecial(int32(id)):
			kind = pieceControl
		case t.model.byteFallback && isBytePiece(piece):
			kind = pieceByte
		case !own || t.isAdded(piece):
			kind = pieceUserDefined
		}
		tokens, types = append(tokens, piece), append(types, int32(kind))
	}
	return tokens, types
}

// isBytePiece recognizes "<0x0A>".
func isBytePiece(piece string) bool {
	var b byte
	n, err := fmt.Sscanf(piece, "<0x%02X>", &b)
	return err == nil && n == 1 && len(piece) == len("<0x00>")
}

// isAdded says whether a piece is an added token.
func (t *Tokenizer) isAdded(piece string) bool {
	for _, m := range []*matcher{t.added.raw, t.added.normalized} {
		if tok, _ := m.longest(piece); tok != nil && tok.Content == piece {
			return true
		}
	}
	return false
}

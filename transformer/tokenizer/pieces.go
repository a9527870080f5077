package tokenizer

import (
	"fmt"
	"sort"
)

// maxPieceBytes bounds a scored piece, of which every split is looked up.
const maxPieceBytes = 1024

// build makes a tokenizer of scored pieces: the pipeline of a Llama model with
// merges taken from the scores.
func (m *spModel) build() (*Tokenizer, error) {
	ids := make(map[string]int32, len(m.pieces))
	for id, p := range m.pieces {
		if _, dup := ids[p.text]; dup {
			return nil, fmt.Errorf("%w: piece %q occurs twice", ErrFormat, p.text)
		}
		ids[p.text] = int32(id)
	}
	t := &Tokenizer{bos: noID, eos: noID, pad: noID}
	var err error
	if t.vocab, err = newVocab(ids); err != nil {
		return nil, err
	}
	if t.model, err = m.model(); err != nil {
		return nil, err
	}
	space := string(metaspace)
	norm := normalizerSequence{replace{pattern: literal(" "), content: space}}
	t.decoder = []decodeStep{replaceStep(replace{pattern: literal(space), content: " "}), byteFallbackStep{}, fuseStep{}}
	if m.dummyPrefix {
		norm = append(normalizerSequence{prepend(space)}, norm...)
		t.decoder = append(t.decoder, leadStep{content: ' ', count: 1})
	}
	t.norm = norm
	t.added = m.addedVocab()
	return t, nil
}

// model builds the BPE over the pieces that merges can make or start from.
func (m *spModel) model() (*bpe, error) {
	normal := map[string]int32{}
	unk := ""
	for id, p := range m.pieces {
		switch p.kind {
		case pieceNormal, pieceByte:
			normal[p.text] = int32(id)
		case pieceUnknown:
			normal[p.text], unk = int32(id), p.text
		}
	}
	merges, err := m.merges(normal)
	if err != nil {
		return nil, err
	}
	b, err := newBPE(normal, merges)
	if err != nil {
		return nil, err
	}
	b.fuseUnk, b.byteFallback = true, m.byteFallback
	if unk != "" {
		b.setUnk(unk)
	}
	return b, nil
}

// merges lists every way to make a normal piece of two others. SentencePiece
// merges the pair whose result has the highest score, and of equal scores the
// leftmost; so pieces of one score get one rank.
func (m *spModel) merges(normal map[string]int32) ([]mergePair, error) {
	order := make([]int, 0, len(m.pieces))
	for id, p := range m.pieces {
		if len(p.text) > maxPieceBytes {
			return nil, fmt.Errorf("%w: piece %d has %d bytes, want at most %d", ErrFormat, id, len(p.text), maxPieceBytes)
		}
		if p.kind == pieceNormal {
			order = append(order, id)
		}
	}
	sort.SliceStable(order, func(i, j int) bool { return m.pieces[order[i]].score > m.pieces[order[j]].score })
	mergeable := func(text string) bool {
		id, ok := normal[text]
		return ok && m.pieces[id].kind == pieceNormal
	}
	var merges []mergePair
	rank := uint32(0)
	for i, id := range order {
		p := m.pieces[id]
		if i > 0 && p.score < m.pieces[order[i-1]].score {
			rank++
		}
		for at := range p.text {
			if at > 0 && mergeable(p.text[:at]) && mergeable(p.text[at:]) {
				merges = append(merges, mergePair{p.text[:at], p.text[at:], rank})
			}
		}
	}
	return merges, nil
}

// addedVocab lets control symbols be found in text as given, and user-defined
// ones where SentencePiece looks for them: after spaces became "▁".
func (m *spModel) addedVocab() *addedVocab {
	a := emptyAddedVocab()
	for id, p := range m.pieces {
		tok := addedToken{ID: int32(id), Content: p.text}
		switch p.kind {
		case pieceControl, pieceUnknown:
			a.special[tok.ID] = struct{}{}
			a.raw.add(p.text, tok)
		case pieceUserDefined:
			a.normalized.add(p.text, tok)
		}
	}
	return a
}

package tokenizer

import (
	"fmt"
	"math"
	"unicode/utf8"
)

// pieceKind is the type of a SentencePiece piece (sentencepiece_model.proto).
type pieceKind uint64

const (
	pieceNormal      pieceKind = 1
	pieceUnknown     pieceKind = 2
	pieceControl     pieceKind = 3
	pieceUserDefined pieceKind = 4
	pieceUnused      pieceKind = 5
	pieceByte        pieceKind = 6
)

// scoredPiece is a vocabulary entry; its index in the file is its id.
type scoredPiece struct {
	text  string
	score float32
	kind  pieceKind
}

// spModel holds the fields of a SentencePiece ModelProto that concern ids.
type spModel struct {
	pieces        []scoredPiece
	modelType     uint64 // 1 unigram, 2 BPE, 3 word, 4 char
	byteFallback  bool
	suffixSpace   bool
	bos, eos, pad int32

	charsMap    bool // a precompiled normalization
	dummyPrefix bool
	squeeze     bool // runs of spaces become one
	escape      bool // spaces become "▁"
}

// modelBPE is TrainerSpec.ModelType BPE.
const modelBPE = 2

// ParseSentencePiece reads a SentencePiece .model file of type BPE, giving the
// ids of the SentencePiece library for text without control symbols. Symbols
// such as "</s>" inside text become their ids, as with a tokenizer.json. BOS is
// added where the model has one, as the Llama, Mistral and Gemma models expect.
//
// Other model types, precompiled normalization and remove_extra_whitespaces are
// refused with [ErrUnsupported].
func ParseSentencePiece(model []byte) (*Tokenizer, error) {
	m := spModel{modelType: 1, bos: 1, eos: 2, pad: -1, dummyPrefix: true, squeeze: true, escape: true}
	if err := protoFields(model, m.field); err != nil {
		return nil, err
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	t, err := m.build()
	if err != nil {
		return nil, err
	}
	for _, set := range []struct {
		from int32
		to   *int32
	}{{m.bos, &t.bos}, {m.eos, &t.eos}, {m.pad, &t.pad}} {
		*set.to = noID
		if _, ok := t.vocab.piece(set.from); ok {
			*set.to = set.from
		}
	}
	if t.bos != noID {
		t.template.prefix = []int32{t.bos}
	}
	return t, nil
}

// field reads a field of ModelProto.
func (m *spModel) field(f protoField) error {
	var visit func(protoField) error
	switch f.number {
	case 1:
		m.pieces = append(m.pieces, scoredPiece{kind: pieceNormal})
		visit = m.pieces[len(m.pieces)-1].field
	case 2:
		visit = m.trainerField
	case 3:
		visit = m.normalizerField
	default:
		return nil
	}
	if err := f.expect(wireBytes); err != nil {
		return err
	}
	return protoFields(f.data, visit)
}

func (p *scoredPiece) field(f protoField) error {
	switch f.number {
	case 1:
		p.text = string(f.data)
		return f.expect(wireBytes)
	case 2:
		p.score = f.float()
		return f.expect(wire32)
	case 3:
		p.kind = pieceKind(f.num)
		return f.expect(wireVarint)
	}
	return nil
}

func (m *spModel) trainerField(f protoField) error {
	switch f.number {
	case 3:
		m.modelType = f.num
	case 24:
		m.suffixSpace = f.num != 0
	case 35:
		m.byteFallback = f.num != 0
	case 41:
		m.bos = int32(f.num)
	case 42:
		m.eos = int32(f.num)
	case 43:
		m.pad = int32(f.num)
	default:
		return nil
	}
	return f.expect(wireVarint)
}

func (m *spModel) normalizerField(f protoField) error {
	switch f.number {
	case 2:
		m.charsMap = len(f.data) > 0
		return f.expect(wireBytes)
	case 3:
		m.dummyPrefix = f.num != 0
	case 4:
		m.squeeze = f.num != 0
	case 5:
		m.escape = f.num != 0
	default:
		return nil
	}
	return f.expect(wireVarint)
}

// check refuses what build does not implement.
func (m *spModel) check() error {
	for _, c := range []struct {
		bad  bool
		name string
	}{
		{m.modelType != modelBPE, fmt.Sprintf("model_type %d, want %d (BPE)", m.modelType, modelBPE)},
		{m.charsMap, "precompiled_charsmap"},
		{m.squeeze, "remove_extra_whitespaces"},
		{!m.escape, "escape_whitespaces false"},
		{m.suffixSpace, "treat_whitespace_as_suffix"},
	} {
		if c.bad {
			return fmt.Errorf("%w: SentencePiece %s", ErrUnsupported, c.name)
		}
	}
	for id, p := range m.pieces {
		switch {
		case !utf8.ValidString(p.text) || p.text == "":
			return fmt.Errorf("%w: piece %d is empty or not UTF-8", ErrFormat, id)
		case math.IsNaN(float64(p.score)):
			return fmt.Errorf("%w: piece %d has score NaN", ErrFormat, id)
		case p.kind == pieceUnused || p.kind < pieceNormal || p.kind > pieceByte:
			return fmt.Errorf("%w: piece %d of type %d", ErrUnsupported, id, p.kind)
		}
	}
	return nil
}

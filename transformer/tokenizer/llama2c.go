package tokenizer

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

// ParseLlama2C reads a vocabulary of llama2.c (tok*.bin, by tokenizer.py of
// karpathy/llama2.c): an int32 bound on the length of a piece, then for each
// piece a float32 score, an int32 length and its bytes, all little endian. Ids
// 0, 1 and 2 are the unknown token, BOS and EOS, the next 256 are bytes.
func ParseLlama2C(data []byte) (*Tokenizer, error) {
	r := littleEndian{rest: data}
	r.uint32() // the bound on lengths, which the lengths themselves make needless
	m := spModel{modelType: modelBPE, byteFallback: true, dummyPrefix: true, escape: true}
	for len(r.rest) > 0 && !r.short {
		p := scoredPiece{score: math.Float32frombits(r.uint32()), kind: pieceNormal}
		p.text = string(r.bytes(r.uint32()))
		m.pieces = append(m.pieces, llama2cPiece(len(m.pieces), p))
	}
	if r.short || len(m.pieces) < firstPiece {
		return nil, fmt.Errorf("%w: not a llama2.c vocabulary, or cut off behind piece %d", ErrFormat, len(m.pieces))
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	t, err := m.build()
	if err != nil {
		return nil, err
	}
	t.bos, t.eos = 1, 2
	t.template.prefix = []int32{t.bos}
	return t, nil
}

// firstPiece is the first id behind the special tokens and bytes.
const firstPiece = 3 + 256

// llama2cPiece restores what the format left out: the kind, which follows from
// the id, and "▁" for spaces.
func llama2cPiece(id int, p scoredPiece) scoredPiece {
	switch {
	case id == 0:
		return scoredPiece{text: "<unk>", kind: pieceUnknown}
	case id == 1:
		return scoredPiece{text: "<s>", kind: pieceControl}
	case id == 2:
		return scoredPiece{text: "</s>", kind: pieceControl}
	case id < firstPiece:
		p.kind = pieceByte
		p.text = fmt.Sprintf("<0x%02X>", id-3)
	default:
		p.text = strings.ReplaceAll(p.text, " ", string(metaspace))
	}
	return p
}

// littleEndian reads binary values; once data runs out, short is set and all
// values are zero.
type littleEndian struct {
	rest  []byte
	short bool
}

func (r *littleEndian) bytes(n uint32) []byte {
	if uint64(n) > uint64(len(r.rest)) {
		r.rest, r.short = nil, true
		return nil
	}
	head := r.rest[:n]
	r.rest = r.rest[n:]
	return head
}

func (r *littleEndian) uint32() uint32 {
	if b := r.bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

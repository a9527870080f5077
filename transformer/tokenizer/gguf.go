package tokenizer

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"strings"

	"github.com/gpupeft/gpupeft/tensor/gguf"
)

// The keys of a GGUF file that describe its tokenizer.
const (
	ggufModel    = "tokenizer.ggml.model"
	ggufPre      = "tokenizer.ggml.pre"
	ggufTokens   = "tokenizer.ggml.tokens"
	ggufScores   = "tokenizer.ggml.scores"
	ggufTypes    = "tokenizer.ggml.token_type"
	ggufMerges   = "tokenizer.ggml.merges"
	ggufBOS      = "tokenizer.ggml.bos_token_id"
	ggufEOS      = "tokenizer.ggml.eos_token_id"
	ggufPad      = "tokenizer.ggml.padding_token_id"
	ggufAddBOS   = "tokenizer.ggml.add_bos_token"
	ggufAddEOS   = "tokenizer.ggml.add_eos_token"
	ggufAddSpace = "tokenizer.ggml.add_space_prefix"
)

// LoadGGUF reads the tokenizer of a GGUF file.
func LoadGGUF(dir fs.FS, name string) (*Tokenizer, error) {
	h, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	info, err := h.Stat()
	if err != nil {
		return nil, err
	}
	r, ok := h.(io.ReaderAt)
	if !ok {
		return nil, fmt.Errorf("%s: %w: a file system without random access", name, ErrUnsupported)
	}
	f, err := gguf.New(r, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return FromGGUF(f)
}

// FromGGUF reads the tokenizer in the metadata of a GGUF file: of kind "llama", which
// is SentencePiece's BPE, or "gpt2", byte-level BPE with one of the pre-tokenizers in
// ggufSplits. It gives the ids that the tokenizer.json of the same model gives.
func FromGGUF(f *gguf.File) (*Tokenizer, error) {
	m, err := readGGUF(f)
	if err != nil {
		return nil, err
	}
	var t *Tokenizer
	switch m.kind {
	case "llama":
		t, err = m.sentencePiece(f)
	case "gpt2":
		t, err = m.byteLevel(f)
	default:
		err = fmt.Errorf("%w: %s %q (known: llama, gpt2)", ErrUnsupported, ggufModel, m.kind)
	}
	if err != nil {
		return nil, err
	}
	return t, m.specials(f, t)
}

// ggufVocab is what both kinds have in common.
type ggufVocab struct {
	kind   string
	tokens []string
	types  []int64 // as pieceKind numbers them; nil: all are normal
	addBOS bool    // unless the file says otherwise
}

func readGGUF(f *gguf.File) (m ggufVocab, err error) {
	if m.kind, err = f.String(ggufModel); err != nil {
		return m, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if m.tokens, err = f.Strings(ggufTokens); err != nil {
		return m, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if f.Has(ggufTypes) {
		if m.types, err = f.Ints(ggufTypes); err != nil {
			return m, fmt.Errorf("%w: %w", ErrFormat, err)
		}
		if len(m.types) != len(m.tokens) {
			return m, fmt.Errorf("%w: %d types for %d tokens", ErrFormat, len(m.types), len(m.tokens))
		}
	}
	return m, nil
}

// pieceKind returns a token's kind. Tokens without a use can't come out of a text, nor
// can control tokens, so they are treated alike.
func (m *ggufVocab) pieceKind(id int) pieceKind {
	if m.types == nil {
		return pieceNormal
	}
	if k := pieceKind(m.types[id]); k != pieceUnused {
		return k
	}
	return pieceControl
}

// sentencePiece builds the tokenizer of kind "llama". Merges follow from the scores,
// unless they stand there, too; see [Tokenizer.GGUF].
func (m *ggufVocab) sentencePiece(f *gguf.File) (*Tokenizer, error) {
	m.addBOS = true
	scores, err := f.Floats(ggufScores)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if len(scores) != len(m.tokens) {
		return nil, fmt.Errorf("%w: %d scores for %d tokens", ErrFormat, len(scores), len(m.tokens))
	}
	sp := spModel{modelType: modelBPE, byteFallback: true, dummyPrefix: true, escape: true}
	if f.Has(ggufAddSpace) {
		if sp.dummyPrefix, err = f.Bool(ggufAddSpace); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrFormat, err)
		}
	}
	for id, text := range m.tokens {
		sp.pieces = append(sp.pieces, scoredPiece{text: text, score: float32(scores[id]), kind: m.pieceKind(id)})
	}
	if err := sp.check(); err != nil {
		return nil, err
	}
	t, err := sp.build()
	if err != nil || !f.Has(ggufMerges) {
		return t, err
	}
	merges, err := m.merges(f)
	if err != nil {
		return nil, err
	}
	ids := maps.Clone(t.model.ids)
	for id, text := range m.tokens {
		if m.pieceKind(id) == pieceUserDefined { // what merges make may be an added token, too
			ids[text] = int32(id)
		}
	}
	exact, err := newBPE(ids, merges)
	if err != nil {
		return nil, err
	}
	exact.fuseUnk, exact.byteFallback, exact.unk, exact.hasUnk, exact.unkID = true, true, t.model.unk, t.model.hasUnk, t.model.unkID
	t.model = exact
	for id, text := range m.tokens {
		if m.pieceKind(id) == pieceUserDefined {
			t.added.raw.add(text, addedToken{ID: int32(id), Content: text})
		}
	}
	t.added.normalized = newMatcher()
	return t, nil
}

// ggufSplit is what a value of tokenizer.ggml.pre stands for.
type ggufSplit struct {
	stages       string // the pre_tokenizer section of the tokenizer.json
	ignoreMerges bool
	addBOS       bool // unless the file says otherwise
}

const (
	splitLlama3 = `{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},"behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]}`
	splitQwen2  = `{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},"behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]}`
	splitTekken = `{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},"behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]}`
	splitDigits = `{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},{"type":"ByteLevel","add_prefix_space":false,"use_regex":true}]}`
	splitGPT2   = `{"type":"ByteLevel","add_prefix_space":false,"use_regex":true}`
)

// ggufSplits are the pre-tokenizers by the names that llama.cpp's converter gives them.
var ggufSplits = map[string]ggufSplit{
	"llama-bpe": {splitLlama3, true, true},
	"llama3":    {splitLlama3, true, true},
	"llama-v3":  {splitLlama3, true, true},
	"tekken":    {splitTekken, true, true},
	"qwen2":     {splitQwen2, false, false},
	"smollm":    {splitDigits, false, false},
	"gpt-2":     {splitGPT2, false, false},
}

// byteLevel builds the tokenizer of kind "gpt2".
func (m *ggufVocab) byteLevel(f *gguf.File) (*Tokenizer, error) {
	pre, err := f.String(ggufPre)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	split, ok := ggufSplits[pre]
	if !ok {
		return nil, fmt.Errorf("%w: %s %q (known: gpt-2, llama-bpe, qwen2, smollm, tekken)", ErrUnsupported, ggufPre, pre)
	}
	m.addBOS = split.addBOS
	own, added := map[string]int32{}, []addedToken(nil)
	for id, text := range m.tokens {
		switch kind := m.pieceKind(id); kind {
		case pieceControl, pieceUserDefined:
			added = append(added, addedToken{ID: int32(id), Content: text, Special: kind == pieceControl})
		default:
			if _, twice := own[text]; twice {
				return nil, fmt.Errorf("%w: token %q stands twice", ErrFormat, text)
			}
			own[text] = int32(id)
		}
	}
	t := &Tokenizer{bos: noID, eos: noID, pad: noID}
	merges, err := m.merges(f)
	if err != nil {
		return nil, err
	}
	if t.model, err = newBPE(own, merges); err != nil {
		return nil, err
	}
	t.model.ignoreMerges = split.ignoreMerges
	all := make(map[string]int32, len(m.tokens))
	for id, text := range m.tokens {
		all[text] = int32(id)
	}
	if t.vocab, err = newVocab(all); err != nil {
		return nil, err
	}
	if t.added, err = newAddedVocab(added, t.vocab, len(m.tokens), nil); err != nil {
		return nil, err
	}
	if t.pre, err = parsePreTokenizer(json.RawMessage(split.stages), 0); err != nil {
		return nil, err
	}
	t.decoder, err = parseDecoder(json.RawMessage(`{"type":"ByteLevel"}`))
	return t, err
}

// merges reads the merges, best first.
func (m *ggufVocab) merges(f *gguf.File) ([]mergePair, error) {
	lines, err := f.Strings(ggufMerges)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	merges := make([]mergePair, 0, len(lines))
	for i, line := range lines {
		left, right, ok := strings.Cut(line, " ")
		if !ok || left == "" || right == "" || strings.Contains(right, " ") {
			return nil, fmt.Errorf("%w: merge %d: %q is not two pieces with a space between", ErrFormat, i, line)
		}
		merges = append(merges, mergePair{left, right, uint32(i)})
	}
	return merges, nil
}

// specials sets the ids of special tokens, and which of them surround a text.
func (m *ggufVocab) specials(f *gguf.File, t *Tokenizer) error {
	for _, s := range []struct {
		key string
		id  *int32
	}{{ggufBOS, &t.bos}, {ggufEOS, &t.eos}, {ggufPad, &t.pad}} {
		if !f.Has(s.key) {
			continue
		}
		id, err := f.Int(s.key)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrFormat, err)
		}
		if id < 0 || id >= int64(len(m.tokens)) {
			return fmt.Errorf("%w: %s %d is outside the vocabulary of %d", ErrFormat, s.key, id, len(m.tokens))
		}
		*s.id = int32(id)
	}
	for _, s := range []struct {
		key  string
		add  bool
		id   int32
		into *[]int32
	}{{ggufAddBOS, m.addBOS, t.bos, &t.template.prefix}, {ggufAddEOS, false, t.eos, &t.template.suffix}} {
		if f.Has(s.key) {
			var err error
			if s.add, err = f.Bool(s.key); err != nil {
				return fmt.Errorf("%w: %w", ErrFormat, err)
			}
		}
		if *s.into = nil; s.add && s.id != noID {
			*s.into = []int32{s.id}
		}
	}
	return nil
}

package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
)

type modelJSON struct {
	Type                    string           `json:"type"`
	Dropout                 *float64         `json:"dropout"`
	UnkToken                *string          `json:"unk_token"`
	ContinuingSubwordPrefix string           `json:"continuing_subword_prefix"`
	EndOfWordSuffix         string           `json:"end_of_word_suffix"`
	FuseUnk                 bool             `json:"fuse_unk"`
	ByteFallback            bool             `json:"byte_fallback"`
	IgnoreMerges            bool             `json:"ignore_merges"`
	Vocab                   map[string]int32 `json:"vocab"`
	Merges                  mergeList        `json:"merges"`
}

// parseModel reads the model section, which must be a BPE model.
func parseModel(raw json.RawMessage) (*bpe, error) {
	if isNull(raw) {
		return nil, fmt.Errorf("%w: section missing", ErrFormat)
	}
	// Other models have other fields: look at the type alone first.
	var kind struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(raw, &kind); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if kind.Type != "" && kind.Type != "BPE" {
		return nil, fmt.Errorf("%w: type %q, want BPE", ErrUnsupported, kind.Type)
	}
	var c modelJSON
	if err := decodeStrict(raw, &c); err != nil {
		return nil, err
	}
	switch {
	case c.Dropout != nil && *c.Dropout != 0:
		return nil, fmt.Errorf("%w: dropout %g makes ids random", ErrUnsupported, *c.Dropout)
	case c.ContinuingSubwordPrefix != "":
		return nil, fmt.Errorf("%w: continuing_subword_prefix %q", ErrUnsupported, c.ContinuingSubwordPrefix)
	case c.EndOfWordSuffix != "":
		return nil, fmt.Errorf("%w: end_of_word_suffix %q", ErrUnsupported, c.EndOfWordSuffix)
	case len(c.Vocab) == 0:
		return nil, fmt.Errorf("%w: empty vocabulary", ErrFormat)
	}
	m, err := newBPE(c.Vocab, c.Merges)
	if err != nil {
		return nil, err
	}
	m.fuseUnk, m.byteFallback, m.ignoreMerges = c.FuseUnk, c.ByteFallback, c.IgnoreMerges
	if c.UnkToken != nil {
		m.setUnk(*c.UnkToken)
	}
	return m, nil
}

// mergeList reads merges in both spellings that exist: ["a b", ...] and, since
// 2024, [["a", "b"], ...]. Only the second can merge pieces that hold a space.
type mergeList []mergePair

// UnmarshalJSON implements [json.Unmarshaler].
func (l *mergeList) UnmarshalJSON(data []byte) error {
	inner := strings.TrimLeft(string(data[1:min(len(data), 64)]), " \t\r\n")
	if strings.HasPrefix(inner, "[") {
		return l.fromPairs(data)
	}
	var lines []string
	if err := json.Unmarshal(data, &lines); err != nil {
		return err
	}
	*l = make(mergeList, 0, len(lines))
	for _, line := range lines {
		if strings.HasPrefix(line, "#version") {
			continue
		}
		left, right, ok := strings.Cut(line, " ")
		if !ok || strings.Contains(right, " ") {
			return fmt.Errorf("merge %d: %q is not two pieces with a space between", len(*l), line)
		}
		*l = append(*l, mergePair{left, right, uint32(len(*l))})
	}
	return nil
}

func (l *mergeList) fromPairs(data []byte) error {
	var pairs [][]string
	if err := json.Unmarshal(data, &pairs); err != nil {
		return err
	}
	*l = make(mergeList, 0, len(pairs))
	for rank, pair := range pairs {
		if len(pair) != 2 {
			return fmt.Errorf("merge %d: %d pieces, want 2", rank, len(pair))
		}
		*l = append(*l, mergePair{pair[0], pair[1], uint32(rank)})
	}
	return nil
}

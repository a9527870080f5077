package tokenizer

import (
	"strings"
)

// preTokenizer cuts normalized text into the words that merges stay within.
type preTokenizer interface {
	// split appends the parts of seg, none of them empty, to dst. seg is not
	// empty.
	split(dst []segment, seg segment) ([]segment, error)
}

type preTokenizerSequence []preTokenizer

func (seq preTokenizerSequence) split(dst []segment, seg segment) ([]segment, error) {
	parts := []segment{seg}
	for i, p := range seq {
		var out []segment
		if i == len(seq)-1 {
			out = dst
		}
		for _, part := range parts {
			var err error
			if out, err = p.split(out, part); err != nil {
				return nil, err
			}
		}
		parts = out
	}
	if len(seq) == 0 {
		return append(dst, seg), nil
	}
	return parts, nil
}

// patternSplit cuts text at the matches of a pattern.
type patternSplit struct {
	pattern  pattern
	invert   bool // cut at what lies between the matches instead
	behavior behavior
}

func (p patternSplit) split(dst []segment, seg segment) ([]segment, error) {
	matches, err := p.pattern.find(nil, seg.text)
	if err != nil {
		return nil, err
	}
	for _, part := range p.behavior(cover(matches, len(seg.text), p.invert)) {
		if part.start < part.end {
			dst = append(dst, seg.sub(part.start, part.end))
		}
	}
	return dst, nil
}

// part is a stretch of text that is a delimiter or lies between delimiters.
type part struct {
	span
	match bool
}

// cover turns matches into parts that cover the n bytes of text.
func cover(matches []span, n int, invert bool) []part {
	parts := make([]part, 0, 2*len(matches)+1)
	at := 0
	for _, m := range matches {
		if at < m.start {
			parts = append(parts, part{span{at, m.start}, invert})
		}
		parts = append(parts, part{m, !invert})
		at = m.end
	}
	if at < n {
		parts = append(parts, part{span{at, n}, invert})
	}
	return parts
}

// behavior decides what becomes of the delimiters. It may reuse its argument.
type behavior func(parts []part) []part

var behaviors = map[string]behavior{
	"Removed":            removed,
	"Isolated":           isolated,
	"MergedWithPrevious": mergedWithPrevious,
	"MergedWithNext":     mergedWithNext,
	"Contiguous":         contiguous,
}

func isolated(parts []part) []part { return parts }

func removed(parts []part) []part {
	kept := parts[:0]
	for _, p := range parts {
		if !p.match {
			kept = append(kept, p)
		}
	}
	return kept
}

func contiguous(parts []part) []part {
	kept := parts[:0]
	for i, p := range parts {
		if i > 0 && kept[len(kept)-1].match == p.match {
			kept[len(kept)-1].end = p.end
			continue
		}
		kept = append(kept, p)
	}
	return kept
}

// mergedWithPrevious joins the first delimiter of a row to what is before it.
func mergedWithPrevious(parts []part) []part {
	kept := parts[:0]
	previous := false
	for i, p := range parts {
		if p.match && !previous && i > 0 {
			kept[len(kept)-1].end = p.end
		} else {
			kept = append(kept, p)
		}
		previous = p.match
	}
	return kept
}

// mergedWithNext joins the last delimiter of a row to what is behind it.
func mergedWithNext(parts []part) []part {
	kept := parts[:0]
	for i, p := range parts {
		last := len(kept) - 1
		if i > 0 && parts[i-1].match && !p.match {
			kept[last].end = p.end
			continue
		}
		kept = append(kept, p)
	}
	return kept
}

// isolateDigits cuts out every digit, or every group of them.
func isolateDigits(individual bool) preTokenizer {
	p := patternSplit{pattern: runeClass(isDigitStage), behavior: contiguous}
	if individual {
		p.behavior = isolated
	}
	return p
}

// prependScheme says where Metaspace puts its mark in front.
type prependScheme string

const (
	prependAlways prependScheme = "always"
	prependFirst  prependScheme = "first"
	prependNever  prependScheme = "never"
)

// metaspaceSplit writes spaces as a mark and cuts before each mark.
type metaspaceSplit struct {
	mark  string
	where prependScheme
	cut   bool
}

func (p metaspaceSplit) split(dst []segment, seg segment) ([]segment, error) {
	text := strings.ReplaceAll(seg.text, " ", p.mark)
	wanted := p.where == prependAlways || p.where == prependFirst && seg.first
	if wanted && !strings.HasPrefix(text, p.mark) {
		text = p.mark + text
	}
	seg.text = text
	if !p.cut {
		return append(dst, seg), nil
	}
	start := 0
	for start < len(text) {
		end := len(text)
		// Look behind the first rune, which may be a mark itself.
		skip := 1
		if strings.HasPrefix(text[start:], p.mark) {
			skip = len(p.mark)
		}
		if i := strings.Index(text[start+skip:], p.mark); i >= 0 {
			end = start + skip + i
		}
		dst = append(dst, seg.sub(start, end))
		start = end
	}
	return dst, nil
}

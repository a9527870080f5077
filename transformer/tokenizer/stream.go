package tokenizer

import "strings"

// Stream decodes ids one at a time, as a model generates them. It never returns
// half a character: bytes wait until the character they belong to is complete.
//
// What Next and Flush return, put together, is what Decode returns for the same
// ids, but for one case: where byte tokens ("<0x..>") form an invalid run, Decode
// replaces the whole run by U+FFFD and a Stream only what it has not yet handed
// out. A Stream is not safe for concurrent use.
type Stream struct {
	decoding    *decoding
	out         *strings.Builder
	skipSpecial bool
}

// Stream starts decoding a new text; skipSpecial leaves out special tokens.
func (t *Tokenizer) Stream(skipSpecial bool) *Stream {
	s := &Stream{out: &strings.Builder{}, skipSpecial: skipSpecial}
	s.decoding = t.newDecoding(true, func(text string) { s.out.WriteString(text) })
	return s
}

// Next returns the text that id makes certain, which may be empty.
func (s *Stream) Next(id int32) string {
	s.decoding.push(id, s.skipSpecial)
	return s.take()
}

// Flush ends the text and returns what was held back: incomplete characters as
// U+FFFD. The stream must not be used afterwards.
func (s *Stream) Flush() string {
	s.decoding.flush()
	return s.take()
}

func (s *Stream) take() string {
	text := s.out.String()
	s.out.Reset()
	return text
}

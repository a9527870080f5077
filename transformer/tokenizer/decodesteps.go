package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// mapStep changes every piece on its own; it is its own state.
type mapStep func(piece string) string

func (m mapStep) start(bool) decodeState               { return m }
func (m mapStep) push(piece string, emit func(string)) { emit(m(piece)) }
func (m mapStep) flush(func(string))                   {}

// replaceStep is replace as a decoder stage, which has no way to report an
// error: a piece whose search runs into the time limit is left as it is.
func replaceStep(r replace) mapStep {
	return func(piece string) string {
		if out, err := r.normalize(piece); err == nil {
			return out
		}
		return piece
	}
}

// trim removes a rune from the ends of a piece, at most so many times.
type trim struct {
	content    rune
	start, end int
}

func (t trim) apply(piece string) string {
	for range t.start {
		r, n := utf8.DecodeRuneInString(piece)
		if n == 0 || r != t.content {
			break
		}
		piece = piece[n:]
	}
	for range t.end {
		r, n := utf8.DecodeLastRuneInString(piece)
		if n == 0 || r != t.content {
			break
		}
		piece = piece[:len(piece)-n]
	}
	return piece
}

// leadStep trims the start of the whole text, however it is cut into pieces.
type leadStep struct {
	content rune
	count   int
}

func (s leadStep) start(bool) decodeState { return &s }

func (s *leadStep) push(piece string, emit func(string)) {
	for s.count > 0 && piece != "" {
		r, n := utf8.DecodeRuneInString(piece)
		if r != s.content {
			s.count = 0
			break
		}
		s.count--
		piece = piece[n:]
	}
	emit(piece)
}

func (s *leadStep) flush(func(string)) {}

// fuseStep joins all pieces into one. A stream passes them on as they come
// unless hold is set, because the stages behind it can work on parts of a text.
type fuseStep struct{ hold bool }

func (s fuseStep) start(stream bool) decodeState {
	if stream && !s.hold {
		return mapStep(func(piece string) string { return piece })
	}
	return &fuseState{}
}

type fuseState struct{ text strings.Builder }

func (s *fuseState) push(piece string, _ func(string)) { s.text.WriteString(piece) }
func (s *fuseState) flush(emit func(string))           { emit(s.text.String()) }

// metaspaceStep writes the mark as a space, and drops it in the first piece if
// encoding put one there.
type metaspaceStep struct {
	mark      string
	dropFirst bool
}

func (s metaspaceStep) start(bool) decodeState { return &s }

func (s *metaspaceStep) push(piece string, emit func(string)) {
	space := " "
	if s.dropFirst {
		space = ""
		s.dropFirst = false
	}
	emit(strings.ReplaceAll(piece, s.mark, space))
}

func (s *metaspaceStep) flush(func(string)) {}

// spacedStep is what a file without a decoder asks for: pieces with a space
// between them.
type spacedStep struct{ begun bool }

func (s spacedStep) start(bool) decodeState { return &s }

func (s *spacedStep) push(piece string, emit func(string)) {
	if s.begun {
		piece = " " + piece
	}
	s.begun = true
	emit(piece)
}

func (s *spacedStep) flush(func(string)) {}

// byteLevelStep turns spelled bytes back into text. It passes on what is
// complete and keeps at most three bytes of an open encoding.
type byteLevelStep struct{}

func (byteLevelStep) start(bool) decodeState { return &byteLevelState{} }

type byteLevelState struct{ open []byte }

func (s *byteLevelState) push(piece string, emit func(string)) {
	s.open = unspellBytes(s.open, piece)
	done, rest := splitOpen(string(s.open))
	s.open = append(s.open[:0], rest...)
	emit(validUTF8(done))
}

func (s *byteLevelState) flush(emit func(string)) {
	emit(validUTF8(string(s.open)))
	s.open = nil
}

// byteFallbackStep joins runs of byte entries such as "<0x0A>". A run that is
// not UTF-8 as a whole becomes one U+FFFD per byte. A stream cannot wait for the
// end of a run: it passes on each character as soon as it is complete, so in an
// invalid run it keeps the characters that stand before the fault.
type byteFallbackStep struct{}

func (byteFallbackStep) start(stream bool) decodeState { return &byteFallbackState{stream: stream} }

type byteFallbackState struct {
	stream bool
	run    []byte
}

func (s *byteFallbackState) push(piece string, emit func(string)) {
	b, ok := byteToken(piece)
	if !ok {
		s.flush(emit)
		emit(piece)
		return
	}
	s.run = append(s.run, b)
	if s.stream {
		done, rest := splitOpen(string(s.run))
		s.run = append(s.run[:0], rest...)
		emit(string([]rune(done))) // an invalid byte becomes U+FFFD
	}
}

func (s *byteFallbackState) flush(emit func(string)) {
	switch {
	case len(s.run) == 0:
		return
	case utf8.Valid(s.run):
		emit(string(s.run))
	default:
		for range s.run {
			emit(replacement)
		}
	}
	s.run = s.run[:0]
}

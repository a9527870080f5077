package tokenizer

import "strings"

// decodeStep is a stage of the decoder. Stages pass pieces of text on; some
// remember what came before.
type decodeStep interface {
	// start returns the state for one text. A stream's state passes text on as
	// soon as it is certain; the other may wait until flush.
	start(stream bool) decodeState
}

type decodeState interface {
	push(piece string, emit func(string))
	flush(emit func(string))
}

// Decode returns the text of ids. Unknown ids are left out, and so are special
// tokens when skipSpecial is set. Bytes that are not UTF-8 become U+FFFD: one per
// maximal invalid part with a ByteLevel decoder, one per byte of the whole run of
// byte tokens with ByteFallback, as in the reference.
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) string {
	var b strings.Builder
	d := t.newDecoding(false, func(s string) { b.WriteString(s) })
	for _, id := range ids {
		d.push(id, skipSpecial)
	}
	d.flush()
	return b.String()
}

// decoding is a chain of states; emits[i] is the input of stage i, and the last
// one is the output.
type decoding struct {
	t      *Tokenizer
	states []decodeState
	emits  []func(string)
}

func (t *Tokenizer) newDecoding(stream bool, out func(string)) *decoding {
	n := len(t.decoder)
	d := &decoding{t: t, states: make([]decodeState, n), emits: make([]func(string), n+1)}
	d.emits[n] = out
	for i := n - 1; i >= 0; i-- {
		state, next := t.decoder[i].start(stream), d.emits[i+1]
		d.states[i] = state
		d.emits[i] = func(s string) { state.push(s, next) }
	}
	return d
}

func (d *decoding) push(id int32, skipSpecial bool) {
	piece, ok := d.t.vocab.piece(id)
	if !ok || skipSpecial && d.t.IsSpecial(id) {
		return
	}
	if shown, ok := d.t.added.shown[id]; ok {
		piece = shown
	}
	d.emits[0](piece)
}

func (d *decoding) flush() {
	for i, state := range d.states {
		state.flush(d.emits[i+1])
	}
}

package tokenizer

import "fmt"

// maxTokenID bounds ids, so that a small file cannot ask for a huge table. The
// largest published vocabularies have about 2^18 entries.
const maxTokenID = 1<<22 - 1

// vocab maps between vocabulary entries and ids, added tokens included.
type vocab struct {
	ids    map[string]int32
	pieces []string // indexed by id; "" for a hole
}

// newVocab checks ids and builds the reverse table.
func newVocab(ids map[string]int32) (*vocab, error) {
	v := &vocab{ids: ids}
	top := noID
	for piece, id := range ids {
		if id < 0 || id > maxTokenID {
			return nil, fmt.Errorf("%w: vocabulary entry %q has id %d, want 0 to %d", ErrFormat, piece, id, maxTokenID)
		}
		top = max(top, id)
	}
	v.pieces = make([]string, top+1)
	taken := make([]bool, top+1)
	for piece, id := range ids {
		if taken[id] {
			return nil, fmt.Errorf("%w: vocabulary entries %q and %q share id %d", ErrFormat, piece, v.pieces[id], id)
		}
		taken[id] = true
		v.pieces[id] = piece
	}
	return v, nil
}

// add appends an entry that the model itself does not have.
func (v *vocab) add(piece string, id int32) error {
	if _, known := v.piece(id); known || id < 0 || id > maxTokenID {
		return fmt.Errorf("%w: added token %q cannot have id %d", ErrFormat, piece, id)
	}
	for int(id) >= len(v.pieces) {
		v.pieces = append(v.pieces, "")
	}
	v.pieces[id] = piece
	v.ids[piece] = id
	return nil
}

// piece returns the entry of id. The empty string can be an entry, so a hole is
// told apart by looking it up.
func (v *vocab) piece(id int32) (string, bool) {
	if id < 0 || int(id) >= len(v.pieces) {
		return "", false
	}
	piece := v.pieces[id]
	if piece != "" {
		return piece, true
	}
	empty, ok := v.ids[""]
	return "", ok && empty == id
}

package data_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/peft/data"
)

const (
	bos, eos int32 = 1, 2
	vocab          = 300
)

// letters is a tokenizer with a token for each byte, id 3 and up, and a few for two
// bytes. Like Llama's it may begin each text with a space.
type letters struct {
	pairs                []string // id 259 and up
	space, addEOS, noEOS bool
}

func (l letters) EOS() (int32, bool) { return eos, !l.noEOS }

func (l letters) Encode(text string, special bool) ([]int32, error) {
	var ids []int32
	if special {
		ids = append(ids, bos)
	}
	if l.space && text != "" {
		text = " " + text
	}
	for text != "" {
		n, id := 1, 3+int32(text[0])
		for i, p := range l.pairs {
			if strings.HasPrefix(text, p) {
				n, id = len(p), 259+int32(i)
			}
		}
		ids, text = append(ids, id), text[n:]
	}
	if special && l.addEOS {
		ids = append(ids, eos)
	}
	return ids, nil
}

// ids returns the tokens of text, one a byte.
func ids(text string) []int32 {
	var list []int32
	for i := range len(text) {
		list = append(list, 3+int32(text[i]))
	}
	return list
}

// sum is a text's SHA-256.
func sum(text string) string {
	h := sha256.Sum256([]byte(text))
	return hex.EncodeToString(h[:])
}

// options are those of most tests.
func options() data.Options { return data.Options{Tokens: letters{}, Vocab: vocab, MaxLength: 64} }

// all returns a set's examples, without where they come from.
func all(t *testing.T, s *data.Set) []data.Example {
	t.Helper()
	var list []data.Example
	for e, err := range s.All() {
		if err != nil {
			t.Fatal(err)
		}
		e.Row = 0
		list = append(list, e)
	}
	return list
}

// read reads text as a file of the given name.
func read(t *testing.T, name, text string, o data.Options) *data.Set {
	t.Helper()
	s, err := data.Read(t.Context(), name, strings.NewReader(text), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

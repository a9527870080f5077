package tokenizer

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// TestMergeShortAndLongAgree compares both algorithms with the definition: take
// the lowest rank, of equal ranks the leftmost, until no pair merges.
func TestMergeShortAndLongAgree(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 2000 {
		pairs := newPairTable(60)
		next := int32(6)
		for range 60 {
			rank := uint32(rng.IntN(25)) // ranks may be shared, as in SentencePiece
			pairs.put(rng.Int32N(next), rng.Int32N(next), rank, next)
			next++
		}
		ids := make([]int32, rng.IntN(shortWord*2))
		for i := range ids {
			ids[i] = rng.Int32N(6)
		}
		want := mergeByDefinition(&pairs, ids)
		short := mergeScratch{ids: slices.Clone(ids)}
		long := mergeScratch{ids: slices.Clone(ids)}
		if got := long.mergeLong(&pairs); !slices.Equal(got, want) {
			t.Fatalf("round %d: mergeLong(%v) = %v, want %v", round, ids, got, want)
		}
		if len(ids) == 0 {
			continue
		}
		if got := short.mergeShort(&pairs); !slices.Equal(got, want) {
			t.Fatalf("round %d: mergeShort(%v) = %v, want %v", round, ids, got, want)
		}
	}
}

func mergeByDefinition(pairs *pairTable, ids []int32) []int32 {
	ids = slices.Clone(ids)
	for {
		best, at, merged := noRank, 0, noID
		for i := range max(0, len(ids)-1) {
			if rank, m := pairs.get(ids[i], ids[i+1]); rank < best {
				best, at, merged = rank, i, m
			}
		}
		if best == noRank {
			return ids
		}
		ids = slices.Replace(ids, at, at+2, merged)
	}
}

func TestPairTableAgreesWithMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{0, 1, 2, 3, 7, 8, 9, 1000} {
		table, model := newPairTable(n), map[[2]int32]uint32{}
		for i := range n {
			key := [2]int32{rng.Int32N(40), rng.Int32N(40)}
			table.put(key[0], key[1], uint32(i), int32(i))
			model[key] = uint32(i)
		}
		for a := range int32(40) {
			for b := range int32(40) {
				want, ok := model[[2]int32{a, b}]
				if !ok {
					want = noRank
				}
				if got := table.rank(a, b); got != want {
					t.Fatalf("n %d: rank(%d, %d) = %d, want %d", n, a, b, got, want)
				}
			}
		}
	}
}

// TestUnicodeClasses pins the character classes to those of the reference. If a
// new Go version changes its tables, newLetters, newNumbers and newerNumbers
// have to be compared with the reference again.
func TestUnicodeClasses(t *testing.T) {
	counts := map[string]int{}
	for r := rune(0); r <= unicode.MaxRune; r++ {
		for name, in := range map[string]bool{`\p{L}`: isLetter(r), `\p{N}`: isNumber(r), `\s`: unicode.IsSpace(r), "Digits": isDigitStage(r)} {
			if in {
				counts[name]++
			}
		}
	}
	// Counted by replacing each class in every code point with tokenizers 0.23.3.
	for name, want := range map[string]int{`\p{L}`: 141028, `\p{N}`: 1911, `\s`: 25, "Digits": 1924} {
		if counts[name] != want {
			t.Errorf("%s has %d code points, want %d", name, counts[name], want)
		}
	}
}

// TestScansAgreeWithEngine runs the known patterns on the general engine too.
func TestScansAgreeWithEngine(t *testing.T) {
	texts := readStrings(t)
	for source, scan := range knownScans {
		general, err := compile("(?:" + source + ")")
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range texts {
			// The engine has Go's older tables and does not fold ſ.
			if strings.ContainsFunc(text, func(r rune) bool { return r == 'ſ' || unicode.In(r, newLetters, newNumbers) }) {
				continue
			}
			want, err := general.find(nil, text)
			if err != nil {
				t.Fatal(err)
			}
			got, err := scan.find(nil, text)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%q: %v, %v, want %v", text, got, err, want)
			}
		}
	}
}

func TestSlowExpressionIsStopped(t *testing.T) {
	p, err := compile(`(a+)+$x`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.find(nil, strings.Repeat("a", 5000)); err == nil {
		t.Error("an exponential search ended without an error")
	}
}

func TestValidUTF8(t *testing.T) {
	// The first case is table 3-8 of the Unicode standard, section 3.9.
	for in, want := range map[string]string{
		"a\xF1\x80\x80\xE1\x80\xC2b\x80c\x80\xBFd": "a\uFFFD\uFFFD\uFFFDb\uFFFDc\uFFFD\uFFFDd",
		"":                     "",
		"\xed\xa0\x80":         "\uFFFD\uFFFD\uFFFD",
		"\xf0\x9f\x98":         "\uFFFD",
		"\xf4\x90\x80\x80":     "\uFFFD\uFFFD\uFFFD\uFFFD",
		"\xc0\xaf":             "\uFFFD\uFFFD",
		"\xe0\x80\x80":         "\uFFFD\uFFFD\uFFFD",
		"x\xe2\x82\xacy\uFFFD": "x€y\uFFFD",
	} {
		if got := validUTF8(in); got != want {
			t.Errorf("validUTF8(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestStreamAgreesWithDecode feeds the ids of the test strings to streams.
func TestStreamAgreesWithDecode(t *testing.T) {
	texts := readStrings(t)
	for _, name := range pipelines(t) {
		tk := load(t, filepath.Join(goldenDir, name))
		for _, text := range texts {
			ids, err := tk.Encode(text, true)
			if err != nil {
				t.Fatal(err)
			}
			for _, skip := range []bool{false, true} {
				checkStream(t, tk, ids, skip, tk.Decode(ids, skip))
			}
		}
	}
}

func checkStream(t *testing.T, tk *Tokenizer, ids []int32, skip bool, want string) {
	t.Helper()
	s := tk.Stream(skip)
	var b strings.Builder
	for _, id := range ids {
		part := s.Next(id)
		if !utf8.ValidString(part) {
			t.Errorf("Next(%d) = %q is not UTF-8", id, part)
		}
		b.WriteString(part)
	}
	b.WriteString(s.Flush())
	if got := b.String(); got != want {
		t.Errorf("stream of %v (skip %v) = %q, want %q", ids, skip, got, want)
	}
}

// TestStreamHandsOutTextAtOnce follows a stream step by step.
func TestStreamHandsOutTextAtOnce(t *testing.T) {
	tk := load(t, filepath.Join(goldenDir, "llama2-legacy"))
	piece := func(name string) int32 {
		id, ok := tk.ID(name)
		if !ok {
			t.Fatalf("no piece %q", name)
		}
		return id
	}
	s := tk.Stream(true)
	for _, step := range []struct{ piece, want string }{
		{"<s>", ""},
		{"▁the", "the"},
		{"▁the", " the"},
		{"<0xC3>", ""},
		{"<0xA9>", "é"},
		{"<0xF0>", ""},
		{"<0x9F>", ""},
		{"a", "\uFFFD\uFFFDa"},
		{"<0xFF>", "\uFFFD"},
		{"<0xE2>", ""},
	} {
		if got := s.Next(piece(step.piece)); got != step.want {
			t.Errorf("Next(%s) = %q, want %q", step.piece, got, step.want)
		}
	}
	if got := s.Flush(); got != "\uFFFD" {
		t.Errorf("Flush() = %q, want one U+FFFD", got)
	}
}

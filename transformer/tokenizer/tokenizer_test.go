package tokenizer

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"
)

// smallJSON is a tokenizer.json whose parts a test replaces.
func smallJSON(t testing.TB, parts map[string]string) []byte {
	t.Helper()
	doc := map[string]json.RawMessage{
		"version":      json.RawMessage(`"1.0"`),
		"added_tokens": json.RawMessage(`[{"id":5,"content":"<s>","special":true},{"id":6,"content":"</s>","special":true}]`),
		"model":        json.RawMessage(`{"type":"BPE","vocab":{"a":0,"b":1,"ab":2,"▁":3,"▁a":4},"merges":["a b","▁ a"]}`),
	}
	for k, v := range parts {
		doc[k] = json.RawMessage(v)
	}
	data, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestParseRefusesWhatItDoesNotDo(t *testing.T) {
	for _, c := range []struct {
		part, value string
		want        error
		names       string // what the message must name
	}{
		{"model", `{"type":"Unigram","vocab":[["a",0.5]],"unk_id":0}`, ErrUnsupported, `"Unigram"`},
		{"model", `{"type":"WordPiece","vocab":{"a":0},"unk_token":"a"}`, ErrUnsupported, `"WordPiece"`},
		{"model", `{"type":"BPE","vocab":{"a":0},"merges":[],"dropout":0.1}`, ErrUnsupported, "dropout"},
		{"model", `{"type":"BPE","vocab":{"a":0},"merges":[],"end_of_word_suffix":"</w>"}`, ErrUnsupported, "end_of_word_suffix"},
		{"model", `{"type":"BPE","vocab":{"a":0},"merges":[],"continuing_subword_prefix":"##"}`, ErrUnsupported, "continuing_subword_prefix"},
		{"model", `{"type":"BPE","vocab":{"a":0},"merges":[],"shiny":1}`, ErrUnsupported, "shiny"},
		{"model", `{"type":"BPE","vocab":{"a":0},"merges":["a b"]}`, ErrFormat, `"b"`},
		{"model", `{"type":"BPE","vocab":{"a":0,"b":1},"merges":["a b"]}`, ErrFormat, `"ab"`},
		{"model", `{"type":"BPE","vocab":{"a":0},"merges":["a"]}`, ErrFormat, "merge 0"},
		{"model", `{"type":"BPE","vocab":{"a":0},"merges":[["a","b","c"]]}`, ErrFormat, "3 pieces"},
		{"model", `{"type":"BPE","vocab":{"a":0,"b":0},"merges":[]}`, ErrFormat, "share id 0"},
		{"model", `{"type":"BPE","vocab":{"a":-1},"merges":[]}`, ErrFormat, "id -1"},
		{"model", `{"type":"BPE","vocab":{"a":99999999},"merges":[]}`, ErrFormat, "99999999"},
		{"model", `{"type":"BPE","vocab":{},"merges":[]}`, ErrFormat, "empty"},
		{"model", `null`, ErrFormat, "model"},
		{"version", `"2.0"`, ErrUnsupported, "2.0"},
		{"extra", `1`, ErrUnsupported, "extra"},
		{"normalizer", `{"type":"Precompiled","precompiled_charsmap":""}`, ErrUnsupported, `"Precompiled"`},
		{"normalizer", `{"type":"Sequence","normalizers":[{"type":"Nmt"}]}`, ErrUnsupported, `"Nmt"`},
		{"normalizer", `{"type":"Replace","pattern":{"String":""},"content":"x"}`, ErrUnsupported, "empty pattern"},
		{"normalizer", `{"type":"Replace","pattern":{},"content":"x"}`, ErrFormat, "pattern"},
		{"normalizer", `{"type":"NFC","fast":true}`, ErrUnsupported, "fast"},
		{"normalizer", `{"kind":"NFC"}`, ErrFormat, "type"},
		{"normalizer", strings.Repeat(`{"type":"Sequence","normalizers":[`, 20) + strings.Repeat(`]}`, 20), ErrUnsupported, "nested"},
		{"pre_tokenizer", `{"type":"BertPreTokenizer"}`, ErrUnsupported, `"BertPreTokenizer"`},
		{"pre_tokenizer", `{"type":"Split","pattern":{"Regex":"a++"},"behavior":"Isolated","invert":false}`, ErrUnsupported, "a++"},
		{"pre_tokenizer", `{"type":"Split","pattern":{"Regex":"[[:alpha:]]"},"behavior":"Isolated","invert":false}`, ErrUnsupported, "class"},
		{"pre_tokenizer", `{"type":"Split","pattern":{"Regex":"[^\\W\\d]"},"behavior":"Isolated","invert":false}`, ErrUnsupported, "class"},
		{"pre_tokenizer", `{"type":"Split","pattern":{"Regex":"\\w+"},"behavior":"Isolated","invert":false}`, ErrUnsupported, "\\w"},
		{"pre_tokenizer", `{"type":"Split","pattern":{"Regex":"(?m:a.)"},"behavior":"Isolated","invert":false}`, ErrUnsupported, "(?m:"},
		{"pre_tokenizer", `{"type":"Split","pattern":{"String":"a"},"behavior":"Sideways","invert":false}`, ErrUnsupported, "Sideways"},
		{"pre_tokenizer", `{"type":"Metaspace","replacement":"__"}`, ErrFormat, "__"},
		{"pre_tokenizer", `{"type":"Metaspace","replacement":"▁","prepend_scheme":"last"}`, ErrUnsupported, "last"},
		{"post_processor", `{"type":"BertProcessing","sep":["a",0],"cls":["b",1]}`, ErrUnsupported, `"BertProcessing"`},
		{"post_processor", `{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x","type_id":0}}],"pair":[],"special_tokens":{}}`, ErrFormat, `"x"`},
		{"post_processor", `{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[],"special_tokens":{"x":{"id":"x","ids":[77],"tokens":["x"]}}}`, ErrFormat, "77"},
		{"decoder", `{"type":"WordPiece","prefix":"##","cleanup":true}`, ErrUnsupported, `"WordPiece"`},
		{"decoder", `{"type":"Strip","content":"ab","start":1,"stop":0}`, ErrFormat, "Strip"},
		{"added_tokens", `[{"id":9,"content":"<s>"}]`, ErrFormat, "id 9"},
		{"added_tokens", `[{"id":5,"content":"x"},{"id":5,"content":"x"}]`, ErrFormat, "twice"},
		{"added_tokens", `[{"id":5,"content":""}]`, ErrFormat, "content"},
	} {
		_, err := Parse(smallJSON(t, map[string]string{c.part: c.value}))
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.names) {
			t.Errorf("%s %.80s: error %v, want %v naming %q", c.part, c.value, err, c.want, c.names)
		}
	}
	for _, text := range []string{"", "{", "[]", "null", "{} {}", "{\"version\":\"\xff\"}"} {
		if _, err := Parse([]byte(text)); !errors.Is(err, ErrFormat) {
			t.Errorf("Parse(%q): error %v, want ErrFormat", text, err)
		}
	}
}

func TestMetaspaceFirstBehindStripIsRefused(t *testing.T) {
	_, err := Parse(smallJSON(t, map[string]string{
		"normalizer":    `{"type":"Strip","strip_left":true,"strip_right":false}`,
		"pre_tokenizer": `{"type":"Sequence","pretokenizers":[{"type":"Metaspace","replacement":"▁","prepend_scheme":"first"}]}`,
	}))
	if !errors.Is(err, ErrUnsupported) {
		t.Errorf("error %v, want ErrUnsupported", err)
	}
}

// TestOldMetaspaceWithoutPrefix covers what files wrote before prepend_scheme
// existed; today's reference no longer reads them.
func TestOldMetaspaceWithoutPrefix(t *testing.T) {
	tk, err := Parse(smallJSON(t, map[string]string{"pre_tokenizer": `{"type":"Metaspace","replacement":"▁","add_prefix_space":false}`}))
	if err != nil {
		t.Fatal(err)
	}
	if ids, err := tk.Encode("ab a", false); err != nil || !slices.Equal(ids, []int32{2, 4}) {
		t.Errorf("ids %v, %v, want [2 4]", ids, err)
	}
}

func TestLookups(t *testing.T) {
	tk := load(t, filepath.Join(goldenDir, "llama2-legacy"))
	for id := range int32(tk.Size()) {
		piece := tk.Piece(id)
		if got, ok := tk.ID(piece); !ok || got != id {
			t.Fatalf("ID(Piece(%d) = %q) = %d, %v", id, piece, got, ok)
		}
	}
	for _, id := range []int32{-1, int32(tk.Size()), 1 << 30} {
		if got := tk.Piece(id); got != "" {
			t.Errorf("Piece(%d) = %q, want empty", id, got)
		}
		if got := tk.Decode([]int32{id}, false); got != "" {
			t.Errorf("Decode(%d) = %q, want empty", id, got)
		}
	}
	if id, ok := tk.ID("no such piece"); ok {
		t.Errorf("unknown piece has id %d", id)
	}
	if bos, ok := tk.BOS(); !ok || tk.Piece(bos) != "<s>" || !tk.IsSpecial(bos) {
		t.Errorf("BOS %d %v", bos, ok)
	}
	if eos, ok := tk.EOS(); !ok || tk.Piece(eos) != "</s>" {
		t.Errorf("EOS %d %v", eos, ok)
	}
	if pad, ok := tk.Pad(); ok {
		t.Errorf("Pad %d, want none", pad)
	}
	if tk.IsSpecial(10) {
		t.Error("an ordinary piece is special")
	}
}

func TestLoadConfiguration(t *testing.T) {
	base := smallJSON(t, nil)
	for _, c := range []struct {
		name, config string
		want         []int32
	}{
		{"no config", ``, []int32{0}},
		{"names only", `{"bos_token":"<s>","eos_token":{"content":"</s>"}}`, []int32{0}},
		{"bos", `{"bos_token":"<s>","add_bos_token":true}`, []int32{5, 0}},
		{"both", `{"add_bos_token":true,"add_eos_token":true}`, []int32{5, 0, 6}},
		{"null", `{"bos_token":null,"add_bos_token":null}`, []int32{0}},
	} {
		dir := fstest.MapFS{"tokenizer.json": {Data: base}}
		if c.config != "" {
			dir["tokenizer_config.json"] = &fstest.MapFile{Data: []byte(c.config)}
		}
		tk, err := Load(dir)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if ids, err := tk.Encode("a", true); err != nil || !slices.Equal(ids, c.want) {
			t.Errorf("%s: ids %v, %v, want %v", c.name, ids, err, c.want)
		}
	}
}

func TestConfigurationOverrulesTemplate(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(goldenDir, "llama2-legacy", "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	dir := fstest.MapFS{
		"tokenizer.json":          {Data: data},
		"special_tokens_map.json": {Data: []byte(`{"pad_token":{"content":"<unk>"}}`)},
		"tokenizer_config.json":   {Data: []byte(`{"add_bos_token":false,"add_eos_token":true}`)},
	}
	tk, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if ids, err := tk.Encode("", true); err != nil || !slices.Equal(ids, []int32{2}) {
		t.Errorf("ids %v, %v, want only EOS", ids, err)
	}
	if pad, ok := tk.Pad(); !ok || pad != 0 {
		t.Errorf("Pad %d %v, want 0", pad, ok)
	}
}

func TestLoadErrors(t *testing.T) {
	small := &fstest.MapFile{Data: smallJSON(t, nil)}
	for _, c := range []struct {
		name string
		dir  fstest.MapFS
		want error
	}{
		{"empty", fstest.MapFS{}, fs.ErrNotExist},
		{"bad json", fstest.MapFS{"tokenizer.json": {Data: []byte("{")}}, ErrFormat},
		{"bad model", fstest.MapFS{"tokenizer.model": {Data: []byte{0x0A, 0xFF}}}, ErrFormat},
		{"bad bin", fstest.MapFS{"tok512.bin": {Data: []byte{1, 2, 3}}}, ErrFormat},
		{"two bins", fstest.MapFS{"tok1.bin": {}, "tok2.bin": {}}, ErrFormat},
		{"bad config", fstest.MapFS{"tokenizer.json": small, "tokenizer_config.json": {Data: []byte("[]")}}, ErrFormat},
		{"unknown bos", fstest.MapFS{"tokenizer.json": small, "tokenizer_config.json": {Data: []byte(`{"bos_token":"<x>"}`)}}, ErrFormat},
	} {
		if _, err := Load(c.dir); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", c.name, err, c.want)
		}
	}
}

func TestUnknownCharacters(t *testing.T) {
	without, err := Parse(smallJSON(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	if ids, err := without.Encode("a?b", false); err != nil || !slices.Equal(ids, []int32{2}) {
		t.Errorf("without unk_token: ids %v, %v, want the character dropped before merging", ids, err)
	}
	outside, err := Parse(smallJSON(t, map[string]string{"model": `{"type":"BPE","unk_token":"?","vocab":{"a":0},"merges":[]}`, "added_tokens": "[]"}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := outside.Encode("ab", false); !errors.Is(err, ErrEncode) {
		t.Errorf("unk_token outside the vocabulary: error %v, want ErrEncode", err)
	}
}

func TestInvalidUTF8BecomesReplacement(t *testing.T) {
	for _, name := range pipelines(t) {
		tk := load(t, filepath.Join(goldenDir, name))
		got, err := tk.Encode("a\xffb \xe2\x82 \xed\xa0\x80", false)
		want, wantErr := tk.Encode("a\uFFFDb \uFFFD \uFFFD\uFFFD\uFFFD", false)
		if err != nil || wantErr != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v, want %v, %v", name, got, err, want, wantErr)
		}
	}
}

// TestLongInputIsNotQuadratic encodes long inputs that are one word to the model.
// A quadratic algorithm would need 10^10 steps and more for each; the
// limit leaves a factor of a hundred and more for a busy machine.
func TestLongInputIsNotQuadratic(t *testing.T) {
	const units, limit = 150_000, 20 * time.Second
	for _, name := range []string{"llama2-legacy", "llama2-crossing", "llama3", "gemma", "tekken"} {
		tk := load(t, filepath.Join(goldenDir, name))
		for _, unit := range []string{"a", " ", "é", "\n", "<", " a"} {
			start := time.Now()
			ids, err := tk.Encode(strings.Repeat(unit, units), false)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			tk.Decode(ids, false)
			if took := time.Since(start); took > limit {
				t.Errorf("%s, %d x %q: %v, want at most %v", name, units, unit, took, limit)
			}
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	tk := load(t, filepath.Join(goldenDir, "tekken"))
	texts := readStrings(t)[:300]
	var want [][]int32
	for _, text := range texts {
		ids, err := tk.Encode(text, true)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, ids)
	}
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for i, text := range texts {
				ids, err := tk.Encode(text, true)
				if err != nil || !slices.Equal(ids, want[i]) {
					t.Errorf("Encode(%q) = %v, %v, want %v", text, ids, err, want[i])
				}
				tk.Decode(ids, true)
			}
		})
	}
	wait.Wait()
}

func TestLlama2CAgreesWithItsConversion(t *testing.T) {
	bin := load(t, dataDir(t, "stories260k"))
	hf := load(t, dataDir(t, "stories260k-hf"))
	if bin.Size() != hf.Size() {
		t.Fatalf("sizes %d and %d", bin.Size(), hf.Size())
	}
	for id := range int32(hf.Size()) {
		if bin.Piece(id) != hf.Piece(id) {
			t.Errorf("piece %d: %q, want %q", id, bin.Piece(id), hf.Piece(id))
		}
	}
	for _, text := range readStrings(t) {
		got, err := bin.Encode(text, true)
		want, wantErr := hf.Encode(text, true)
		if err != nil || wantErr != nil || !slices.Equal(got, want) {
			t.Errorf("Encode(%q) = %v, %v, want %v, %v", text, got, err, want, wantErr)
		}
		if g, w := bin.Decode(got, true), hf.Decode(got, true); g != w {
			t.Errorf("Decode(%v) = %q, want %q", got, g, w)
		}
	}
}

package tokenizer

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const goldenDir = "../../testdata/tokenizers"

// maxReported bounds the mismatches that a test prints.
const maxReported = 10

// dataDir is the folder of real models, which is not part of the repository.
func dataDir(t testing.TB, name string) string {
	t.Helper()
	root := os.Getenv("GPUPEFT_DATA")
	if root == "" {
		root = "../../../shared/data"
	}
	dir := filepath.Join(root, name)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("real vocabulary %s is not here (set GPUPEFT_DATA): %v", name, err)
	}
	return dir
}

// readLines decodes gzipped JSON lines.
func readLines(t testing.TB, name string) []json.RawMessage {
	t.Helper()
	f, err := os.Open(filepath.Join(goldenDir, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var lines []json.RawMessage
	scan := bufio.NewScanner(z)
	scan.Buffer(nil, 1<<26)
	for scan.Scan() {
		lines = append(lines, slices.Clone(scan.Bytes()))
	}
	if err := scan.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

func unmarshal[T any](t testing.TB, raw json.RawMessage) (v T) {
	t.Helper()
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func readStrings(t testing.TB) []string {
	var out []string
	for _, line := range readLines(t, "strings.gz") {
		out = append(out, unmarshal[string](t, line))
	}
	return out
}

// golden is what the reference made of a list of strings.
type golden struct {
	Wrap    [2][]int32
	Strings []goldenString
	Decodes []goldenDecode
}

// goldenString holds ids and the two decodes, or their digest.
type goldenString struct {
	digest    string
	ids       []int32
	skip, raw *string
}

func (g *goldenString) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, &g.digest) == nil {
		return nil
	}
	return json.Unmarshal(data, &[]any{&g.ids, &g.skip, &g.raw})
}

type goldenDecode struct {
	ids       []int32
	skip, raw string
}

func (g *goldenDecode) UnmarshalJSON(data []byte) error {
	return json.Unmarshal(data, &[]any{&g.ids, &g.skip, &g.raw})
}

// check compares every encode and decode with the reference.
func (g golden) check(t *testing.T, tk *Tokenizer, texts []string) {
	t.Helper()
	if len(g.Strings) != len(texts) || len(texts) == 0 {
		t.Fatalf("%d goldens for %d strings", len(g.Strings), len(texts))
	}
	var bad reporter
	for i, text := range texts {
		ids, err := tk.Encode(text, false)
		if err != nil {
			bad.report(t, "Encode(%q): %v", text, err)
			continue
		}
		full, err := tk.Encode(text, true)
		if want := slices.Concat(g.Wrap[0], ids, g.Wrap[1]); err != nil || !slices.Equal(full, want) {
			bad.report(t, "Encode(%q, special) = %v, %v, want %v", text, full, err, want)
		}
		g.Strings[i].check(t, &bad, tk, text, ids, full)
	}
	for _, d := range g.Decodes {
		if got := tk.Decode(d.ids, true); got != d.skip {
			bad.report(t, "Decode(%v, skip) = %q, want %q", d.ids, got, d.skip)
		}
		if got := tk.Decode(d.ids, false); got != d.raw {
			bad.report(t, "Decode(%v) = %q, want %q", d.ids, got, d.raw)
		}
	}
	if bad > 0 {
		t.Errorf("%d mismatches", bad)
	}
}

func (g goldenString) check(t *testing.T, bad *reporter, tk *Tokenizer, text string, ids, full []int32) {
	t.Helper()
	skip, raw := tk.Decode(full, true), tk.Decode(full, false)
	if g.digest != "" {
		list := strings.Trim(fmt.Sprint(ids), "[]")
		sum := sha256.Sum256([]byte(list + "\n" + skip + "\n" + raw))
		if hex.EncodeToString(sum[:])[:len(g.digest)] != g.digest {
			bad.report(t, "%q: ids %v, decoded %q and %q: other digest", text, ids, skip, raw)
		}
		return
	}
	if !slices.Equal(ids, g.ids) {
		bad.report(t, "Encode(%q) = %v, want %v", text, ids, g.ids)
		return
	}
	wantSkip := text
	if g.skip != nil {
		wantSkip = *g.skip
	}
	wantRaw := wantSkip
	if g.raw != nil {
		wantRaw = *g.raw
	}
	if skip != wantSkip {
		bad.report(t, "Decode(%v, skip) = %q, want %q", full, skip, wantSkip)
	}
	if raw != wantRaw {
		bad.report(t, "Decode(%v) = %q, want %q", full, raw, wantRaw)
	}
}

// reporter counts mismatches and prints the first ones.
type reporter int

func (r *reporter) report(t *testing.T, format string, args ...any) {
	t.Helper()
	if *r++; *r <= maxReported {
		t.Errorf(format, args...)
	}
}

// pipelines are the folders of goldenDir with a tokenizer.json.
func pipelines(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(goldenDir, "*", "tokenizer.json"))
	if err != nil || len(files) < 18 {
		t.Fatalf("found %d pipelines, want at least 18: %v", len(files), err)
	}
	var names []string
	for _, f := range files {
		names = append(names, filepath.Base(filepath.Dir(f)))
	}
	return names
}

func load(t testing.TB, dir string) *Tokenizer {
	t.Helper()
	tk, err := Load(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	return tk
}

func TestPipelinesAgreeWithReference(t *testing.T) {
	texts := readStrings(t)
	for _, name := range pipelines(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lines := readLines(t, filepath.Join(name, "golden.gz"))
			g := golden{
				Wrap:    unmarshal[[2][]int32](t, lines[0]),
				Strings: unmarshal[[]goldenString](t, lines[1]),
				Decodes: unmarshal[[]goldenDecode](t, lines[2]),
			}
			g.check(t, load(t, filepath.Join(goldenDir, name)), texts)
		})
	}
}

func TestStagesAgreeWithReference(t *testing.T) {
	lines := readLines(t, "stages.gz")
	texts := unmarshal[[]string](t, lines[0])
	for i, line := range lines[1:] {
		stage := unmarshal[struct {
			Tokenizer json.RawMessage
			golden
		}](t, line)
		parts := unmarshal[fileJSON](t, stage.Tokenizer)
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			tk, err := Parse(stage.Tokenizer)
			if err != nil {
				t.Fatalf("%s %s %s: %v", parts.Normalizer, parts.PreTokenizer, parts.Decoder, err)
			}
			stage.golden.check(t, tk, texts)
			if t.Failed() {
				t.Logf("normalizer %s, pre_tokenizer %s, decoder %s", parts.Normalizer, parts.PreTokenizer, parts.Decoder)
			}
		})
	}
}

// spGolden is a string, its SentencePiece ids, and their text.
type spGolden struct {
	text    string
	ids     []int32
	decoded string
}

func (g *spGolden) UnmarshalJSON(data []byte) error {
	return json.Unmarshal(data, &[]any{&g.text, &g.ids, &g.decoded})
}

func checkSentencePiece(t *testing.T, tk *Tokenizer, cases []spGolden) {
	t.Helper()
	var bad reporter
	for _, g := range cases {
		ids, err := tk.Encode(g.text, false)
		if err != nil || !slices.Equal(ids, g.ids) {
			bad.report(t, "Encode(%q) = %v, %v, want %v", g.text, ids, err, g.ids)
			continue
		}
		if got := tk.Decode(ids, false); got != g.decoded {
			bad.report(t, "Decode(%v) = %q, want %q", ids, got, g.decoded)
		}
	}
	if bad > 0 || len(cases) == 0 {
		t.Errorf("%d of %d mismatches", bad, len(cases))
	}
}

func TestSentencePieceAgreesWithReference(t *testing.T) {
	var cases []spGolden
	for _, line := range readLines(t, "sentencepiece/golden.gz") {
		cases = append(cases, unmarshal[spGolden](t, line))
	}
	checkSentencePiece(t, load(t, filepath.Join(goldenDir, "sentencepiece")), cases)
}

func TestRealVocabularies(t *testing.T) {
	lines := readLines(t, "real.gz")
	texts := unmarshal[[]string](t, lines[0])
	for _, line := range lines[1:] {
		row := unmarshal[struct {
			Folder        string
			SentencePiece []spGolden
			golden
		}](t, line)
		file := "tokenizer.json"
		if row.SentencePiece != nil {
			file = "tokenizer.model"
		}
		t.Run(row.Folder+"/"+file, func(t *testing.T) {
			t.Parallel()
			dir := dataDir(t, row.Folder)
			data, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			parse := Parse
			if row.SentencePiece != nil {
				parse = ParseSentencePiece
			}
			tk, err := parse(data)
			if err != nil {
				t.Fatal(err)
			}
			if row.SentencePiece != nil {
				checkSentencePiece(t, tk, row.SentencePiece)
				return
			}
			row.golden.check(t, tk, texts)
		})
	}
}

package tokenizer

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gpupeft/gpupeft/tensor/gguf"
)

// throughGGUF writes a tokenizer into a GGUF file and reads it back.
func throughGGUF(t *testing.T, tok *Tokenizer) *Tokenizer {
	t.Helper()
	kvs, err := tok.GGUF()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := gguf.Write(&b, kvs, nil); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.New(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	back, err := FromGGUF(f)
	if err != nil {
		t.Fatal(err)
	}
	return back
}

// TestGGUF: tokenizers that went through a GGUF file give the same ids and texts.
func TestGGUF(t *testing.T) {
	texts := readStrings(t)
	for _, name := range []string{"llama2-legacy", "gemma", "llama3", "llama3-bos", "smollm2", "tekken", "qwen2", "gpt2", "sentencepiece"} {
		t.Run(name, func(t *testing.T) {
			checkThroughGGUF(t, filepath.Join(goldenDir, name), texts)
		})
	}
	for _, name := range []string{"gemma", "llama2", "mistral-v0.1"} {
		t.Run("real "+name, func(t *testing.T) { checkThroughGGUF(t, dataDir(t, "tokenizers/"+name), texts) })
	}
}

func checkThroughGGUF(t *testing.T, dir string, texts []string) {
	tok, err := Load(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	back := throughGGUF(t, tok)
	bad := 0
	for _, text := range texts {
		for _, special := range []bool{false, true} {
			want, err := tok.Encode(text, special)
			if err != nil {
				t.Fatal(err)
			}
			got, err := back.Encode(text, special)
			if (err != nil || !slices.Equal(got, want) || back.Decode(got, true) != tok.Decode(want, true)) && bad < maxReported {
				bad++
				t.Errorf("%q: ids %v, want %v (%v)", text, got, want, err)
			}
		}
	}
	for _, ids := range [][2]func() (int32, bool){{back.BOS, tok.BOS}, {back.EOS, tok.EOS}} {
		got, ok := ids[0]()
		if want, wantOK := ids[1](); got != want || ok != wantOK {
			t.Errorf("special token %d %v, want %d %v", got, ok, want, wantOK)
		}
	}
}

// TestNotInGGUF: a pipeline that the format can't express is refused.
func TestNotInGGUF(t *testing.T) {
	for _, name := range []string{"metaspace-always", "mistral-v3", "gpt2-prefix", "llama2-nobytes"} {
		tok, err := Load(os.DirFS(filepath.Join(goldenDir, name)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tok.GGUF(); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFromGGUFErrors: metadata that contradict themselves or ask for what isn't known.
func TestFromGGUFErrors(t *testing.T) {
	spm := []gguf.KV{
		{Key: ggufModel, Value: "llama"},
		{Key: ggufTokens, Value: []string{"<unk>", "a", "b"}},
		{Key: ggufScores, Value: []float32{0, 0, -1}},
		{Key: ggufTypes, Value: []int32{2, 1, 1}},
	}
	bpe := []gguf.KV{
		{Key: ggufModel, Value: "gpt2"},
		{Key: ggufPre, Value: "gpt-2"},
		{Key: ggufTokens, Value: []string{"a", "b", "ab"}},
		{Key: ggufMerges, Value: []string{"a b"}},
	}
	with := func(kvs []gguf.KV, key string, value any) []gguf.KV {
		kvs = slices.DeleteFunc(slices.Clone(kvs), func(kv gguf.KV) bool { return kv.Key == key })
		if value != nil {
			kvs = append(kvs, gguf.KV{Key: key, Value: value})
		}
		return kvs
	}
	for name, c := range map[string]struct {
		kvs  []gguf.KV
		want error
	}{
		"good spm":        {spm, nil},
		"good bpe":        {bpe, nil},
		"no model":        {with(spm, ggufModel, nil), ErrFormat},
		"model type":      {with(spm, ggufModel, uint32(1)), ErrFormat},
		"unknown model":   {with(spm, ggufModel, "bert"), ErrUnsupported},
		"no tokens":       {with(spm, ggufTokens, nil), ErrFormat},
		"tokens type":     {with(spm, ggufTokens, []int32{1}), ErrFormat},
		"twice":           {with(spm, ggufTokens, []string{"<unk>", "a", "a"}), ErrFormat},
		"empty token":     {with(spm, ggufTokens, []string{"<unk>", "a", ""}), ErrFormat},
		"no scores":       {with(spm, ggufScores, nil), ErrFormat},
		"few scores":      {with(spm, ggufScores, []float32{0}), ErrFormat},
		"scores type":     {with(spm, ggufScores, []string{"a", "b", "c"}), ErrFormat},
		"few types":       {with(spm, ggufTypes, []int32{1}), ErrFormat},
		"unknown kind":    {with(spm, ggufTypes, []int32{2, 1, 99}), ErrUnsupported},
		"bos outside":     {with(spm, ggufBOS, uint32(3)), ErrFormat},
		"bos type":        {with(spm, ggufBOS, "a"), ErrFormat},
		"add bos type":    {with(spm, ggufAddBOS, uint32(1)), ErrFormat},
		"add space type":  {with(spm, ggufAddSpace, "yes"), ErrFormat},
		"no pre":          {with(bpe, ggufPre, nil), ErrFormat},
		"unknown pre":     {with(bpe, ggufPre, "falcon"), ErrUnsupported},
		"no merges":       {with(bpe, ggufMerges, nil), ErrFormat},
		"merge form":      {with(bpe, ggufMerges, []string{"ab"}), ErrFormat},
		"merge of others": {with(bpe, ggufMerges, []string{"b c"}), ErrFormat},
		"bpe twice":       {with(bpe, ggufTokens, []string{"a", "b", "ab", "a"}), ErrFormat},
	} {
		var b bytes.Buffer
		if err := gguf.Write(&b, c.kvs, nil); err != nil {
			t.Fatal(err)
		}
		f, err := gguf.New(bytes.NewReader(b.Bytes()), int64(b.Len()))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := FromGGUF(f); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

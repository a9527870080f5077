package tokenizer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkEncode reports tokens per second: of the adversarial test strings one
// by one, of 1 MB of English in one call, and of a run of one letter.
func BenchmarkEncode(b *testing.B) {
	for _, name := range []string{"tokenizers/llama2", "tokenizers/gemma"} {
		b.Run(filepath.Base(name), func(b *testing.B) {
			tk := load(b, dataDir(b, name))
			long := []string{strings.Repeat("The gradient of the loss flows back through every layer; \"again\", she said.\n", 13_000)}
			if data, err := os.ReadFile(filepath.Join(dataDir(b, "data"), "tinyshakespeare.txt")); err == nil {
				long = []string{string(data)}
			}
			b.Run("strings", func(b *testing.B) { benchEncode(b, tk, readStrings(b)) })
			b.Run("english", func(b *testing.B) { benchEncode(b, tk, long) })
			b.Run("run", func(b *testing.B) { benchEncode(b, tk, []string{strings.Repeat("a", 200_000)}) })
		})
	}
	b.Run("llama3-split", func(b *testing.B) {
		benchEncode(b, load(b, filepath.Join(goldenDir, "llama3")), readStrings(b))
	})
	b.Run("tekken-split", func(b *testing.B) {
		benchEncode(b, load(b, filepath.Join(goldenDir, "tekken")), readStrings(b))
	})
}

func benchEncode(b *testing.B, tk *Tokenizer, texts []string) {
	b.ReportAllocs()
	tokens := 0
	for b.Loop() {
		for _, text := range texts {
			ids, err := tk.Encode(text, false)
			if err != nil {
				b.Fatal(err)
			}
			tokens += len(ids)
		}
	}
	b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tok/s")
}

func BenchmarkLoad(b *testing.B) {
	for _, name := range []string{"tokenizers/llama2", "tokenizers/gemma"} {
		b.Run(filepath.Base(name), func(b *testing.B) {
			dir := dataDir(b, name)
			b.ReportAllocs()
			for b.Loop() {
				load(b, dir)
			}
		})
	}
}

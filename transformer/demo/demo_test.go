package demo

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io/fs"
	"strings"
	"testing"
)

// Limits on what the binary carries, in bytes.
const (
	maxWeights = 2_200_000
	maxData    = 400_000
	maxAll     = 3_000_000
)

// size returns the bytes of all files below root.
func size(t *testing.T, tree fs.FS) int64 {
	t.Helper()
	var total int64
	err := fs.WalkDir(tree, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		total += info.Size()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return total
}

func read(t *testing.T, tree fs.FS, name string) []byte {
	t.Helper()
	text, err := fs.ReadFile(tree, name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestSizes(t *testing.T) {
	if n := len(read(t, Model(), "model.safetensors")); n > maxWeights {
		t.Errorf("model.safetensors holds %d bytes, want at most %d", n, maxWeights)
	}
	data := size(t, Data())
	if data > maxData {
		t.Errorf("data sets hold %d bytes, want at most %d", data, maxData)
	}
	if all := data + size(t, Model()); all > maxAll {
		t.Errorf("embedded files hold %d bytes, want at most %d", all, maxAll)
	}
}

func TestModelFilesParse(t *testing.T) {
	for _, name := range []string{
		"config.json", "generation_config.json", "tokenizer.json",
		"tokenizer_config.json", "training.json",
	} {
		var value map[string]any
		if err := json.Unmarshal(read(t, Model(), name), &value); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// config holds the fields of config.json that fix the tensors' shapes.
type config struct {
	Hidden       int  `json:"hidden_size"`
	Intermediate int  `json:"intermediate_size"`
	Layers       int  `json:"num_hidden_layers"`
	Heads        int  `json:"num_attention_heads"`
	KVHeads      int  `json:"num_key_value_heads"`
	Vocabulary   int  `json:"vocab_size"`
	Tied         bool `json:"tie_word_embeddings"`
}

// parameters counts the weights that the configuration asks for.
func (c config) parameters() int {
	kv := c.Hidden / c.Heads * c.KVHeads
	attention := 2*c.Hidden*c.Hidden + 2*c.Hidden*kv
	mlp := 3 * c.Hidden * c.Intermediate
	return c.Vocabulary*c.Hidden + c.Layers*(attention+mlp+2*c.Hidden) + c.Hidden
}

func TestWeightsMatchConfig(t *testing.T) {
	var c config
	if err := json.Unmarshal(read(t, Model(), "config.json"), &c); err != nil {
		t.Fatal(err)
	}
	if !c.Tied {
		t.Fatal("embeddings are not tied")
	}
	weights := read(t, Model(), "model.safetensors")
	length := binary.LittleEndian.Uint64(weights)
	var header map[string]json.RawMessage
	if err := json.Unmarshal(weights[8:8+length], &header); err != nil {
		t.Fatal(err)
	}
	delete(header, "__metadata__")
	const perLayer = 9 // q, k, v, o, gate, up, down and two norms
	if want := perLayer*c.Layers + 2; len(header) != want {
		t.Errorf("%d tensors, want %d", len(header), want)
	}
	const float16 = 2 // bytes
	if got, want := len(weights)-8-int(length), float16*c.parameters(); got != want {
		t.Errorf("%d bytes of weights, want %d", got, want)
	}
}

func TestTokenizerHasEveryID(t *testing.T) {
	var file struct {
		Model struct {
			Vocab        map[string]int `json:"vocab"`
			ByteFallback bool           `json:"byte_fallback"`
		} `json:"model"`
	}
	if err := json.Unmarshal(read(t, Model(), "tokenizer.json"), &file); err != nil {
		t.Fatal(err)
	}
	if !file.Model.ByteFallback {
		t.Error("byte_fallback is off")
	}
	seen := make([]bool, len(file.Model.Vocab))
	for token, id := range file.Model.Vocab {
		if id < 0 || id >= len(seen) || seen[id] {
			t.Fatalf("token %q has id %d of %d, out of range or taken", token, id, len(seen))
		}
		seen[id] = true
	}
	for token, want := range map[string]int{"<unk>": 0, "<s>": 1, "</s>": 2, "<0x00>": 3} {
		if got := file.Model.Vocab[token]; got != want {
			t.Errorf("token %s has id %d, want %d", token, got, want)
		}
	}
	for _, label := range []string{"▁good", "▁bad"} {
		if _, ok := file.Model.Vocab[label]; !ok {
			t.Errorf("label %q is not one token", label)
		}
	}
}

// row is one line of a prompt/completion file.
type row struct {
	Prompt     string `json:"prompt"`
	Completion string `json:"completion"`
}

func rows(t *testing.T, name string) []row {
	t.Helper()
	var found []row
	for i, line := range bytes.Split(bytes.TrimSpace(read(t, Data(), name)), []byte("\n")) {
		var r row
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%s line %d: %v", name, i+1, err)
		}
		found = append(found, r)
	}
	return found
}

func TestRows(t *testing.T) {
	tests := []struct {
		set          string
		train, valid int
	}{
		{"sentiment", 1500, 200},
		{"questions", 650, 100},
	}
	for _, test := range tests {
		t.Run(test.set, func(t *testing.T) {
			train, valid := rows(t, test.set+"/train.jsonl"), rows(t, test.set+"/valid.jsonl")
			if len(train) != test.train || len(valid) != test.valid {
				t.Errorf("%d and %d rows, want %d and %d", len(train), len(valid), test.train, test.valid)
			}
			seen := map[string]bool{}
			for _, r := range append(train, valid...) {
				if seen[r.Prompt] {
					t.Errorf("prompt occurs twice: %q", r.Prompt)
				}
				seen[r.Prompt] = true
				if !strings.HasSuffix(r.Prompt, ":") || !strings.HasPrefix(r.Completion, " ") {
					t.Errorf("row does not join at a space: %+v", r)
				}
			}
		})
	}
}

func TestSentimentIsBalanced(t *testing.T) {
	for _, name := range []string{"sentiment/train.jsonl", "sentiment/valid.jsonl"} {
		counts := map[string]int{}
		all := rows(t, name)
		for _, r := range all {
			counts[r.Completion]++
		}
		if half := len(all) / 2; counts[" good"] != half || counts[" bad"] != half {
			t.Errorf("%s: labels %v, want %d of each", name, counts, half)
		}
	}
}

func TestTextDiffers(t *testing.T) {
	train := string(read(t, Data(), "text/train.txt"))
	for _, entry := range strings.Split(string(read(t, Data(), "text/valid.txt")), "\n\n") {
		if strings.Contains(train, entry) {
			t.Errorf("validation entry occurs in the training text: %q", entry)
		}
	}
}

package transformer_test

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gpupeft/gpupeft/internal/backends"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/optest"
	"github.com/gpupeft/gpupeft/transformer"
	"github.com/gpupeft/gpupeft/transformer/tokenizer"
)

// smolLM2 is testdata/smollm2/golden.json.gz: what HF gives for a real 4-bit model, with
// its weights unpacked.
type smolLM2 struct {
	Greedy []struct {
		Text string
		IDs  []int32
		New  []int32
	}
	VocabStep int `json:"vocab_step"`
	Logits    []struct {
		IDs       []int32
		Top       []int32
		LogSumExp []float64
		Logits    [][]float64
	}
	Perplexity struct {
		File       string
		Characters int
		SHA256     string `json:"text_sha256"`
		Tokens     int
		Window     int
		WindowNLL  []float64 `json:"window_nll"`
		Targets    int
		Perplexity float64
	}
}

// openSmolLM2 opens SmolLM2-135M-Instruct in Q4_1, which isn't in the repository.
func openSmolLM2(t *testing.T) (*transformer.Checkpoint, *tokenizer.Tokenizer, smolLM2) {
	t.Helper()
	dir := filepath.Join("..", "out", "smollm2")
	if _, err := os.Stat(filepath.Join(dir, "model.gguf")); err != nil {
		if os.Getenv("GPUPEFT_REQUIRE_SMOLLM2") == "1" {
			t.Fatal(err)
		}
		t.Skip("the real model is not here: make smollm2 gets it")
	}
	c, err := transformer.OpenGGUF(os.DirFS(dir), "model.gguf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	tok, err := tokenizer.FromGGUF(c.GGUF)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join("..", "testdata", "smollm2", "golden.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var g smolLM2
	if err := json.NewDecoder(z).Decode(&g); err != nil {
		t.Fatal(err)
	}
	return c, tok, g
}

func loadSmolLM2(t *testing.T, b tensor.Backend, c *transformer.Checkpoint) *transformer.Model {
	t.Helper()
	m, err := c.Load(t.Context(), b, transformer.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// TestSmolLM2Greedy: the answers are HF's, token for token.
func TestSmolLM2Greedy(t *testing.T) {
	c, tok, g := openSmolLM2(t)
	b := tensor.NewCPU(0)
	defer b.Close()
	m := loadSmolLM2(t, b, c)
	if len(g.Greedy) != 20 {
		t.Fatalf("%d prompts", len(g.Greedy))
	}
	for _, p := range g.Greedy {
		ids, err := tok.Encode(p.Text, false)
		if err != nil || !slices.Equal(ids, p.IDs) {
			t.Errorf("%q: ids %v, want %v (%v)", p.Text, ids, p.IDs, err)
		}
		r := mustRun(t, m, transformer.RunOptions{Batch: 1, Length: len(p.IDs), Context: len(p.IDs) + len(p.New)})
		var got []int32
		for id, err := range r.Generate(t.Context(), p.IDs, transformer.Generation{MaxTokens: len(p.New)}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, id)
		}
		if !slices.Equal(got, p.New) {
			t.Errorf("%q: %q, want %q", p.Text, tok.Decode(got, false), tok.Decode(p.New, false))
		}
		r.Close()
	}
}

// TestSmolLM2Logits: the logits of every position are HF's, on every device.
func TestSmolLM2Logits(t *testing.T) {
	c, _, g := openSmolLM2(t)
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		m := loadSmolLM2(t, b, c)
		for _, text := range g.Logits {
			logits := logitsOfAll(t, m, text.IDs)
			vocab := m.Config.VocabSize
			var got, want []float64
			for i, row := range text.Logits {
				all := logits[i*vocab:][:vocab]
				for j, v := range row {
					got, want = append(got, float64(all[j*g.VocabStep])), append(want, v)
				}
				got, want = append(got, logSumExp(all)), append(want, text.LogSumExp[i])
				if best := slices.Index(all, slices.Max(all)); best != int(text.Top[i]) {
					t.Errorf("position %d: token %d is the most likely one, want %d", i, best, text.Top[i])
				}
			}
			if e := optest.NMSE(got, want); !(e <= optest.Tolerance) {
				t.Errorf("NMSE %.3g, want at most %g", e, optest.Tolerance)
			}
		}
	})
}

func logitsOfAll(t *testing.T, m *transformer.Model, ids []int32) []float32 {
	t.Helper()
	r := mustRun(t, m, transformer.RunOptions{Batch: 1, Length: len(ids)})
	if err := r.Forward(t.Context(), transformer.Batch{IDs: [][]int32{ids}}); err != nil {
		t.Fatal(err)
	}
	logits, err := r.Logits(t.Context(), r.Rows())
	if err != nil {
		t.Fatal(err)
	}
	return logits
}

func logSumExp(logits []float32) float64 {
	most, sum := float64(slices.Max(logits)), 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v) - most)
	}
	return most + math.Log(sum)
}

// TestSmolLM2Perplexity: the perplexity on the beginning of WikiText-2 is HF's.
func TestSmolLM2Perplexity(t *testing.T) {
	const most = 1e-3 // relative
	c, tok, g := openSmolLM2(t)
	p := g.Perplexity
	root := os.Getenv("GPUPEFT_DATA")
	if root == "" {
		root = "../../shared/data"
	}
	text, err := os.ReadFile(filepath.Join(root, "data", p.File))
	if err != nil {
		t.Skipf("the text is not here (set GPUPEFT_DATA): %v", err)
	}
	part := string([]rune(string(text))[:p.Characters])
	if sum := sha256.Sum256([]byte(part)); hex.EncodeToString(sum[:]) != p.SHA256 {
		t.Fatal("the text is another one than HF read")
	}
	ids, err := tok.Encode(part, false)
	if err != nil || len(ids) != p.Tokens {
		t.Fatalf("%d tokens, want %d (%v)", len(ids), p.Tokens, err)
	}
	b := tensor.NewCPU(0)
	defer b.Close()
	r := mustRun(t, loadSmolLM2(t, b, c), transformer.RunOptions{Batch: 1, Length: p.Window})
	windows := p.WindowNLL
	if testing.Short() {
		windows = windows[:2]
	}
	nll, targets, want := 0.0, 0, 0.0
	for i, hf := range windows {
		window := ids[i*p.Window : min((i+1)*p.Window, len(ids))]
		loss := lossOf(t.Context(), t, r, window)
		nll, targets, want = nll+loss.Sum, targets+loss.Tokens, want+hf
	}
	n := float64(targets)
	if got, ppl := math.Exp(nll/n), math.Exp(want/n); math.Abs(got-ppl) > most*ppl {
		t.Errorf("perplexity %v, HF has %v", got, ppl)
	}
	if !testing.Short() && targets != p.Targets {
		t.Errorf("%d targets, want %d", targets, p.Targets)
	}
}

func lossOf(ctx context.Context, t *testing.T, r *transformer.Run, ids []int32) transformer.Loss {
	t.Helper()
	if err := r.Forward(ctx, transformer.Batch{IDs: [][]int32{ids}, Labels: [][]int32{ids}}); err != nil {
		t.Fatal(err)
	}
	loss, err := r.Loss(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return loss
}

package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type wroteModel struct {
	Out   string
	Bytes int64
	Types []struct {
		Type    string
		Tensors int
		Bytes   int64
	}
	MeanKL float64 `json:"mean_kl"`
	MaxKL  float64 `json:"max_kl"`
	Agree  float64 `json:"top1_agreement"`
}

// TestQuantize: the built-in model in each form loads, and predicts the text that it was
// trained on nearly as well as before. It is small, so that it loses much in four bits.
func TestQuantize(t *testing.T) {
	type judged struct{ Base struct{ Loss *float64 } }
	loss := func(model string) float64 {
		args := []string{"eval", "--device", "cpu", "--json", "--data", "../transformer/demo/data/text"}
		if model != "" {
			args = append(args, "--model", model)
		}
		return *decode[judged](t, must(t, args...).out).Base.Loss
	}
	plain := loss("")
	for dt, c := range map[string]struct {
		out  string
		most float64 // difference of the loss
	}{"q8_0": {"m.gguf", 0.01}, "q4_0": {"m.gguf", 0.3}, "q4_k": {"m.GGUF", 0.3}, "nf4": {"dir", 0.3}, "f16": {"m.gguf", 1e-3}, "f32": {"dir", 1e-6}} {
		t.Run(dt, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), c.out)
			r := decode[wroteModel](t, must(t, "quantize", "--to", dt, "--out", out, "--json").out)
			if r.Out != out || r.Bytes == 0 || len(r.Types) == 0 {
				t.Errorf("%+v", r)
			}
			if d := loss(out) - plain; d > c.most || d < -c.most {
				t.Errorf("the loss changes by %v", d)
			}
			if left, err := filepath.Glob(filepath.Join(filepath.Dir(out), ".*")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
			if text := must(t, "tokenize", "--model", out, "A good film.").out; text != must(t, "tokenize", "A good film.").out {
				t.Errorf("other tokens: %s", text)
			}
		})
	}
}

func TestQuantizeErrors(t *testing.T) {
	dir := t.TempDir()
	there := write(t, dir, "there.gguf", "")
	small := filepath.Join(dir, "small.gguf")
	must(t, "quantize", "--to", "q8_0", "--out", small)
	for name, c := range map[string]struct {
		args string
		code int
		says string
	}{
		"no type":        {"--out " + dir + "/a.gguf", 2, "--to"},
		"unknown type":   {"--to q3_k --out " + dir + "/a.gguf", 2, `"q3_k"`},
		"no out":         {"--to q8_0", 2, "--out"},
		"out is there":   {"--to q8_0 --out " + there, 2, "is there already"},
		"nf4 as GGUF":    {"--to nf4 --out " + dir + "/a.gguf", 2, "no form in GGUF"},
		"q4_0 as a dir":  {"--to q4_0 --out " + dir + "/a", 2, "no form in a Hugging Face directory"},
		"packed already": {"--to q4_0 --out " + dir + "/a.gguf --model " + small, 1, "q8_0 already"},
		"no such model":  {"--to q4_0 --out " + dir + "/a.gguf --model " + dir + "/none", 1, "none"},
		"empty GGUF":     {"--to q4_0 --out " + dir + "/a.gguf --model " + there, 1, "there.gguf"},
		"no tokenizer":   {"--to f16 --out " + dir + "/a.gguf --model " + tiny, 1, "tokenizer"},
	} {
		t.Run(name, func(t *testing.T) {
			checkLine(t, run(t, append([]string{"quantize"}, strings.Fields(c.args)...)...), c.code, c.says)
			if _, err := os.Stat(dir + "/a.gguf"); err == nil {
				t.Error("a file was left")
			}
		})
	}
}

// TestMerge: a merged model predicts what the model with the adapter does, up to what
// its type rounds.
func TestMerge(t *testing.T) {
	dir := t.TempDir()
	adapter := filepath.Join(dir, "adapter")
	must(t, "tune", "--device", "cpu", "--steps", "20", "--quiet", "--out", adapter)
	for name, c := range map[string]struct {
		args string
		most float64 // mean KL
	}{
		"as it was": {"--out DIR/plain", 1e-6},
		"f16 GGUF":  {"--to f16 --out DIR/f16.gguf", 1e-4},
		"q8_0 GGUF": {"--to q8_0 --out DIR/q8.gguf", 1e-2},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"merge", "--device", "cpu", "--adapter", adapter, "--json"}, strings.Fields(strings.ReplaceAll(c.args, "DIR", dir))...)
			r := decode[wroteModel](t, must(t, args...).out)
			if !(r.MeanKL <= c.most) || r.MaxKL < r.MeanKL || r.Agree < 0.9 {
				t.Errorf("%+v, want a mean KL of at most %g", r, c.most)
			}
		})
	}
	quant := filepath.Join(dir, "base.gguf")
	must(t, "quantize", "--to", "q4_0", "--out", quant)
	r := decode[wroteModel](t, must(t, "merge", "--device", "cpu", "--model", quant, "--adapter", adapter, "--out", filepath.Join(dir, "again.gguf"), "--json").out)
	if kinds := r.Types; len(kinds) != 3 || !(r.MeanKL < 0.5) {
		t.Errorf("%+v, want the types of the base", r)
	}
	prompt := filepath.Join(dir, "prompt")
	must(t, "tune", "--device", "cpu", "--method", "prompt", "--steps", "2", "--quiet", "--out", prompt)
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"soft prompt":     {[]string{"--adapter", prompt, "--out", filepath.Join(dir, "p")}, 1, "no change of matrices"},
		"no adapter":      {[]string{"--out", filepath.Join(dir, "p")}, 2, "--adapter"},
		"GGUF into a dir": {[]string{"--model", quant, "--adapter", adapter, "--out", filepath.Join(dir, "p")}, 2, "name a FILE.gguf"},
	} {
		t.Run(name, func(t *testing.T) {
			checkLine(t, run(t, append([]string{"merge", "--device", "cpu"}, c.args...)...), c.code, c.says)
		})
	}
}

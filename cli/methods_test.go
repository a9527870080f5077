package cli_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/peft/formats"
)

// tuneMethods are the values of --method with flags of theirs, and the format that they
// are saved in.
var tuneMethods = []struct {
	flags  string
	format formats.Format
}{
	{"lora --rank 4 --dropout 0.1 --lora-plus-ratio 4 --rank-pattern up_proj=2 --alpha-pattern up_proj=8", formats.PEFT},
	{"lora --target-modules embed_tokens,lm_head,q_proj", formats.PEFT},
	{"lora --num-layers 1 --modules-to-save lm_head", formats.PEFT},
	{"dora --rslora --target-modules q_proj,v_proj", formats.PEFT},
	{"ia3", formats.PEFT},
	{"ln-tuning", formats.PEFT},
	{"tokens --token-ids 3,10,17", formats.PEFT},
	{"full --target-modules o_proj", formats.PEFT},
	{"prompt --virtual-tokens 4", formats.PEFT},
	{"ptuning --virtual-tokens 4 --encoder-hidden 8", formats.PEFT},
	{"ptuning --virtual-tokens 4 --encoder lstm --encoder-hidden 8", formats.PEFT},
	{"prefix --virtual-tokens 4 --prompt-init random", formats.PEFT},
	{"prefix --virtual-tokens 4 --encoder-hidden 8", formats.PEFT},
	{"mpt --virtual-tokens 4 --tasks 2 --task-rank 2", formats.PEFT},
	{"llama-adapter --virtual-tokens 4", formats.PEFT},
	{"llama-adapter-v2 --virtual-tokens 4 --num-layers 2", formats.PEFT},
	{"seq-bn --reduction-factor 4", formats.AdapterHub},
	{"double-seq-bn --non-linearity gelu", formats.AdapterHub},
	{"par-bn", formats.AdapterHub},
}

// TestTuneMethods trains with every method, evaluates the saved adapter to the same
// loss, and goes on from it.
func TestTuneMethods(t *testing.T) {
	rows := taskRows(t)
	for _, m := range tuneMethods {
		t.Run(m.flags, func(t *testing.T) {
			dir := t.TempDir()
			out := filepath.Join(dir, "adapter")
			args := []string{"--device", "cpu", "--model", filepath.Join(golden, "llama3"), "--data", rows}
			tune := append([]string{"tune", "--steps", "20", "--lr", "0.01", "--eval-batches", "0", "--json"}, args...)
			got := decode[tuned](t, must(t, append(append(tune, "--out", out, "--method"), strings.Fields(m.flags)...)...).out)
			if *got.LossAfter >= *got.LossBefore || got.Method != strings.Fields(m.flags)[0] || got.Params == 0 {
				t.Errorf("got %+v, loss %v before, %v after", got, *got.LossBefore, *got.LossAfter)
			}
			if _, f, err := formats.Read(out, formats.Options{}); err != nil || f != m.format {
				t.Errorf("saved as %v, %v", f, err)
			}
			again := decode[tuned](t, must(t, append(tune, "--init-adapter", out, "--out", filepath.Join(dir, "more"))...).out)
			if math.Abs(*again.LossBefore-*got.LossAfter) > 1e-6*(*got.LossAfter) {
				t.Errorf("loss %v after, %v before going on", *got.LossAfter, *again.LossBefore)
			}
			inspected := must(t, "inspect-adapter", out)
			if !strings.Contains(inspected.out, "method    ") || !strings.Contains(inspected.out, "converts  to ") {
				t.Errorf("inspect-adapter: %q", inspected.out)
			}
		})
	}
}

// taskRows are ready rows of two tasks, with a file to evaluate on.
func taskRows(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	text, err := os.ReadFile(readyRows(t, t.TempDir(), 40))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for i, line := range slices.Collect(strings.Lines(string(text))) {
		lines = append(lines, strings.Replace(line, "{", fmt.Sprintf(`{"task":%d,`, i%2), 1))
	}
	write(t, dir, "train.jsonl", strings.Join(lines, ""))
	write(t, dir, "valid.jsonl", strings.Join(lines[:9], ""))
	return dir
}

// TestConvert writes LoRA in each format and evaluates it to the same loss.
func TestConvert(t *testing.T) {
	dir, rows, model := t.TempDir(), taskRows(t), filepath.Join(golden, "llama3")
	adapter := filepath.Join(dir, "adapter")
	must(t, "tune", "--device", "cpu", "--model", model, "--data", rows, "--steps", "5", "--lr", "0.01", "--target-modules", "q_proj,k_proj,v_proj",
		"--out", adapter, "--quiet")
	type evaluation struct{ Base, Tuned struct{ Loss float64 } }
	eval := func(adapters ...string) evaluation {
		args := []string{"eval", "--device", "cpu", "--model", model, "--data", rows, "--json"}
		for _, a := range adapters {
			args = append(args, "--adapter", a)
		}
		return decode[evaluation](t, must(t, args...).out)
	}
	want := eval(adapter)
	for _, f := range formats.Writable() {
		out := filepath.Join(dir, string(f))
		must(t, "convert", "--adapter", adapter, "--model", model, "--to", string(f), "--out", out)
		if got := eval(out); math.Abs(got.Tuned.Loss-want.Tuned.Loss) > 1e-6 {
			t.Errorf("%s: loss %v, want %v", f, got.Tuned.Loss, want.Tuned.Loss)
		}
		if r := run(t, "convert", "--adapter", adapter, "--to", "peft", "--out", out); r.code != 2 || !strings.Contains(r.err, "exists") {
			t.Errorf("%s: overwritten: %+v", f, r)
		}
	}
	if got := eval(adapter+":0.25", filepath.Join(dir, "mlx:0.75")); math.Abs(got.Tuned.Loss-want.Tuned.Loss) > 1e-5 {
		t.Errorf("a quarter and three quarters: loss %v, want %v", got.Tuned.Loss, want.Tuned.Loss)
	}
	if got := eval(adapter + ":0"); math.Abs(got.Tuned.Loss-got.Base.Loss) > 1e-6 {
		t.Errorf("nothing of the adapter: loss %v, want %v", got.Tuned.Loss, got.Base.Loss)
	}
	both := filepath.Join(dir, "both")
	made := decode[struct{ Rank int }](t, must(t, "combine", "--adapter", adapter+":0.25", "--adapter", filepath.Join(dir, "mlx:0.75"), "--out", both, "--json").out)
	if got := eval(both); math.Abs(got.Tuned.Loss-want.Tuned.Loss) > 1e-5 || made.Rank != 16 {
		t.Errorf("combined: loss %v, rank %d, want %v, 16", got.Tuned.Loss, made.Rank, want.Tuned.Loss)
	}
	for args, says := range map[string]string{
		"combine --adapter " + adapter:                                          "--adapter and --out are needed",
		"combine --how mean --adapter " + adapter + " --out " + dir + "/x":      "known: cat, svd",
		"combine --majority vote --adapter " + adapter + " --out " + dir + "/x": "known: total, frequency",
		"combine --adapter " + adapter + " --out " + both:                       "exists",
		"combine --adapter " + dir + "/none --out " + dir + "/x":                "no such file or directory",
		"convert --to mlx --out x":                                              "--adapter is missing",
		"convert --adapter " + adapter + " --to zip --out " + dir + "/x":        `format "zip" (known: peft, adapterhub, mlx, gguf)`,
		"convert --adapter " + adapter + " --to gguf --out " + dir + "/x":       "which model is it for?",
		"convert --adapter " + dir + "/none --to mlx --out " + dir + "/x":       "no such file or directory",
		"convert --adapter " + dir + " --to mlx --out " + dir + "/x":            "is no adapter",
		"inspect-adapter":                    "want one directory or file",
		"inspect-adapter --top 0 " + adapter: "--top 0",
		"eval --model " + model + " --data " + rows + " --adapter " + adapter + ":x": "no such file or directory",
	} {
		if r := run(t, strings.Fields(args)...); r.code == 0 || !strings.Contains(r.err, says) {
			t.Errorf("gpupeft %s: exit code %d, error %q, want %q in it", args, r.code, r.err, says)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestInspectPrompt names the tokens that a prompt started from.
func TestInspectPrompt(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "prompt")
	must(t, "tune", "--device", "cpu", "--method", "prompt", "--virtual-tokens", "2", "--prompt-init-text", "good bad", "--steps", "1", "--lr", "1e-6",
		"--val-split", "0", "--out", out, "--quiet")
	type inspected struct {
		Method   string
		Params   int
		Prompt   [][]struct{ Text string }
		Writable map[string]string
	}
	got := decode[inspected](t, must(t, "inspect-adapter", "--model", demoModel(t), "--json", out).out)
	if got.Method != "prompt" || got.Params != 2*128 || got.Writable["peft"] != "" || !strings.Contains(got.Writable["gguf"], "prompt") {
		t.Errorf("got %+v", got)
	}
	for i, want := range []string{"good", "bad"} {
		if len(got.Prompt) != 2 || strings.TrimSpace(got.Prompt[i][0].Text) != want {
			t.Errorf("vector %d is near %v, want %q", i, got.Prompt, want)
		}
	}
}

// demoModel is the built-in model's directory.
func demoModel(t *testing.T) string {
	t.Helper()
	return filepath.Join("..", "transformer", "demo", "model")
}

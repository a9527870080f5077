package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/cli"
)

const (
	golden = "../testdata/golden"
	tiny   = golden + "/llama2"
)

// result is what a command line gave.
type result struct {
	code     int
	out, err string
}

// run executes a command line.
func run(t *testing.T, args ...string) result {
	t.Helper()
	return runWith(t, t.Context(), strings.NewReader(""), args...)
}

func runWith(t *testing.T, ctx context.Context, in io.Reader, args ...string) result {
	t.Helper()
	var out, err bytes.Buffer
	code := cli.Run(ctx, append([]string{"gpupeft"}, args...), in, &out, &err)
	return result{code, out.String(), err.String()}
}

// must executes a command line that has to succeed.
func must(t *testing.T, args ...string) result {
	t.Helper()
	r := run(t, args...)
	if r.code != 0 {
		t.Fatalf("gpupeft %s: exit code %d: %s", strings.Join(args, " "), r.code, r.err)
	}
	return r
}

// decode reads the one JSON value that text is.
func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	d := json.NewDecoder(strings.NewReader(text))
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	if _, err := d.Token(); err != io.EOF {
		t.Fatalf("more than one value: %q", text)
	}
	return v
}

// write makes a file and returns its path.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// readyRows writes n rows of ids below 50 that a model can learn: each is a count
// with its own step.
func readyRows(t *testing.T, dir string, n int) string {
	t.Helper()
	var b strings.Builder
	for i := range n {
		var ids, labels []string
		for k := range 12 {
			id := fmt.Sprint(3 + (7*i+k*(1+i%3))%40)
			ids, labels = append(ids, id), append(labels, id)
		}
		labels[0], labels[1] = "-100", "-100"
		fmt.Fprintf(&b, "{\"input_ids\":[%s],\"labels\":[%s]}\n", strings.Join(ids, ","), strings.Join(labels, ","))
	}
	return write(t, dir, "rows.jsonl", b.String())
}

// checkLine makes sure that an error is one clear line.
func checkLine(t *testing.T, r result, code int, says string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d: %s", r.code, code, r.err)
	}
	var lines []string
	for line := range strings.Lines(r.err) {
		if strings.HasPrefix(line, "gpupeft: ") {
			lines = append(lines, line)
		}
	}
	if len(lines) != 1 || !strings.HasSuffix(r.err, "\n") {
		t.Fatalf("errors %q, want one line", r.err)
	}
	text := strings.TrimPrefix(lines[0], "gpupeft: ")
	if !strings.Contains(text, says) {
		t.Errorf("error %q, want %q in it", text, says)
	}
	if first := text[:1]; first != strings.ToLower(first) {
		t.Errorf("error %q begins in upper case", text)
	}
	if strings.Contains(text, "failed to") || strings.Contains(text, "%!") {
		t.Errorf("error %q", text)
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{}, {"help"}, {"--help"}, {"-h"}} {
		r := must(t, args...)
		for _, name := range []string{"tune", "generate", "eval", "devices", "tokenize", "version", "help"} {
			if !strings.Contains(r.out, "\n   "+name+" ") {
				t.Errorf("%q: no command %s in %q", args, name, r.out)
			}
		}
	}
	for name, flags := range map[string][]string{
		"tune": {
			"--device DEVICE", "--steps", "--batch-size", "--grad-accum", "--lr RATE", "--lr-schedule", "--seed", "--no-shuffle",
			"--init-adapter", "--log-jsonl", "--json", "--max-grad-norm", "--val-split", "--eval-every", "--warmup-steps",
			"--weight-decay", "--model", "--data", "--method", "--rank", "--alpha", "(default: 8)",
		},
		"generate": {"--model", "--adapter", "--prompt", "-p", "--max-tokens", "--temperature", "--top-k", "--top-p", "--seed", "--device"},
		"eval":     {"--model", "--adapter", "--data", "--device", "--json"},
		"tokenize": {"--model", "--jsonl", "--special", "--decode"},
		"devices":  {"--json"},
		"version":  {"--json"},
	} {
		for _, args := range [][]string{{"help", name}, {name, "--help"}} {
			r := must(t, args...)
			for _, flag := range flags {
				if !strings.Contains(r.out, flag) {
					t.Errorf("%q: %s is missing", args, flag)
				}
			}
		}
	}
}

func TestVersion(t *testing.T) {
	if r := must(t, "version"); !strings.HasPrefix(r.out, "gpupeft ") || strings.Count(r.out, "\n") != 1 {
		t.Errorf("got %q", r.out)
	}
	v := decode[map[string]any](t, must(t, "version", "--json").out)
	for _, field := range []string{"version", "go", "platform"} {
		if s, ok := v[field].(string); !ok || s == "" {
			t.Errorf("field %q is %v", field, v[field])
		}
	}
}

func TestDevices(t *testing.T) {
	type list struct {
		Devices []struct{ Device, Name, Type, Error string }
		Auto    struct{ Device, Reason string }
	}
	l := decode[list](t, must(t, "devices", "--json").out)
	if len(l.Devices) == 0 || l.Devices[0].Device != "cpu" || l.Auto.Device == "" || l.Auto.Reason == "" {
		t.Errorf("got %+v", l)
	}
	if r := must(t, "devices"); !strings.Contains(r.out, "--device auto takes "+l.Auto.Device+": "+l.Auto.Reason) {
		t.Errorf("got %q", r.out)
	}
}

func TestUsageErrors(t *testing.T) {
	dir := t.TempDir()
	rows := readyRows(t, dir, 20)
	full := t.TempDir()
	write(t, full, "mine.txt", "keep")
	tests := []struct{ args, says string }{
		{"nonsense", `unknown command "nonsense"`},
		{"help nonsense", `unknown command "nonsense"`},
		{"--nonsense", "unknown flag --nonsense"},
		{"tune --nonsense", "unknown flag --nonsense (see: gpupeft help tune)"},
		{"tune extra", `unexpected argument "extra"`},
		{"tune --steps many", "--steps many"},
		{"tune --steps", "--steps needs a value"},
		{"tune --steps 0", "--steps 0: want at least 1"},
		{"tune --steps 5 --epochs 5", "--steps and --epochs"},
		{"tune --warmup-steps 5 --warmup-ratio 0.1", "--warmup-steps and --warmup-ratio"},
		{"tune --lr 0", "--lr 0: want more than 0"},
		{"tune --lr NaN", "--lr NaN"},
		{"tune --val-split 1", "--val-split 1: want 0 to 0.9"},
		{"tune --batch-size -1", "--batch-size -1"},
		{"tune --weight-decay -1", "--weight-decay -1"},
		{"tune --max-seq-length 1", "--max-seq-length 1"},
		{"tune --method vera", `--method "vera" (known: lora, dora, ia3,`},
		{"tune --lr-schedule step", `--lr-schedule "step" (known: linear, cosine, inverse-sqrt, constant)`},
		{"tune --method prompt --rank 4", "--rank belongs to --method lora, dora"},
		{"tune --virtual-tokens 4", "--virtual-tokens belongs to --method prompt, ptuning"},
		{"tune --method prefix --prompt-init vocab", "a prefix starts from zero, random or text"},
		{"tune --method tokens --token-ids x", `--token-ids "x": want ids`},
		{"tune --rank-pattern q_proj", `--rank-pattern "q_proj": want PATTERN=VALUE`},
		{"tune --init-adapter x --rank 4", "--rank doesn't go with --init-adapter"},
		{"tune --method prompt --prompt-init text", "--prompt-init text needs a --prompt-init-text"},
		{"tune --method prompt --prompt-init vocab --prompt-init-text x", "give one of them"},
		{"tune --target-modules q_proj,z_proj", `target "z_proj" matches no part of the model`},
		{"tune --device tpu", `--device "tpu" (known: auto, cpu, gpu, gpu:N)`},
		{"tune --model " + tiny, "--data is missing"},
		{"tune --out " + full, "is not empty"},
		{"tune --device cpu --out " + dir + "/o --model " + tiny + " --data " + rows + " --max-seq-length 4096", "positions of the model"},
		{"generate -p x --max-tokens 0", "--max-tokens 0"},
		{"generate -p x --temperature -1", "--temperature -1"},
		{"generate -p x --top-p 2", "--top-p 2"},
		{"generate -p x --top-k -2", "--top-k -2"},
		{"eval --model " + tiny, "--data is missing"},
		{"eval --batch-size 0", "--batch-size 0"},
		{"tokenize --decode one two", `"one" is no token id`},
		{"tokenize --jsonl text", `unexpected argument "text"`},
		{"version now", `unexpected argument "now"`},
		{"devices now", `unexpected argument "now"`},
	}
	for _, test := range tests {
		t.Run(test.args, func(t *testing.T) {
			r := run(t, strings.Fields(test.args)...)
			checkLine(t, r, 2, test.says)
			if r.out != "" {
				t.Errorf("output %q", r.out)
			}
		})
	}
	if text, err := os.ReadFile(filepath.Join(full, "mine.txt")); err != nil || string(text) != "keep" {
		t.Errorf("the file that was there: %q, %v", text, err)
	}
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

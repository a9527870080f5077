package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// copyModel copies a tiny model, with changes to its config.
func copyModel(t *testing.T, changes map[string]any) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"config.json", "model.safetensors"} {
		data, err := os.ReadFile(filepath.Join(tiny, name))
		if err != nil {
			t.Fatal(err)
		}
		if name == "config.json" {
			var config map[string]any
			if err := json.Unmarshal(data, &config); err != nil {
				t.Fatal(err)
			}
			for k, v := range changes {
				config[k] = v
			}
			if data, err = json.Marshal(config); err != nil {
				t.Fatal(err)
			}
		}
		write(t, dir, name, string(data))
	}
	return dir
}

// TestBadInput checks that what can't be used gives one line, exit code 1, and
// leaves nothing behind.
func TestBadInput(t *testing.T) {
	dir := t.TempDir()
	rows := readyRows(t, dir, 20)
	few := readyRows(t, t.TempDir(), 5)
	truncated := copyModel(t, nil)
	if err := os.Truncate(filepath.Join(truncated, "model.safetensors"), 5000); err != nil {
		t.Fatal(err)
	}
	noWeights := copyModel(t, nil)
	if err := os.Remove(filepath.Join(noWeights, "model.safetensors")); err != nil {
		t.Fatal(err)
	}
	noConfig := copyModel(t, nil)
	write(t, noConfig, "config.json", "{")
	file := func(name, text string) string { return write(t, t.TempDir(), name, text) }
	adapter := t.TempDir()
	write(t, adapter, "adapter_config.json", "{}")
	tests := []struct{ name, args, says string }{
		{"no model", "--model " + dir + "/none --data " + rows, "none: no such directory"},
		{"model is a file", "--model " + rows + " --data " + rows, "neither a directory nor a .gguf file"},
		{"empty model", "--model " + t.TempDir() + " --data " + rows, "config.json"},
		{"broken config", "--model " + noConfig + " --data " + rows, "config.json"},
		{"no weights", "--model " + noWeights + " --data " + rows, "model.safetensors"},
		{"truncated weights", "--model " + truncated + " --data " + rows, "model.safetensors"},
		{"wrong shape", "--model " + copyModel(t, map[string]any{"intermediate_size": 7}) + " --data " + rows, "mlp.gate_proj.weight"},
		{"unknown architecture", "--model " + copyModel(t, map[string]any{"model_type": "mamba"}) + " --data " + rows, `model_type "mamba"`},
		{"no data", "--model " + tiny + " --data " + dir + "/none", "none: no such file"},
		{"no data in a directory", "--model " + tiny + " --data " + t.TempDir(), "no file named train"},
		{"empty data", "--model " + tiny + " --data " + file("a.jsonl", ""), "a.jsonl is empty"},
		{"less than a batch", "--model " + tiny + " --data " + few, "4 examples are less than one batch of 8"},
		{"invalid UTF-8", "--data " + file("a.txt", "ab\n\xff"), "a.txt:2: invalid UTF-8"},
		{"bad row", "--model " + tiny + " --data " + file("a.jsonl", `{"input_ids":[1,2],"labels":[1]}`), "a.jsonl:1: 2 input_ids, 1 labels"},
		{"id outside", "--model " + tiny + " --data " + file("a.jsonl", `{"input_ids":[1,99999],"labels":[1,2]}`), "id 99999"},
		{"text without tokenizer", "--model " + tiny + " --data " + file("a.txt", "text"), "tokenizer"},
		{"no adapter", "--model " + tiny + " --data " + rows + " --init-adapter " + dir + "/none", "--init-adapter"},
		{"bad adapter", "--model " + tiny + " --data " + rows + " --init-adapter " + adapter, "--init-adapter " + adapter},
		{"adapter of another model", "--data " + rows + " --init-adapter " + tiny + "/adapter_lora", "--init-adapter"},
		{"diverged", "--model " + tiny + " --data " + rows + " --steps 20 --lr 1e30 --max-grad-norm 0 --lr-schedule constant", "lr"},
		{"log in no directory", "--model " + tiny + " --data " + rows + " --log-jsonl " + dir + "/no/log", "--log-jsonl"},
		{"no such GPU", "--device gpu:99 --model " + tiny + " --data " + rows, "--device gpu:99"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			parent := t.TempDir()
			args := append([]string{"tune", "--out", filepath.Join(parent, "out"), "--json"}, strings.Fields(test.args)...)
			if !strings.Contains(test.args, "--device") {
				args = append(args, "--device", "cpu")
			}
			r := run(t, args...)
			checkLine(t, r, 1, test.says)
			if r.out != "" {
				t.Errorf("output %q", r.out)
			}
			if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func TestOutUnderFile(t *testing.T) {
	dir := t.TempDir()
	rows := readyRows(t, dir, 20)
	checkLine(t, run(t, "tune", "--device", "cpu", "--model", tiny, "--data", rows, "--out", rows+"/sub"), 1, "not a directory")
	checkLine(t, run(t, "tune", "--device", "cpu", "--model", tiny, "--data", rows, "--out", rows), 2, "not a directory")
}

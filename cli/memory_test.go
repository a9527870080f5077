package cli_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// planned are the fields of tune --dry-run --json, and of a run's memory.
type planned struct {
	Weights, Adapter, Optimizer                   int64
	Activations, Gradients, Logits, Cache, Tables int64
	Total, Limit                                  int64
	Largest                                       int64 `json:"largest_tensor"`
}

type dryRun struct {
	Kind, Format, Method string
	BaseParams           int64 `json:"base_params"`
	Params               int
	Micro                int `json:"micro_batch"`
	Memory               planned
	Types                []struct {
		Type    string
		Tensors int
		Bytes   int64
	}
}

const configs = "../testdata/configs"

// TestDryRunOfPublishedModels: the published sizes, and what a 4-bit base with LoRA on
// q and v takes for one sequence of 512 tokens.
func TestDryRunOfPublishedModels(t *testing.T) {
	const gb = 1e9
	for name, want := range map[string]struct {
		params int64
		lora   int
		most   float64 // bytes in all
	}{
		"llama-2-7b":   {6_738_415_616, 4_194_304, 6 * gb},
		"llama-2-13b":  {13_015_864_320, 6_553_600, 10 * gb},
		"llama-3.1-8b": {8_030_261_248, 3_407_872, 6.5 * gb},
		"mistral-7b":   {7_241_732_096, 3_407_872, 6 * gb},
		"gemma-2-2b":   {2_614_341_888, 1_597_440, 3 * gb},
		"gemma-2-9b":   {9_241_705_984, 4_472_832, 9 * gb},
		"gemma-3-4b":   {3_880_263_168, 2_228_224, 4 * gb},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{
				"tune", "--dry-run", "--json", "--model", filepath.Join(configs, name), "--device", "cpu", "--quant", "q4_0",
				"--batch-size", "1", "--max-seq-length", "512", "--target-modules", "q_proj,v_proj", "--grad-checkpoint", "--memory-limit", "1TB",
			}
			got := decode[dryRun](t, must(t, args...).out)
			m := got.Memory
			if got.BaseParams != want.params || got.Params != want.lora || got.Format != "config" {
				t.Errorf("%d parameters, %d trainable, want %d and %d", got.BaseParams, got.Params, want.params, want.lora)
			}
			if sum := m.Weights + m.Adapter + m.Optimizer + m.Activations + m.Gradients + m.Logits + m.Cache + m.Tables; sum != m.Total {
				t.Errorf("%+v doesn't add up", m)
			}
			if float64(m.Total) > want.most || m.Optimizer < 8*int64(want.lora) {
				t.Errorf("%+v, want at most %.3g", m, want.most)
			}
			bytes := int64(0)
			for _, w := range got.Types {
				bytes += w.Bytes
			}
			if bytes != m.Weights {
				t.Errorf("types %+v are not the weights' %d bytes", got.Types, m.Weights)
			}
		})
	}
}

// TestPlanIsWhatIsTaken: the peak of a run is what was planned.
func TestPlanIsWhatIsTaken(t *testing.T) {
	rows := readyRows(t, t.TempDir(), 40)
	for _, flags := range []string{"", "--grad-checkpoint", "--micro-batch 3", "--method prompt --micro-batch 2 --grad-checkpoint"} {
		args := append([]string{
			"tune", "--device", "cpu", "--model", tiny, "--data", rows, "--steps", "2", "--json",
			"--out", filepath.Join(t.TempDir(), "a"),
		}, strings.Fields(flags)...)
		got := decode[struct {
			PeakBytes int64 `json:"peak_bytes"`
			Memory    planned
		}](t, must(t, args...).out)
		if got.PeakBytes != got.Memory.Total {
			t.Errorf("%s: %d bytes were taken, %+v planned", flags, got.PeakBytes, got.Memory)
		}
	}
}

// TestMemoryLimit: a run that doesn't fit ends before it starts and names the flags with
// which it would; auto finds them itself.
func TestMemoryLimit(t *testing.T) {
	rows := readyRows(t, t.TempDir(), 40)
	args := func(flags string) []string {
		return append([]string{
			"tune", "--device", "cpu", "--model", tiny, "--data", rows, "--steps", "2", "--json",
			"--out", filepath.Join(t.TempDir(), "a"),
		}, strings.Fields(flags)...)
	}
	dry := func(flags string) planned {
		return decode[dryRun](t, must(t, args("--dry-run "+flags)...).out).Memory
	}
	all, few, one := dry(""), dry("--grad-checkpoint"), dry("--grad-checkpoint --micro-batch 1")
	if all.Total <= few.Total || few.Total <= one.Total {
		t.Fatalf("%d, %d, %d bytes", all.Total, few.Total, one.Total)
	}
	limit := func(n int64) string { return " --memory-limit " + byteCount(n) }
	checkLine(t, run(t, args(limit(all.Total-1))...), 1, "--grad-checkpoint --micro-batch 8 would take")
	checkLine(t, run(t, args(limit(few.Total-1))...), 1, "--grad-checkpoint --micro-batch 1 would take")
	checkLine(t, run(t, args(limit(1000))...), 1, "lower --max-seq-length")
	must(t, args(limit(all.Total))...)
	auto := decode[struct{ Settings map[string]any }](t, must(t, args("--grad-checkpoint --micro-batch auto"+limit(few.Total-1))...).out)
	if micro := auto.Settings["micro_batch"].(float64); micro >= 8 || micro < 1 {
		t.Errorf("micro-batches of %v", micro)
	}
}

// TestSizingDoesNotChangeTheResult: micro-batches and checkpoints give the same losses.
func TestSizingDoesNotChangeTheResult(t *testing.T) {
	rows := readyRows(t, t.TempDir(), 40)
	losses := func(flags string) []byte {
		log := filepath.Join(t.TempDir(), "log")
		must(t, append([]string{
			"tune", "--device", "cpu", "--model", tiny, "--data", rows, "--steps", "5", "--log-jsonl", log, "--quiet",
			"--out", filepath.Join(t.TempDir(), "a"),
		}, strings.Fields(flags)...)...)
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	want := lossesOf(t, losses(""))
	for _, flags := range []string{"--grad-checkpoint", "--micro-batch 1", "--micro-batch 3 --grad-checkpoint"} {
		for i, l := range lossesOf(t, losses(flags)) {
			if d := (l - want[i]) / want[i]; d > 1e-5 || d < -1e-5 {
				t.Errorf("%s: loss %v in step %d, want %v", flags, l, i+1, want[i])
			}
		}
	}
}

// lossesOf reads the losses of a log.
func lossesOf(t *testing.T, log []byte) []float64 {
	t.Helper()
	var all []float64
	for line := range strings.Lines(string(log)) {
		all = append(all, decode[struct{ Loss float64 }](t, line).Loss)
	}
	if len(all) == 0 {
		t.Fatal("no losses")
	}
	return all
}

func byteCount(n int64) string { return strconv.FormatInt(n, 10) }

package cli_test

import (
	"strings"
	"testing"
)

// benchResult are fields of a row of bench --json.
type benchResult struct {
	Part        string  `json:"part"`
	Name        string  `json:"name"`
	Median      int64   `json:"median_ns"`
	Flops       float64 `json:"flops"`
	Dispatches  int     `json:"dispatches"`
	Submissions int     `json:"submissions"`
	Memory      int64   `json:"memory"`
}

func TestBench(t *testing.T) {
	args := []string{"bench", "--device", "cpu", "--model-shape", "tiny", "--batch", "1", "--length", "8", "--time", "1ms"}
	table := must(t, append(args, "--parts", "forward,step")...)
	for _, want := range []string{"model   tiny, f32, 1×8 tokens", "loss of 1×8 tokens", "LoRA r 8 on q, v, 1×8 tokens", "tokens/s"} {
		if !strings.Contains(table.out+table.err, want) {
			t.Errorf("%q is missing in %s%s", want, table.out, table.err)
		}
	}
	report := decode[struct {
		Device  struct{ Kind string }
		Shape   string `json:"model_shape"`
		Type    string
		Results []benchResult
	}](t, must(t, append(args, "--type", "q4_0", "--json")...).out)
	if len(report.Results) < 15 || report.Shape != "tiny" || report.Type != "q4_0" || report.Device.Kind != "cpu" {
		t.Errorf("%+v", report)
	}
	for _, r := range report.Results {
		if r.Median <= 0 || r.Name == "" || r.Part == "" {
			t.Errorf("%+v", r)
		}
	}
}

// TestBenchPlan: a 7B model's passes are counted without a GPU.
func TestBenchPlan(t *testing.T) {
	rows := decode[[]benchResult](t, must(t, "bench", "--gpu-plan", "--model-shape", "llama-2-7b", "--type", "q4_0", "--batch", "1", "--length", "512", "--json").out)
	if len(rows) != 5 { // forward, prefill, step, prompt, decode
		t.Fatalf("%+v", rows)
	}
	for _, r := range rows {
		if r.Dispatches < 400 || r.Submissions < 1 || !(r.Flops > 1e11) || r.Memory < 35e8 {
			t.Errorf("%+v", r)
		}
	}
}

func TestBenchBadFlags(t *testing.T) {
	for says, args := range map[string][]string{
		"none of kernels": {"--parts", "kernels,speed"},
		"--type":          {"--type", "f12"},
		"--batch":         {"--batch", "0"},
		"argument":        {"more"},
	} {
		checkLine(t, run(t, append([]string{"bench"}, args...)...), 2, says)
	}
	checkLine(t, run(t, "bench", "--device", "cpu", "--model-shape", "llama-9"), 1, `unknown model shape "llama-9"`)
}

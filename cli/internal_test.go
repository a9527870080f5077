package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gpupeft/gpupeft/gpu"
	"github.com/gpupeft/gpupeft/gpu/selftest"
	"github.com/gpupeft/gpupeft/internal/hostile"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/peft/runlog"
)

func TestChooseAuto(t *testing.T) {
	soft := gpu.AdapterInfo{Name: "llvmpipe", Type: gpu.SoftwareGPU}
	real := gpu.AdapterInfo{Name: "RTX", Type: gpu.DiscreteGPU}
	unknown := gpu.AdapterInfo{Name: "GPU", Type: gpu.UnknownGPU}
	tests := []struct {
		name         string
		adapters     []gpu.AdapterInfo
		err          error
		device, says string
	}{
		{"real", []gpu.AdapterInfo{real, soft}, nil, "gpu:0", "RTX"},
		{"software first", []gpu.AdapterInfo{soft, real}, nil, "gpu:1", "RTX"},
		{"unknown", []gpu.AdapterInfo{unknown}, nil, "gpu:0", "GPU"},
		{"software", []gpu.AdapterInfo{soft}, nil, "cpu", "llvmpipe"},
		{"none", nil, nil, "cpu", "no GPU"},
		{"error", nil, fmt.Errorf("%w: no driver", gpu.ErrUnavailable), "cpu", "no driver"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := chooseAuto(test.adapters, test.err)
			if got.Device != test.device || !strings.Contains(got.Reason, test.says) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestShownTokens(t *testing.T) {
	for _, test := range [][4]int{{20, 0, 500, 500}, {1024, 0, 101, 90}, {1024, 20, 101, 70}, {1 << 21, 0, 9, 2}} {
		if got := shownTokens(test[0], test[1], test[2]); got != test[3] {
			t.Errorf("%v: got %d", test, got)
		}
	}
}

func TestOneLine(t *testing.T) {
	for err, want := range map[error]string{
		errors.Join(errors.New("a"), errors.New("b")): "a; b",
		errors.New("Upper case"):                      "upper case",
		errors.New("UTF-8 stays"):                     "UTF-8 stays",
	} {
		if got := oneLine(err); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestDefaultLR(t *testing.T) {
	for _, test := range []struct {
		method string
		width  int
		want   float64
	}{{"prompt", 4096, 0.03}, {"lora", 64, 0.005}, {"lora", 576, 0.0014}, {"lora", 2048, 0.0004}, {"lora", 4096, 0.0002}, {"lora", 8192, 0.0002}} {
		if got := defaultLR(test.method, peft.AdamW, test.width); got != test.want {
			t.Errorf("%s at width %d: %v, want %v", test.method, test.width, got, test.want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1058176: "1,058,176", -1234: "-1,234", -123: "-123"} {
		if got := thousands(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int]int{0: 1, 1: 1, 3: 5, 6: 10, 15: 20, 51: 100} {
		if got := roundUp(n); got != want {
			t.Errorf("%d rounds up to %d, want %d", n, got, want)
		}
	}
	if got := count(1, "row") + ", " + count(2000, "row"); got != "1 row, 2,000 rows" {
		t.Errorf("got %q", got)
	}
}

// TestLive checks that a terminal gets one line that is rewritten, and a clean end.
func TestLive(t *testing.T) {
	var b strings.Builder
	p := newProgress(&output{talk: &b, live: true}, 3)
	p.step(runlog.Record{Step: 1, Loss: 2, Tokens: 100, StepMS: 10_000})
	p.step(runlog.Record{Step: 2, Loss: 2, Tokens: 100, StepMS: 10_000}) // too soon to be shown
	p.say("note")
	p.step(runlog.Record{Step: 3, Loss: 1.5, Tokens: 100, StepMS: 10_000})
	p.line.clear()
	want := "\r\x1b[Kstep 1/3  loss 2.0000  10 tokens/s  20s left\r\x1b[Knote\n\r\x1b[Kstep 3/3  loss 1.5000  10 tokens/s  0s left\r\x1b[K"
	if b.String() != want {
		t.Errorf("got %q", b.String())
	}
}

// What a process says before it crashes is passed on as it comes, the report isn't.
func TestCrashFilter(t *testing.T) {
	const rust = "thread '<unnamed>' panicked at src/lib.rs:575:5:\nError in wgpuQueueSubmit: Validation Error\n\nCaused by:\n    Parent device is lost\n\nstack backtrace:\n  0: x\nSIGABRT: abort\nPC=0\n"
	for _, test := range []struct{ text, passed, reason string }{
		{"step 1\nthread\nS", "step 1\nthread\n", ""},
		{"\r\x1b[Kstep 1 SIG", "\r\x1b[Kstep 1 SIG", ""},
		{"a\n" + rust, "a\n", "Error in wgpuQueueSubmit: Validation Error; Caused by: Parent device is lost"},
		{"\r\x1b[Kstep\rSIGSEGV: segmentation violation\nPC=0x0 m=4\n\ngoroutine 1\n", "\r\x1b[Kstep\r", "SIGSEGV: segmentation violation"},
		{"panic: no\n\ngoroutine 1 [running]:\n" + strings.Repeat("main.main()\n", 10000), "", "panic: no"},
	} {
		for _, size := range []int{1, 7, len(test.text)} {
			var passed strings.Builder
			f := &crashFilter{to: &passed}
			for part := range slices.Chunk([]byte(test.text), size) {
				if n, err := f.Write(part); n != len(part) || err != nil {
					t.Fatal(n, err)
				}
			}
			if passed.String() != test.passed || !strings.HasPrefix(f.reason(), test.reason) || test.reason == "" && f.reason() != "" || len(f.report) > maxReport {
				t.Errorf("%q by %d: passed %q, reason %q", test.text[:min(99, len(test.text))], size, passed.String(), f.reason())
			}
		}
	}
}

// A worker that comes after another one goes on from its own checkpoints, else where the
// first one was told to, with the time that is left.
func TestWorkerArguments(t *testing.T) {
	for _, test := range []struct {
		plan   plan
		worker int
		own    bool
		want   string
	}{
		{plan{out: "o"}, 1, false, "--out o"},
		{plan{out: "o", resume: "d", maxTime: time.Minute}, 1, false, "--out o"},
		{plan{out: "o"}, 2, false, "--out o --resume auto"},
		{plan{out: "o", resume: "d"}, 2, false, "--out o"},
		{plan{out: "o", resume: "d"}, 3, true, "--out o --resume auto"},
		{plan{out: "o", maxTime: time.Minute}, 2, true, "--out o --resume auto --max-time 20s"},
		{plan{out: "o", maxTime: time.Second}, 2, true, "--out o --resume auto --max-time 1ms"},
	} {
		if got := strings.Join(test.plan.again(test.worker, test.own, 40*time.Second), " "); got != test.want {
			t.Errorf("%+v: %s", test, got)
		}
	}
}

// TestSettle: operations that a driver gets wrong are left to the CPU one after the other, unless they are too many or
// products of matrices.
func TestSettle(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	lost := errors.New("lost")
	for name, tt := range map[string]struct {
		wrong []string // by these operations
		other error
		fails string
	}{
		"right":            {},
		"two":              {wrong: []string{"softmax", "rope"}},
		"too many":         {wrong: []string{"softmax", "rope", "add", "scale", "fill", "adamw", "sgd"}, fails: "sgd is wrong"},
		"matrix products":  {wrong: []string{"softmax", "matmul.dx"}, fails: "matmul.dx is wrong"},
		"another error":    {other: lost, fails: "lost"},
		"wrong on the CPU": {wrong: []string{"softmax", "softmax"}, fails: "softmax is wrong"},
	} {
		t.Run(name, func(t *testing.T) {
			info := gpu.AdapterInfo{Name: name}
			calls := 0
			r, err := settle(info, selfTestReport{Cases: 2}, func(r *selfTestReport) (selftest.Result, error) {
				if !slices.Equal(r.OnCPU, tt.wrong[:min(calls, len(tt.wrong))]) || r.Cases != 2+calls {
					t.Errorf("call %d: %+v", calls, r)
				}
				calls++
				if calls <= len(tt.wrong) {
					return selftest.Result{Cases: r.Cases + 1}, &selftest.WrongError{Operations: tt.wrong[calls-1 : calls], Text: tt.wrong[calls-1] + " is wrong"}
				}
				return selftest.Result{Cases: 9, Whole: true, Kernels: 7, Of: 7}, tt.other
			})
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) || !strings.Contains(err.Error(), name) || r.Error == "" || passedTests()[selfTestKey(info)] != nil {
					t.Errorf("%+v, %v, want %q", r, err, tt.fails)
				}
				return
			}
			kept := passedTests()[selfTestKey(info)]
			if err != nil || !slices.Equal(r.OnCPU, tt.wrong) || r.Kernels != 7 || !r.Whole || kept == nil || !slices.Equal(kept.OnCPU, tt.wrong) || kept.note() != r.note() {
				t.Errorf("%+v, %v, remembered %+v", r, err, kept)
			}
			if len(tt.wrong) > 0 && !strings.Contains(r.String(), "the CPU computes softmax, rope, which this GPU's driver gets wrong (softmax is wrong; rope is wrong)") {
				t.Error(r)
			}
		})
	}
}

// TestTrainedTemplate: what a stranger's adapter says of its training names no file but its
// own.
func TestTrainedTemplate(t *testing.T) {
	trained := func(template, name string) string {
		dir := t.TempDir()
		text, err := json.Marshal(map[string]any{"data": map[string]any{"chat_template": template}, "config": map[string]any{"chat-template": name}})
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, runName), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return trainedTemplate(dir)
	}
	for name, want := range map[string]string{"auto": "model", "model": "model", "llama-2": "llama-2", "none": "", "": ""} {
		if got := trained("x", name); got != want {
			t.Errorf("trained with %q: %q, want %q", name, got, want)
		}
	}
	if got := trained("", "auto"); got != "none" {
		t.Errorf("trained without one: %q", got)
	}
	for _, path := range append(hostile.Paths(), "run.json") {
		if got := trained("x", path); got != "" {
			t.Errorf("trained with %q: %q", path, got)
		}
	}
	dir := t.TempDir()
	if err := os.Symlink(os.DevNull, filepath.Join(dir, templateFile)); err != nil {
		t.Skip("needs links: ", err)
	}
	if got := trainedTemplate(dir); got != "" {
		t.Errorf("a device: %q", got)
	}
}

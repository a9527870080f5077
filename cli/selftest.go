package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gpupeft/gpupeft/gpu"
	"github.com/gpupeft/gpupeft/gpu/selftest"
	"github.com/gpupeft/gpupeft/internal/disk"
)

// selfTestEnv set to "off" takes a GPU untested.
const selfTestEnv = "GPUPEFT_SELF_TEST"

// selfTestReport is the result of a GPU's self-test.
type selfTestReport struct {
	Kernels int       `json:"kernels"` // that are right
	Of      int       `json:"of"`
	Seconds float64   `json:"seconds"`
	Time    time.Time `json:"time"`
	Cases   int       `json:"cases"`            // that passed
	Whole   bool      `json:"whole"`            // there are no others
	OnCPU   []string  `json:"on_cpu,omitempty"` // operations that the GPU gets wrong
	Why     []string  `json:"why,omitempty"`    // what was wrong with each
	Error   string    `json:"error,omitempty"`
}

func (r *selfTestReport) String() string {
	if r.Error != "" {
		return "failed: " + r.Error
	}
	text := fmt.Sprintf("%d of %d kernels tested in %.1f s, all right", r.Kernels, r.Of, r.Seconds)
	if !r.Whole {
		text += " (--all tests them all)"
	}
	if len(r.OnCPU) > 0 {
		text += "; " + r.note()
	}
	return text
}

// note says which operations are left to the CPU, and why; "" for none.
func (r *selfTestReport) note() string {
	if len(r.OnCPU) == 0 {
		return ""
	}
	return fmt.Sprintf("the CPU computes %s, which this GPU's driver gets wrong (%s)", strings.Join(r.OnCPU, ", "), strings.Join(r.Why, "; "))
}

// trustGPU makes sure that a GPU computes right, and says which operations are for the CPU
// because it doesn't. It is tested for each program, adapter and driver: at the first start
// for some seconds, and where that isn't enough, further at the next. A failure is not
// remembered.
func trustGPU(ctx context.Context, adapter string, info gpu.AdapterInfo) (*selfTestReport, error) {
	if os.Getenv(selfTestEnv) == "off" {
		return &selfTestReport{}, nil
	}
	r := passedTests()[selfTestKey(info)]
	switch {
	case r == nil:
		r = &selfTestReport{}
	case r.Whole:
		return r, nil
	}
	r, err := testGPU(ctx, adapter, info, selftest.Limit, *r)
	if wrong := (*selftest.WrongError)(nil); errors.As(err, &wrong) {
		err = fmt.Errorf("%w (%s=off in the environment takes it all the same)", err, selfTestEnv)
	}
	return r, err
}

// testGPU tests a GPU, on devices of its own, behind what it passed before.
func testGPU(ctx context.Context, adapter string, info gpu.AdapterInfo, limit time.Duration, before selfTestReport) (*selfTestReport, error) {
	return settle(info, before, func(r *selfTestReport) (selftest.Result, error) {
		b, err := gpu.Open(ctx, gpu.Config{Adapter: adapter, OnCPU: r.OnCPU})
		if err != nil {
			return selftest.Result{}, err
		}
		result, err := selftest.Run(ctx, b, limit, r.Cases)
		return result, errors.Join(err, b.Close())
	})
}

// maxOnCPU is how many operations a driver may get wrong, a normalization and its gradients
// being three. One that gets more wrong, or products of matrices, is of no use.
const maxOnCPU = 6

// settle tests a GPU until it is right, each time with the operation that was wrong left
// to the CPU.
func settle(info gpu.AdapterInfo, before selfTestReport, test func(r *selfTestReport) (selftest.Result, error)) (*selfTestReport, error) {
	r := &before
	r.Time = time.Now().UTC().Truncate(time.Second)
	for {
		result, err := test(r)
		r.Kernels, r.Of, r.Cases, r.Whole = result.Kernels, result.Of, result.Cases, result.Whole
		r.Seconds += result.Took.Seconds()
		if err == nil {
			rememberPassed(selfTestKey(info), r)
			return r, nil
		}
		wrong := (*selftest.WrongError)(nil)
		if !errors.As(err, &wrong) || len(r.OnCPU)+len(wrong.Operations) > maxOnCPU || slices.ContainsFunc(wrong.Operations, func(o string) bool {
			return strings.HasPrefix(o, "matmul") || slices.Contains(r.OnCPU, o)
		}) {
			r.Error = oneLine(err)
			return r, fmt.Errorf("%s failed its self-test: %w", info.Name, err)
		}
		r.OnCPU, r.Why = append(r.OnCPU, wrong.Operations...), append(r.Why, oneLine(err))
	}
}

// selfTestKey names what a self-test says something about. Of the program, its file stands
// for its kernels.
func selfTestKey(info gpu.AdapterInfo) string {
	file := thisBuild().Version
	if self, err := os.Executable(); err == nil {
		if stat, err := os.Stat(self); err == nil {
			file = fmt.Sprintf("%s %d %s", file, stat.Size(), stat.ModTime().UTC().Format(time.RFC3339Nano))
		}
	}
	return strings.Join([]string{info.Name, info.Backend, info.Driver, file}, "; ")
}

// selfTestFile is where the tests that were passed are remembered; "" if there is no place.
func selfTestFile() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "gpupeft", "self-tests.json")
}

// passedTests reads them. A file that can't be read is none.
func passedTests() map[string]*selfTestReport {
	passed := map[string]*selfTestReport{}
	text, err := os.ReadFile(selfTestFile())
	if err != nil || json.Unmarshal(text, &passed) != nil {
		return map[string]*selfTestReport{}
	}
	return passed
}

// maxRemembered bounds the file, for those who build the program often.
const maxRemembered = 50

// rememberPassed adds one. Where it can't be written, the next run tests again.
func rememberPassed(key string, r *selfTestReport) {
	passed := passedTests()
	if len(passed) >= maxRemembered {
		clear(passed)
	}
	passed[key] = r
	name := selfTestFile()
	if name == "" || os.MkdirAll(filepath.Dir(name), 0o755) != nil {
		return
	}
	_ = disk.Write(name, func(w io.Writer) error { return writeJSON(w, passed) })
}

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gpupeft/gpupeft/gpu"
	"github.com/gpupeft/gpupeft/gpu/selftest"
)

// selfTestEnv set to "off" takes a GPU untested.
const selfTestEnv = "GPUPEFT_SELF_TEST"

// selfTestReport is the result of a GPU's self-test.
type selfTestReport struct {
	Kernels int       `json:"kernels"` // that are right
	Of      int       `json:"of"`
	Seconds float64   `json:"seconds"`
	Time    time.Time `json:"time"`
	Error   string    `json:"error,omitempty"`
}

func (r *selfTestReport) String() string {
	if r.Error != "" {
		return "failed: " + r.Error
	}
	return fmt.Sprintf("%d of %d kernels tested in %.1f s, all right", r.Kernels, r.Of, r.Seconds)
}

// trustGPU makes sure that a GPU computes right. It is tested once for each program,
// adapter and driver; a failure is not remembered.
func trustGPU(ctx context.Context, adapter string, info gpu.AdapterInfo) error {
	if os.Getenv(selfTestEnv) == "off" {
		return nil
	}
	key := selfTestKey(info)
	if _, passed := passedTests()[key]; passed {
		return nil
	}
	_, err := testGPU(ctx, adapter, info, selftest.Limit)
	if errors.Is(err, selftest.ErrWrong) {
		err = fmt.Errorf("%w (%s=off in the environment takes it all the same)", err, selfTestEnv)
	}
	return err
}

// testGPU tests a GPU, on a device of its own.
func testGPU(ctx context.Context, adapter string, info gpu.AdapterInfo, limit time.Duration) (*selfTestReport, error) {
	b, err := gpu.Open(ctx, gpu.Config{Adapter: adapter})
	if err != nil {
		return nil, err
	}
	defer b.Close()
	result, err := selftest.Run(ctx, b, limit)
	r := &selfTestReport{Kernels: result.Kernels, Of: result.Of, Seconds: result.Took.Seconds(), Time: time.Now().UTC().Truncate(time.Second)}
	if err != nil {
		r.Error = oneLine(err)
		return r, fmt.Errorf("%s failed its self-test: %w", info.Name, err)
	}
	rememberPassed(selfTestKey(info), r)
	return r, nil
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
	_ = replaceFile(name, func(w io.Writer) error { return writeJSON(w, passed) })
}

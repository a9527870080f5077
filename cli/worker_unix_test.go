//go:build unix

package cli_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gpupeft/gpupeft/gpu"
	"github.com/gpupeft/gpupeft/internal/faults"
	"github.com/gpupeft/gpupeft/peft/tune"
)

// workerOf waits for the process that an isolated run has started.
func workerOf(t *testing.T, pid int) int {
	t.Helper()
	if _, err := os.Stat("/proc/self/task"); err != nil {
		t.Skip("needs /proc to find the worker: ", err)
	}
	for range 2000 {
		if children := childrenOf(pid); len(children) > 0 {
			return children[0]
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("there is no worker")
	return 0
}

func waitForLog(name string, lines int) {
	for !logHas(name, lines) {
		time.Sleep(time.Millisecond)
	}
}

// isolated are the arguments of runs whose results same compares.
func isolated(dir, rows, name, device string) []string {
	return []string{
		"tune", "--device", device, "--restarts", "2", "--model", tiny, "--data", rows, "--dropout", "0.1", "--steps", "150", "--batch-size", "4",
		"--lr", "0.02", "--eval-every", "50", "--save-every", "10", "--keep", "1", "--out", filepath.Join(dir, name), "--log-jsonl", filepath.Join(dir, name+".jsonl"),
	}
}

// TestKilledWorker kills the process that computes; the run goes on by itself, to the same
// result.
func TestKilledWorker(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	dir := t.TempDir()
	rows := readyRows(t, dir, 40)
	must(t, isolated(dir, rows, "whole", "cpu")...) // Run starts no processes
	c, out := start(t, append(isolated(dir, rows, "killed", "cpu"), "--tensorboard", filepath.Join(dir, "tb"))...)
	for _, lines := range []int{3, 42, 93} { // before the first checkpoint, and later
		waitForLog(filepath.Join(dir, "killed.jsonl"), lines)
		if err := syscall.Kill(workerOf(t, c.Process.Pid), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Wait(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	same(t, dir, "whole", "killed", 150)
	for _, want := range []string{"lost (signal: killed): going on from the start, restart 1 of 2", "going on from step 40, restart 1 of 2"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("not said: %q in %s", want, out)
		}
	}
}

// TestSignalsToSupervisor: a signal to the process that was started ends the one that
// computes in order, and its death ends that one at once.
func TestSignalsToSupervisor(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	dir := t.TempDir()
	rows := readyRows(t, dir, 40)
	must(t, isolated(dir, rows, "whole", "cpu")...)
	command := append(isolated(dir, rows, "stopped", "cpu"), "--resume", "auto")
	log := filepath.Join(dir, "stopped.jsonl")
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		c, out := start(t, command...)
		before, _ := tune.Open(filepath.Join(dir, "stopped-checkpoints"))
		from := 0
		if before != nil {
			from = before.Step
		}
		waitForLog(log, from+13)
		if err := c.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		err := c.Wait()
		if c.ProcessState.ExitCode() != 128+int(s) || strings.Count(out.String(), "gpupeft: interrupted") != 1 {
			t.Fatalf("%v: exit code %d, %v: %s", s, c.ProcessState.ExitCode(), err, out)
		}
		if after, err := tune.Open(filepath.Join(dir, "stopped-checkpoints")); err != nil || after.Step < from+13 {
			t.Errorf("%v: the checkpoint is %+v, %v", s, after, err)
		}
	}
	c, _ := start(t, command...)
	worker := workerOf(t, c.Process.Pid)
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	for range 400 {
		if syscall.Kill(worker, 0) != nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if syscall.Kill(worker, 0) == nil {
		t.Error("the worker has outlived its supervisor")
	}
	c, out := start(t, command...)
	if err := c.Wait(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	same(t, dir, "whole", "stopped", 150)
}

// What a worker refuses is said once, with the exit code that it has elsewhere.
func TestWorkerRefuses(t *testing.T) {
	dir := t.TempDir()
	rows := readyRows(t, dir, 40)
	for want, args := range map[int][]string{
		1: {"--data", filepath.Join(dir, "none.jsonl")},
		2: {"--data", rows, "--memory-limit", "1MB", "--max-seq-length", "1000000"},
	} {
		c, out := start(t, append([]string{"tune", "--model", tiny, "--device", "cpu", "--restarts", "1", "--out", filepath.Join(dir, "out")}, args...)...)
		if err := c.Wait(); c.ProcessState.ExitCode() != want || strings.Count(out.String(), "gpupeft: ") != 1 {
			t.Errorf("exit code %d, %v, want %d: %s", c.ProcessState.ExitCode(), err, want, out)
		}
	}
}

// faultyGPU gives the processes that a test starts a driver that fails as it wants.
func faultyGPU(t *testing.T) *faults.Loader {
	t.Helper()
	if _, err := gpu.Adapters(t.Context()); err != nil && os.Getenv("GPUPEFT_REQUIRE_GPU") != "1" {
		t.Skip("needs a GPU, or Mesa's lavapipe: ", err)
	}
	l := faults.New(t)
	for _, env := range l.Env() {
		name, value, _ := strings.Cut(env, "=")
		t.Setenv(name, value)
	}
	return l
}

// TestLostDevice takes the GPU away in the middle of a run: the native library ends the
// process, and the run goes on to the same result; or, if that happens again and again,
// ends with an error and a checkpoint.
func TestLostDevice(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	l := faultyGPU(t)
	dir := t.TempDir()
	rows := readyRows(t, dir, 40)
	wait := func(name string) (string, int) {
		c, out := start(t, isolated(dir, rows, name, "gpu")...)
		_ = c.Wait()
		return out.String(), c.ProcessState.ExitCode()
	}
	l.Set(faults.Submit, faults.Rule{})
	if out, code := wait("whole"); code != 0 {
		t.Fatal(out)
	}
	submissions, _ := l.Calls(faults.Submit)

	l.Set(faults.Submit, faults.Rule{After: submissions / 2, Result: faults.DeviceLost})
	l.Set(faults.State, faults.Rule{After: 50, Result: faults.DeviceLost})
	out, code := wait("lost")
	_, first := l.Calls(faults.State)
	_, second := l.Calls(faults.Submit)
	if code != 0 || first+second != 2 || strings.Count(out, "the process that computes was lost") != 2 {
		t.Errorf("exit code %d after %d faults: %s", code, first+second, out)
	}
	same(t, dir, "whole", "lost", 150)

	l.Set(faults.Submit, faults.Rule{After: submissions / 2, Again: 20, Result: faults.DeviceLost})
	out, code = wait("hopeless")
	last, err := tune.Open(filepath.Join(dir, "hopeless-checkpoints"))
	if err != nil || last.Step < 10 {
		t.Fatalf("the checkpoint is %+v, %v; %s", last, err, out)
	}
	if code != 1 || !strings.Contains(out, "the worker process was lost 3 times without a new checkpoint") || !strings.Contains(out, last.Dir+" is whole") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "hopeless")); err == nil {
		t.Error("an adapter was saved")
	}
	l.Set(faults.Submit, faults.Rule{})
	c, text := start(t, append(isolated(dir, rows, "hopeless", "gpu"), "--resume", "auto")...)
	if err := c.Wait(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	same(t, dir, "whole", "hopeless", 150)
}

// TestDoctor tests a driver that is right, one that fails, and one that ends the process.
func TestDoctor(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	l := faultyGPU(t)
	t.Setenv("GPUPEFT_SELF_TEST", "")
	if cache, err := os.UserCacheDir(); err == nil {
		t.Setenv("MESA_SHADER_CACHE_DIR", cache) // stays where it is
	}
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	finish := func(args ...string) (string, int) {
		c, out := start(t, args...)
		_ = c.Wait()
		return out.String(), c.ProcessState.ExitCode()
	}
	use := func() (string, int) {
		return finish("tune", "--device", "gpu", "--model", tiny, "--data", readyRows(t, t.TempDir(), 40), "--steps", "2", "--out", filepath.Join(t.TempDir(), "out"))
	}
	l.Set(faults.Pipeline, faults.Rule{After: 3, Result: faults.OutOfDeviceMemory})
	if out, code := use(); code != 1 || !strings.Contains(out, "failed its self-test: ") {
		t.Errorf("exit code %d: %s", code, out)
	}
	l.Set(faults.Pipeline, faults.Rule{After: 3, Result: faults.OutOfDeviceMemory})
	if out, code := finish("doctor"); code != 1 || !strings.Contains(out, "self-test: failed: ") || strings.Count(out, "gpupeft: 1 GPU failed") != 1 {
		t.Errorf("exit code %d: %s", code, out)
	}
	l.Set(faults.Submit, faults.Rule{After: 10, Result: faults.DeviceLost})
	if out, code := finish("doctor"); code != 1 || !strings.Contains(out, "has ended the process that tested it (Error in wgpuQueueSubmit") {
		t.Errorf("exit code %d: %s", code, out)
	}
	out, code := finish("doctor", "--all", "--json")
	report := decode[struct {
		Devices []struct {
			Device   string
			SelfTest *struct{ Kernels, Of int } `json:"self_test"`
		}
		Auto      struct{ Device string }
		SelfTests string `json:"self_tests"`
	}](t, out)
	if code != 0 || len(report.Devices) < 2 || report.Auto.Device == "" {
		t.Fatalf("exit code %d: %s", code, out)
	}
	if test := report.Devices[1].SelfTest; test == nil || test.Kernels != test.Of || test.Of < 100 {
		t.Errorf("self-test %+v", test)
	}
	before, err := os.ReadFile(report.SelfTests)
	if err != nil {
		t.Fatal(err)
	}
	if out, code := use(); code != 0 {
		t.Errorf("exit code %d: %s", code, out)
	}
	if after, err := os.ReadFile(report.SelfTests); err != nil || !bytes.Equal(after, before) {
		t.Errorf("what is right was tested again: %s, %v", after, err)
	}
}

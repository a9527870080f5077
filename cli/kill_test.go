package cli_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gpupeft/gpupeft/cli"
	"github.com/gpupeft/gpupeft/internal/backends"
	"github.com/gpupeft/gpupeft/peft/runlog"
	"github.com/gpupeft/gpupeft/peft/tune"
)

// asProgram makes the test's binary the program.
const asProgram = "GPUPEFT_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "" {
		_ = os.Setenv("GPUPEFT_SELF_TEST", "off") // the kernels have tests of their own
		os.Exit(m.Run())
	}
	os.Exit(cli.Main())
}

// start runs the program in a process of its own.
func start(t *testing.T, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0], args...)
	c.Env = append(os.Environ(), asProgram+"=1")
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c, &out
}

// childrenOf returns the processes that a process has started, where /proc tells.
func childrenOf(pid int) (children []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, name := range tasks {
		text, _ := os.ReadFile(name)
		for _, word := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(word); err == nil {
				children = append(children, child)
			}
		}
	}
	return children
}

// onDevices runs a test of processes on the CPU and on the GPU, where two processes make a
// run. The environment says how often something happens, if not as often as here, and
// GPUPEFT_KILL_DEVICE where.
func onDevices(t *testing.T, env string, often map[string]int, test func(t *testing.T, device string, times int)) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts processes")
	}
	for device, times := range often {
		t.Run(device, func(t *testing.T) {
			if only := os.Getenv("GPUPEFT_KILL_DEVICE"); only != "" && only != device {
				t.Skip("GPUPEFT_KILL_DEVICE=", only)
			}
			if device == "gpu" {
				backends.GPU(t) // skips where there is none
			}
			if n, err := strconv.Atoi(os.Getenv(env)); err == nil {
				times = n
			}
			test(t, device, times)
		})
	}
}

// TestKill kills a run again and again, at random times and without warning, and goes on
// each time: what comes out is what comes out of a run that nothing happened to. On the GPU
// it is one of the two processes. GPUPEFT_KILLS says how often.
func TestKill(t *testing.T) {
	onDevices(t, "GPUPEFT_KILLS", map[string]int{"cpu": 20, "gpu": 4}, func(t *testing.T, device string, times int) {
		workers := 0
		kill := func(c *exec.Cmd, random *rand.Rand) {
			victim := c.Process
			if children := childrenOf(c.Process.Pid); len(children) > 0 && random.IntN(2) == 0 {
				victim, _ = os.FindProcess(children[0])
				workers++
			}
			_ = victim.Kill()
		}
		disturb(t, device, times, kill, func(s *os.ProcessState) bool { return s.ExitCode() == -1 })
		t.Logf("%d kills were of the process that computes for another", workers)
	})
}

// TestSignalsAtRandom sends signals at random times, from the start to the end, every other
// time a second one soon after: the exit code tells of the signal, and the run can go on.
// GPUPEFT_SIGNALS says how often.
func TestSignalsAtRandom(t *testing.T) {
	onDevices(t, "GPUPEFT_SIGNALS", map[string]int{"cpu": 8, "gpu": 4}, func(t *testing.T, device string, times int) {
		send := func(c *exec.Cmd, random *rand.Rand) {
			signals := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
			_ = c.Process.Signal(signals[random.IntN(2)])
			if random.IntN(2) == 0 {
				time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
				_ = c.Process.Signal(signals[random.IntN(2)])
			}
		}
		// A process that hasn't come far, or has got a second one, is ended by the signal itself.
		disturb(t, device, times, send, func(s *os.ProcessState) bool {
			return slices.Contains([]int{130, 143}, s.ExitCode()) || slices.Contains([]string{"signal: interrupt", "signal: terminated"}, s.String())
		})
	})
}

// harm is done to a process.
type harm func(c *exec.Cmd, random *rand.Rand)

// disturb does harm to a run at random times, goes on from what it has left until it is
// complete, and begins another one, until that has happened so many times. All runs come to
// what one comes to that is left alone. A process that doesn't come to its end must end as
// is fine.
func disturb(t *testing.T, device string, times int, do harm, fine func(*os.ProcessState) bool) {
	t.Helper()
	dir := t.TempDir()
	rows := readyRows(t, dir, 40)
	steps := map[string]int{"cpu": 150, "gpu": 40}[device]
	command := func(name string) []string {
		args := []string{
			"tune", "--device", device, "--model", tiny, "--data", rows, "--method", "lora", "--dropout", "0.1", "--steps", strconv.Itoa(steps),
			"--batch-size", "4", "--grad-accum", "2", "--lr", "0.02", "--lr-schedule", "cosine", "--eval-every", "7", "--keep-best", "--save-every", "3", "--keep", "2",
			"--resume", "auto", "--out", filepath.Join(dir, name), "--log-jsonl", filepath.Join(dir, name+".jsonl"),
			"--log-csv", filepath.Join(dir, name+".csv"), "--tensorboard", filepath.Join(dir, name+".tb"),
		}
		if device == "gpu" {
			args = append(args, "--restarts", strconv.Itoa(times))
		}
		return args
	}
	var took time.Duration
	for _, name := range []string{"first", "whole"} { // the first one fills the driver's cache of kernels
		began := time.Now()
		c, out := start(t, command(name)...)
		if err := c.Wait(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		took = time.Since(began)
	}
	random := rand.New(rand.NewPCG(uint64(times), 1))
	done, runs, longest := 0, 0, time.Duration(0)
	for ; done < times; runs++ {
		this := "disturbed-" + strconv.Itoa(runs)
		for attempt, complete := 0, false; !complete; attempt++ {
			began := time.Now()
			c, out := start(t, command(this)...)
			harmed, lived := live(c, took, random, do)
			done, complete = done+harmed, c.ProcessState.Success()
			if !complete && !fine(c.ProcessState) {
				t.Fatalf("after %d times: %v: %s", done, c.ProcessState, out)
			}
			switch {
			case !complete:
				longest = max(longest, lived)
			case attempt == 0 && harmed == 0:
				took = min(took, time.Since(began)) // the machine was busier then
			}
			if _, err := tune.Open(filepath.Join(dir, this+"-checkpoints")); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Error(err)
			}
		}
		same(t, dir, "whole", this, steps)
	}
	t.Logf("%d runs came to the same bytes through %d disturbances; the longest time to an end was %v", runs, done, longest)
}

// live waits for the end of a process, and does harm to it at random times that are no more
// than most apart. It returns how often, and how long the process lived after the first time.
func live(c *exec.Cmd, most time.Duration, random *rand.Rand, do harm) (times int, lived time.Duration) {
	ended := make(chan struct{})
	go func() { _ = c.Wait(); close(ended) }()
	var first time.Time
	for {
		select {
		case <-ended:
			return times, time.Since(first)
		case <-time.After(time.Duration(random.Int64N(int64(most)))):
			do(c, random)
			if times++; times == 1 {
				first = time.Now()
			}
		}
	}
}

// same compares what two runs of so many steps have left.
func same(t *testing.T, dir, one, other string, steps int) {
	t.Helper()
	read := func(parts ...string) []byte {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(append([]string{dir}, parts...)...))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	last := fmt.Sprintf("step-%08d", steps)
	for _, file := range [][2]string{{"", "adapter_model.safetensors"}, {"", "adapter_config.json"}, {"-checkpoints/" + last, "tensors.safetensors"}} {
		if !bytes.Equal(read(one+file[0], file[1]), read(other+file[0], file[1])) {
			t.Errorf("%s%s: %s differs", other, file[0], file[1])
		}
	}
	if a, b := timeless(t, read(one+"-checkpoints", last, "state.json")), timeless(t, read(other+"-checkpoints", last, "state.json")); !reflect.DeepEqual(a, b) {
		t.Errorf("%s: state\n%v, want\n%v", other, b, a)
	}
	a, b := strings.Split(string(read(one+".jsonl")), "\n"), strings.Split(string(read(other+".jsonl")), "\n")
	if len(a) != len(b) || len(a) != steps+1 {
		t.Fatalf("%s: %d lines of log, %d, want %d", other, len(b), len(a), steps)
	}
	for i := range a[:steps] {
		if x, y := timeless(t, []byte(a[i])), timeless(t, []byte(b[i])); !reflect.DeepEqual(x, y) {
			t.Errorf("%s: log\n%s, want\n%s", other, b[i], a[i])
		}
	}
	read(other, "report.html")
	for _, name := range []string{one, other} {
		if !bytes.Equal(read(name, "log.jsonl"), read(name+".jsonl")) {
			t.Errorf("%s: log.jsonl is not what --log-jsonl has got", name)
		}
	}
	if records, err := runlog.ReadFile(filepath.Join(dir, other+".csv")); err == nil && len(records) != steps {
		t.Errorf("%s: %d records in CSV", other, len(records))
	}
	if names, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || slices.ContainsFunc(names, func(n string) bool { return strings.Contains(n, other) }) {
		t.Errorf("left behind: %v, %v", names, err)
	}
}

// timeless decodes an object and takes the wall clock out.
func timeless(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"seconds", "tokens_per_s", "step_ms", "peak_bytes"} {
		delete(v, name)
	}
	if last, ok := v["last"].(map[string]any); ok {
		delete(last["step"].(map[string]any), "Duration")
	}
	if note, ok := v["note"].(map[string]any); ok {
		delete(note, "seconds")
		if device, ok := note["device"].(string); ok {
			note["device"], _, _ = strings.Cut(device, ",") // in front of the number of threads
		}
	}
	return v
}

// TestSignals ends runs by a signal: the first makes a checkpoint, from which the run goes
// on, and the second ends at once.
func TestSignals(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	dir := t.TempDir()
	rows := readyRows(t, dir, 40)
	command := func(name string) []string {
		return []string{
			"tune", "--device", "cpu", "--model", tiny, "--data", rows, "--steps", "150", "--eval-every", "3", "--batch-size", "4", "--lr", "0.02",
			"--keep", "1", "--resume", "auto", "--out", filepath.Join(dir, name), "--log-jsonl", filepath.Join(dir, name+".jsonl"),
		}
	}
	if r := run(t, command("whole")...); r.code != 0 {
		t.Fatal(r.err)
	}
	for i, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGINT} {
		name := "signal-" + strconv.Itoa(i)
		c, out := start(t, command(name)...)
		for !logHas(filepath.Join(dir, name+".jsonl"), 5+10*i) {
			time.Sleep(time.Millisecond)
		}
		if err := c.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		err := c.Wait()
		if c.ProcessState.ExitCode() != 128+int(s) || !strings.Contains(out.String(), "--resume") {
			t.Fatalf("%v: exit code %d, %v: %s", s, c.ProcessState.ExitCode(), err, out)
		}
		must(t, command(name)...)
		same(t, dir, "whole", name, 150)
		if r := must(t, command(name)...); !strings.Contains(r.out, "is complete: nothing to do") {
			t.Errorf("once more: %s", r.out)
		}
	}
}

func logHas(name string, lines int) bool {
	text, err := os.ReadFile(name)
	return err == nil && bytes.Count(text, []byte("\n")) >= lines
}

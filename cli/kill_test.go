package cli_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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

// TestKill kills a run again and again, at random times and without warning, and goes on
// each time: what comes out is what comes out of a run that nothing happened to. On the GPU,
// where two processes make a run, either of them. GPUPEFT_KILLS says how often, and
// GPUPEFT_KILL_DEVICE where.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	for device, kills := range map[string]int{"cpu": 20, "gpu": 4} {
		t.Run(device, func(t *testing.T) {
			if only := os.Getenv("GPUPEFT_KILL_DEVICE"); only != "" && only != device {
				t.Skip("GPUPEFT_KILL_DEVICE=", only)
			}
			if device == "gpu" {
				backends.GPU(t) // skips where there is none
			}
			if n, err := strconv.Atoi(os.Getenv("GPUPEFT_KILLS")); err == nil {
				kills = n
			}
			killAndGoOn(t, device, kills)
		})
	}
}

func killAndGoOn(t *testing.T, device string, kills int) {
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
			args = append(args, "--restarts", strconv.Itoa(kills))
		}
		return args
	}
	c, out := start(t, command("whole")...)
	began := time.Now()
	if err := c.Wait(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	took := time.Since(began)
	random := rand.New(rand.NewPCG(uint64(kills), 1))
	killed, workers, runs := 0, 0, 0
	for ; killed < kills; runs++ {
		this := "killed-" + strconv.Itoa(runs)
		for complete := false; !complete; {
			c, out := start(t, command(this)...)
			ended := make(chan error, 1)
			go func() { ended <- c.Wait() }()
			for running := true; running; {
				select {
				case err := <-ended:
					var exit *exec.ExitError
					if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != -1) {
						t.Fatalf("%d kills: %v: %s", killed, err, out)
					}
					running, complete = false, err == nil
				case <-time.After(time.Duration(random.Int64N(int64(took)))):
					victim := c.Process
					if workersOf := childrenOf(c.Process.Pid); len(workersOf) > 0 && random.IntN(2) == 0 {
						victim, _ = os.FindProcess(workersOf[0])
						workers++
					}
					if victim.Kill() == nil {
						killed++
					}
				}
			}
		}
		same(t, dir, "whole", this, steps)
	}
	t.Logf("%d runs to the same bytes through %d kills, %d of the process that computes for another", runs, killed, workers)
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

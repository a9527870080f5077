package tune_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/peft/tune"
	"github.com/gpupeft/gpupeft/tensor"
)

// workerEnv names the directory of a worker's checkpoints, and workerMode what happens to it.
const (
	workerEnv  = "GPUPEFT_TEST_WORKER"
	workerMode = "GPUPEFT_TEST_WORKER_MODE"
	workerRun  = 8 // steps
)

// isolated is a run whose workers are TestWorker.
func isolated(dir, mode string, told *[]tune.WorkerLoss) tune.Isolation {
	return tune.Isolation{
		Dir: dir, Restarts: 1,
		Command: func(*tune.Checkpoint) (*exec.Cmd, error) {
			c := exec.Command(os.Args[0], "-test.run=^TestWorker$")
			c.Env = append(os.Environ(), workerEnv+"="+dir, workerMode+"="+mode)
			return c, nil
		},
		Restarting: func(l tune.WorkerLoss) { *told = append(*told, l) },
	}
}

// TestWorker is run by the tests below, in a process of its own.
func TestWorker(t *testing.T) {
	dir, mode := os.Getenv(workerEnv), os.Getenv(workerMode)
	if dir == "" {
		t.Skip("is run by other tests, in a process of its own")
	}
	ctx, cancel := tune.Attend(t.Context(), os.Stdin, func() { os.Exit(9) })
	defer cancel()
	switch mode {
	case "failing":
		t.Fatal("an ordinary failure")
	case "hopeless":
		os.Exit(7)
	case "waiting":
		if err := os.WriteFile(filepath.Join(dir, "waits"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		<-ctx.Done()
		return
	}
	err := workerSteps(ctx, t, dir, func(step int) {
		crashed := filepath.Join(dir, "crashed")
		if _, err := os.Stat(crashed); step == 5 && err != nil {
			_ = os.WriteFile(crashed, nil, 0o600)
			os.Exit(7)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// workerSteps carries the run of the tests through, from its newest checkpoint on.
func workerSteps(ctx context.Context, t *testing.T, dir string, taken func(step int)) error {
	cpu := tensor.NewCPU(1)
	defer cpu.Close()
	b := newBench(t, cpu, peft.LoRAConfig{Rank: 2, Targets: peft.Named("q_proj")})
	defer b.model.Close()
	job := b.job(workerRun)
	job.Save = tune.Saving{Dir: dir, Every: 2, Last: true}
	from, err := tune.Open(dir)
	if err == nil {
		job.Resume = from
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for step, err := range tune.Run(ctx, job) {
		if err != nil {
			return err
		}
		taken(step.Step.Step)
	}
	return nil
}

func TestIsolate(t *testing.T) {
	whole, dir := t.TempDir(), t.TempDir()
	if err := workerSteps(t.Context(), t, whole, func(int) {}); err != nil {
		t.Fatal(err)
	}
	var told []tune.WorkerLoss
	if err := tune.Isolate(t.Context(), isolated(dir, "", &told)); err != nil {
		t.Fatal(err)
	}
	if len(told) != 1 || told[0].State.ExitCode() != 7 || told[0].From.Step != 4 || told[0].InARow != 1 || told[0].Allowed != 1 {
		t.Errorf("losses: %+v", told)
	}
	var files [2][]byte
	for i, d := range []string{whole, dir} {
		c, err := tune.Open(d)
		if err != nil || c.Step != workerRun {
			t.Fatalf("checkpoint %+v, %v", c, err)
		}
		if files[i], err = os.ReadFile(filepath.Join(c.Dir, "tensors.safetensors")); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Error("the isolated run has another result")
	}
}

func TestIsolateGivesUp(t *testing.T) {
	var told []tune.WorkerLoss
	err := tune.Isolate(t.Context(), isolated(t.TempDir(), "hopeless", &told))
	var exit *exec.ExitError
	if !errors.Is(err, tune.ErrWorker) || !errors.As(err, &exit) || exit.ExitCode() != 7 || !strings.Contains(err.Error(), "lost 2 times") {
		t.Errorf("error %v", err)
	}
	if len(told) != 1 || told[0].From != nil {
		t.Errorf("losses: %+v", told)
	}
	told = nil
	err = tune.Isolate(t.Context(), isolated(t.TempDir(), "failing", &told))
	if errors.Is(err, tune.ErrWorker) || !errors.As(err, &exit) || exit.ExitCode() != 1 || told != nil {
		t.Errorf("error %v, losses %+v", err, told)
	}
}

func TestIsolateStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	dir := t.TempDir()
	i := isolated(dir, "waiting", nil)
	done := make(chan error)
	go func() { done <- tune.Isolate(ctx, i) }()
	for {
		if _, err := os.Stat(filepath.Join(dir, "waits")); err == nil {
			break
		}
		select {
		case err := <-done:
			t.Fatal(err)
		default:
		}
	}
	cancel()
	if err := <-done; err != nil { // a worker that stops when it is asked to ends well
		t.Error(err)
	}
}

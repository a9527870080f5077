package cli_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/gpupeft/gpupeft/internal/backends"
)

// TestRepeats makes the same run again and again, with one goroutine at a time, two and
// eight: the adapter, the checkpoint and the log are the same. GPUPEFT_REPEATS says how often.
func TestRepeats(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	repeats := 3
	if n, err := strconv.Atoi(os.Getenv("GPUPEFT_REPEATS")); err == nil {
		repeats = n
	}
	for device, steps := range map[string]int{"cpu": 50, "gpu": 10} {
		t.Run(device, func(t *testing.T) {
			if device == "gpu" {
				backends.GPU(t) // skips where there is none
			}
			dir := t.TempDir()
			rows := readyRows(t, dir, 40)
			for i := range repeats {
				name := fmt.Sprint("run-", i)
				t.Setenv("GOMAXPROCS", []string{"1", "2", "8"}[i%3])
				c, out := start(t, "tune", "--device", device, "--model", tiny, "--data", rows, "--method", "lora", "--dropout", "0.1", "--steps", strconv.Itoa(steps),
					"--batch-size", "4", "--grad-accum", "2", "--lr", "0.02", "--lr-schedule", "cosine", "--eval-every", "7", "--keep-best", "--save-every", "5", "--keep", "1",
					"--out", filepath.Join(dir, name), "--log-jsonl", filepath.Join(dir, name+".jsonl"))
				if err := c.Wait(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				same(t, dir, "run-0", name, steps)
			}
		})
	}
}

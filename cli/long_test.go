package cli_test

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gpupeft/gpupeft/cli"
	"github.com/gpupeft/gpupeft/internal/backends"
)

// maxGrowth is what a step may leave behind, in bytes: its record in the report.
const maxGrowth = 1000

// TestLongRun trains the built-in job on the CPU, and a tiny model on the GPU, and watches the
// memory and the goroutines of the process, and the time of steps. GPUPEFT_STEPS says for how many steps; the memory
// outside of Go's heap, the driver's with it, is judged only from 3,000 on.
func TestLongRun(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long")
	}
	steps := 300
	if n, err := strconv.Atoi(os.Getenv("GPUPEFT_STEPS")); err == nil {
		steps = n
	}
	for device, job := range map[string][]string{
		"cpu": nil,
		"gpu": {"--restarts", "0", "--model", tiny, "--data", readyRows(t, t.TempDir(), 40), "--batch-size", "2"},
	} {
		t.Run(device, func(t *testing.T) {
			if device == "gpu" {
				backends.GPU(t) // skips where there is none
			}
			w := &watcher{every: max(1, steps/60)}
			var out bytes.Buffer
			args := append([]string{"gpupeft", "tune", "--device", device, "--steps", strconv.Itoa(steps), "--progress", "json", "--out", filepath.Join(t.TempDir(), "out")}, job...)
			if code := cli.Run(t.Context(), args, strings.NewReader(""), &out, w); code != 0 || w.steps != steps {
				t.Fatalf("exit code %d after %d steps: %s", code, w.steps, out.String())
			}
			heap, resident := slope(w.at, w.heap), slope(w.at, w.resident)
			t.Logf("%d steps: %.0f bytes of heap and %.0f bytes of resident memory a step; %d MiB resident", steps, heap, resident, int(w.resident[len(w.resident)-1])>>20)
			if heap > maxGrowth || steps >= 3000 && resident > maxGrowth {
				t.Errorf("more than %d bytes a step", maxGrowth)
			}
			early, late := median(w.times[:len(w.times)/5]), median(w.times[len(w.times)*4/5:])
			t.Logf("a step takes %v in the first fifth and %v in the last", early, late)
			if steps >= 3000 && late > early*5/4 {
				t.Error("steps become slower")
			}
			if first, last := w.goroutines[0], w.goroutines[len(w.goroutines)-1]; last > first {
				t.Errorf("%d goroutines, %d in the beginning", last, first)
			}
		})
	}
}

// watcher takes the records of steps and measures now and then, but not in the first fifth
// of those of 300 steps, in which caches fill.
type watcher struct {
	every, steps       int
	at, heap, resident []float64
	goroutines         []int
	last               time.Time
	times              []time.Duration // of the other steps
}

func (w *watcher) Write(p []byte) (int, error) {
	for range bytes.Count(p, []byte("\n")) {
		if w.steps++; w.steps <= 60 || w.steps%w.every != 0 {
			now := time.Now()
			w.times, w.last = append(w.times, now.Sub(w.last)), now
			continue
		}
		debug.FreeOSMemory()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		w.at, w.heap = append(w.at, float64(w.steps)), append(w.heap, float64(m.HeapAlloc))
		w.resident, w.goroutines = append(w.resident, resident()), append(w.goroutines, runtime.NumGoroutine())
		w.last = time.Now()
	}
	return len(p), nil
}

// median sorts the times.
func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

// resident is the memory of the process in bytes, 0 where it can't be told.
func resident() float64 {
	statm, err := os.ReadFile("/proc/self/statm")
	fields := strings.Fields(string(statm))
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.Atoi(fields[1]) // 0 if it is no number
	return float64(pages * os.Getpagesize())
}

// slope is that of the line with the least squares through some points.
func slope(x, y []float64) float64 {
	var mx, my, xx, xy float64
	for i := range x {
		mx += x[i] / float64(len(x))
		my += y[i] / float64(len(x))
	}
	for i := range x {
		xx += (x[i] - mx) * (x[i] - mx)
		xy += (x[i] - mx) * (y[i] - my)
	}
	return xy / xx
}

package data_test

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/transformer"
)

// lengths makes examples of different lengths, the first id of which counts.
func lengths(n int) data.List {
	list := make(data.List, n)
	for i := range list {
		size := 2 + i*7919%23
		list[i] = data.Example{IDs: slices.Repeat([]int32{int32(i)}, size), Labels: slices.Repeat([]int32{int32(i)}, size), Task: i % 3}
	}
	return list
}

// loaders are ways to load.
var loaders = map[string]data.Loader{
	"shuffled": {Batch: 3, Accumulate: 2, Seed: 5}, "in order": {Batch: 4, InOrder: true}, "micro": {Batch: 4, Micro: 3, Seed: 1},
	"by length": {Batch: 4, ByLength: true, Seed: 9}, "packed": {Batch: 2, Pack: 40, Virtual: 3, Seed: 2}, "packed in order": {Batch: 2, Pack: 40, InOrder: true},
}

// TestResume: from any state, what follows is what would have followed.
func TestResume(t *testing.T) {
	const steps = 40
	list := lengths(57)
	for name, l := range loaders {
		t.Run(name, func(t *testing.T) {
			c, err := l.Start(list, data.State{})
			if err != nil {
				t.Fatal(err)
			}
			states := []data.State{c.State()}
			var all [][]transformer.Batch
			for step, err := range c.Steps() {
				if err != nil {
					t.Fatal(err)
				}
				all, states = append(all, step), append(states, c.State())
				if len(all) == steps {
					break
				}
			}
			for from, state := range states[:steps] {
				again, err := l.Start(list, state)
				if err != nil {
					t.Fatal(err)
				}
				for i := from; i < min(from+12, steps); i++ {
					step, err := again.Next()
					if err != nil || !reflect.DeepEqual(step, all[i]) || again.State() != states[i+1] {
						t.Fatalf("from %+v: step %d is another, %v", state, i, err)
					}
				}
			}
			l.Seed++
			if _, err := l.Start(list, states[5]); !errors.Is(err, data.ErrOptions) {
				t.Errorf("a state of another seed: %v", err)
			}
			if _, err := l.Start(list, data.State{Seed: l.Seed, Step: 1000}); !errors.Is(err, data.ErrOptions) {
				t.Errorf("a state beyond the epoch: %v", err)
			}
		})
	}
}

// TestEpochs: each epoch has every example once, whatever the order.
func TestEpochs(t *testing.T) {
	list := lengths(57)
	for name, l := range loaders {
		t.Run(name, func(t *testing.T) {
			c, err := l.Start(list, data.State{})
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				var got, tasks []int
				rows := 0
				for range c.PerEpoch() {
					step, err := c.Next()
					if err != nil {
						t.Fatal(err)
					}
					for _, b := range step {
						rows += len(b.IDs)
						tasks = append(tasks, b.Tasks...)
						for s, ids := range b.IDs {
							documents := []int{len(ids)}
							if b.Documents != nil {
								documents = b.Documents[s]
							}
							room := l.Pack
							for _, n := range documents {
								if !slices.Equal(ids[:n], list[ids[0]].IDs) {
									t.Fatalf("a document is %v", ids[:n])
								}
								got, ids, room = append(got, int(ids[0])), ids[n:], room-n-l.Virtual
							}
							if len(ids) > 0 || l.Pack > 0 && room < 0 {
								t.Fatalf("a row of %d documents has %d tokens too many", len(documents), max(len(ids), -room))
							}
						}
					}
				}
				for i, example := range got {
					if tasks[i] != example%3 {
						t.Fatalf("example %d has task %d", example, tasks[i])
					}
				}
				slices.Sort(got)
				if !slices.Equal(got, count(57)) || rows != c.Rows() {
					t.Fatalf("an epoch of %d rows has %v", rows, got)
				}
			}
		})
	}
}

func count(n int) (list []int) {
	for i := range n {
		list = append(list, i)
	}
	return list
}

// TestByLength: the rows of a step are of similar length, the longest come first, and
// steps still differ from epoch to epoch.
func TestByLength(t *testing.T) {
	list := lengths(230)
	waste := func(l data.Loader) (padding int, first []int32) {
		c, err := l.Start(list, data.State{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2 * c.PerEpoch() {
			step, err := c.Next()
			if err != nil {
				t.Fatal(err)
			}
			longest, sum := 0, 0
			for _, ids := range step[0].IDs {
				longest, sum = max(longest, len(ids)), sum+len(ids)
			}
			if padding += longest*len(step[0].IDs) - sum; i%c.PerEpoch() == 0 {
				first = append(first, step[0].IDs[0][0])
				if l.ByLength && longest != 24 {
					t.Errorf("the first step of an epoch has %d tokens, not the longest", longest)
				}
			}
		}
		return padding, first
	}
	by, _ := waste(data.Loader{Batch: 8, ByLength: true, Seed: 1})
	any, _ := waste(data.Loader{Batch: 8, Seed: 1})
	if by*5 > any {
		t.Errorf("padding %d by length, %d without", by, any)
	}
}

// TestPackFill: rows are nearly full, and what doesn't fit is refused.
func TestPackFill(t *testing.T) {
	list := lengths(1000)
	tokens := 0
	for _, e := range list {
		tokens += len(e.IDs)
	}
	c, err := data.Loader{Pack: 128, Seed: 1}.Start(list, data.State{})
	if err != nil {
		t.Fatal(err)
	}
	if full := float64(tokens) / float64(128*c.Rows()); full < 0.98 {
		t.Errorf("rows are %.1f %% full", 100*full)
	}
	if _, err := (data.Loader{Pack: 20}).Start(list, data.State{}); !errors.Is(err, data.ErrOptions) || !strings.Contains(fmt.Sprint(err), "packed rows of 20") {
		t.Errorf("got %v", err)
	}
	if _, err := (data.Loader{Pack: 128, Batch: 500}).Start(list, data.State{}); !errors.Is(err, data.ErrTooFew) || !strings.Contains(fmt.Sprint(err), "packed rows are less than one batch") {
		t.Errorf("got %v", err)
	}
}

// repeated gives a line again and again, up to a number of bytes.
type repeated struct {
	line string
	left int
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, io.EOF
	}
	n := 0
	for n < len(p) && r.left > 0 {
		k := copy(p[n:], r.line[r.at:])
		n, r.at, r.left = n+k, (r.at+k)%len(r.line), r.left-k
	}
	return n, nil
}

// TestLargeFile reads 96 MB of rows: memory stays far below that.
func TestLargeFile(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	t.Setenv("TMPDIR", t.TempDir())
	line := `{"prompt":"` + strings.Repeat("a long question ", 60) + `","completion":"yes"}` + "\n"
	o := options()
	o.MaxLength, o.Memory = 2000, 8<<20
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s, err := data.Read(t.Context(), "a.jsonl", &repeated{line: line, left: 96 << 20 / len(line) * len(line)}, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); s.Len() != 96<<20/len(line) || grown > 16<<20 {
		t.Errorf("%d examples take %d bytes", s.Len(), grown)
	}
	if high := int64(after.HeapSys) - int64(before.HeapSys); high > 64<<20 {
		t.Errorf("the heap grew by %d bytes", high)
	}
	e, err := s.Example(s.Len() - 1)
	if err != nil || e.Row != s.Len() || len(e.IDs) != 1+16*60+4 {
		t.Errorf("the last example is row %d with %d tokens, %v", e.Row, len(e.IDs), err)
	}
}

package data_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/transformer"
)

// anyList draws examples of any length, whose tokens say where they are from: no two are the same.
var anyList = rapid.Custom(func(t *rapid.T) data.List {
	var list data.List
	next := int32(0)
	for _, n := range rapid.SliceOfN(rapid.IntRange(1, 20), 1, 40).Draw(t, "lengths") {
		e := data.Example{IDs: make([]int32, n), Labels: make([]int32, n), Task: rapid.IntRange(0, 2).Draw(t, "task")}
		first := rapid.IntRange(0, n).Draw(t, "labelled from")
		for i := range n {
			e.IDs[i], e.Labels[i] = next, masked
			if i >= first {
				e.Labels[i] = next
			}
			next++
		}
		list = append(list, e)
	}
	return list
})

var anyLoader = rapid.Custom(func(t *rapid.T) data.Loader {
	l := data.Loader{
		Batch: rapid.IntRange(0, 5).Draw(t, "batch"), Accumulate: rapid.IntRange(0, 3).Draw(t, "accumulate"), Micro: rapid.IntRange(0, 4).Draw(t, "micro"),
		InOrder: rapid.Bool().Draw(t, "in order"), ByLength: rapid.Bool().Draw(t, "by length"), Seed: rapid.Uint64().Draw(t, "seed"),
	}
	if rapid.Bool().Draw(t, "packed") {
		l.Virtual = rapid.IntRange(0, 3).Draw(t, "virtual")
		l.Pack = 20 + l.Virtual + rapid.IntRange(0, 30).Draw(t, "room")
	}
	return l
})

// TestAnyEpoch: however rows are packed, ordered and put into batches, an epoch has each example
// once, whole, with its labels and its task, and no row is longer than it may be.
func TestAnyEpoch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list, l := anyList.Draw(t, "examples"), anyLoader.Draw(t, "loader")
		c, err := l.Start(list, data.State{})
		if err != nil {
			if len(list) >= max(1, l.Batch) && l.Pack == 0 {
				t.Fatalf("%d examples: %v", len(list), err)
			}
			return
		}
		seen := map[int32]bool{} // first tokens
		rows, targets := 0, 0
		for range c.PerEpoch() {
			step, err := c.Next()
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range step {
				rows, targets = rows+len(b.IDs), targets+labelled(b)
				if most := max(l.Micro, 1); l.Micro > 0 && len(b.IDs) > most || l.Micro == 0 && len(b.IDs) > max(1, l.Batch) {
					t.Fatalf("%d rows together", len(b.IDs))
				}
				checkRows(t, list, l, b, seen)
			}
		}
		want := 0
		for _, e := range list {
			want += len(e.Labels) - occurrences(e.Labels, masked)
		}
		if len(seen) != len(list) || rows != c.Rows() || targets != want {
			t.Fatalf("%d of %d examples, %d of %d rows, %d of %d labels", len(seen), len(list), rows, c.Rows(), targets, want)
		}
	})
}

func labelled(b transformer.Batch) (n int) {
	for _, labels := range b.Labels {
		n += len(labels) - occurrences(labels, masked)
	}
	return n
}

func occurrences(list []int32, x int32) (n int) {
	for _, v := range list {
		if v == x {
			n++
		}
	}
	return n
}

// checkRows takes the rows of a batch apart.
func checkRows(t *rapid.T, list data.List, l data.Loader, b transformer.Batch, seen map[int32]bool) {
	task := 0
	for i, ids := range b.IDs {
		labels, documents := b.Labels[i], []int{len(ids)}
		if b.Documents != nil {
			documents = b.Documents[i]
		}
		if n := len(ids) + l.Virtual*len(documents); l.Pack > 0 && n > l.Pack || l.Pack == 0 && len(documents) > 1 {
			t.Fatalf("a row of %d tokens, documents %v", n, documents)
		}
		for _, n := range documents {
			at := slices.IndexFunc(list, func(e data.Example) bool { return e.IDs[0] == ids[0] })
			if e := list[at]; seen[ids[0]] || !slices.Equal(e.IDs, ids[:n]) || !slices.Equal(e.Labels, labels[:n]) || b.Tasks[task] != e.Task {
				t.Fatalf("example %d: tokens %v, labels %v, task %d, want %v", at, ids[:n], labels[:n], b.Tasks[task], e)
			}
			seen[ids[0]] = true
			ids, labels, task = ids[n:], labels[n:], task+1
		}
		if len(ids) > 0 || len(labels) > 0 {
			t.Fatalf("%d tokens in no document", len(ids))
		}
	}
}

// TestAnyResume: a loader that goes on from any of its positions hands out what it would have.
func TestAnyResume(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list, l := anyList.Draw(t, "examples"), anyLoader.Draw(t, "loader")
		c, err := l.Start(list, data.State{})
		if err != nil {
			t.Skip(err)
		}
		for range rapid.IntRange(0, 3*c.PerEpoch()).Draw(t, "steps") {
			if _, err := c.Next(); err != nil {
				t.Fatal(err)
			}
		}
		again, err := l.Start(list, c.State())
		if err != nil {
			t.Fatal(err)
		}
		for range c.PerEpoch() + 1 {
			want, err1 := c.Next()
			got, err2 := again.Next()
			if fmt.Sprint(got, err2) != fmt.Sprint(want, err1) || c.State() != again.State() {
				t.Fatalf("%v, %v, want %v, %v", got, err2, want, err1)
			}
		}
	})
}

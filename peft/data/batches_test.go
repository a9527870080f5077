package data_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/peft/data"
)

// numbered returns examples whose first id counts.
func numbered(n int) data.List {
	list := make(data.List, n)
	for i := range list {
		list[i] = data.Example{IDs: []int32{int32(i), 1}, Labels: []int32{masked, 1}}
	}
	return list
}

// take returns the examples of some steps: by step, by batch.
func take(t *testing.T, l data.Loader, n, steps int) [][][]int {
	t.Helper()
	var got [][][]int
	for step, err := range l.Steps(numbered(n)) {
		if err != nil {
			t.Fatal(err)
		}
		var batches [][]int
		for _, b := range step {
			var list []int
			for i, ids := range b.IDs {
				if !slices.Equal(b.Labels[i], []int32{masked, 1}) {
					t.Errorf("labels %v", b.Labels[i])
				}
				list = append(list, int(ids[0]))
			}
			batches = append(batches, list)
		}
		if got = append(got, batches); len(got) == steps {
			break
		}
	}
	return got
}

func TestStepsInOrder(t *testing.T) {
	tests := []struct {
		name   string
		loader data.Loader
		n      int
		epoch  [][][]int
	}{
		{"even", data.Loader{Batch: 2}, 4, [][][]int{{{0, 1}}, {{2, 3}}}},
		{"last batch smaller", data.Loader{Batch: 2}, 3, [][][]int{{{0, 1}}, {{2}}}},
		{"accumulated", data.Loader{Batch: 2, Accumulate: 2}, 8, [][][]int{{{0, 1}, {2, 3}}, {{4, 5}, {6, 7}}}},
		{"last step smaller", data.Loader{Batch: 2, Accumulate: 2}, 7, [][][]int{{{0, 1}, {2, 3}}, {{4, 5}, {6}}}},
		{"last step much smaller", data.Loader{Batch: 2, Accumulate: 2}, 5, [][][]int{{{0, 1}, {2, 3}}, {{4}}}},
		{"one step", data.Loader{Batch: 2, Accumulate: 9}, 2, [][][]int{{{0, 1}}}},
		{"zero means one", data.Loader{}, 2, [][][]int{{{0}}, {{1}}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.loader.InOrder = true
			want := slices.Concat(test.epoch, test.epoch) // it begins again
			if got := take(t, test.loader, test.n, len(want)); !reflect.DeepEqual(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
			if steps, err := test.loader.StepsPerEpoch(numbered(test.n)); err != nil || steps != len(test.epoch) {
				t.Errorf("%d steps an epoch, %v, want %d", steps, err, len(test.epoch))
			}
		})
	}
}

func TestShuffle(t *testing.T) {
	l := data.Loader{Batch: 5, Seed: 7}
	const n, epochs = 20, 3
	got := take(t, l, n, epochs*n/5)
	if again := take(t, l, n, epochs*n/5); !reflect.DeepEqual(got, again) {
		t.Error("the same seed gives another order")
	}
	l.Seed++
	if other := take(t, l, n, epochs*n/5); reflect.DeepEqual(got, other) {
		t.Error("another seed gives the same order")
	}
	var before []int
	for epoch := range slices.Chunk(got, n/5) {
		var order []int
		for _, step := range epoch {
			order = append(order, slices.Concat(step...)...)
		}
		if slices.IsSorted(order) || slices.Equal(order, before) {
			t.Errorf("order %v after %v", order, before)
		}
		before = slices.Clone(order)
		slices.Sort(order)
		for i, v := range order {
			if i != v {
				t.Fatalf("an epoch has %v", order)
			}
		}
	}
}

func TestTooFew(t *testing.T) {
	l := data.Loader{Batch: 8}
	_, err := l.StepsPerEpoch(numbered(7))
	if !errors.Is(err, data.ErrTooFew) || err.Error() != "7 examples are less than one batch of 8: not enough data" {
		t.Errorf("got %v", err)
	}
	for step, err := range l.Steps(numbered(7)) {
		if step != nil || !errors.Is(err, data.ErrTooFew) {
			t.Errorf("got %v, %v", step, err)
		}
	}
}

func TestOnce(t *testing.T) {
	var sizes []int
	for b, err := range data.Once(numbered(5), 2) {
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(b.IDs))
	}
	if !slices.Equal(sizes, []int{2, 2, 1}) {
		t.Errorf("batches of %v", sizes)
	}
}

// rowsOf makes a file of n rows, the text of which is a letter.
func rowsOf(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "{\"input_ids\":[%d,1],\"labels\":[-100,1]}\n", i)
	}
	return text.String()
}

func TestSplit(t *testing.T) {
	first := func(s *data.Set) (ids []int) {
		for _, e := range all(t, s) {
			ids = append(ids, int(e.IDs[0]))
		}
		return ids
	}
	o := options()
	o.MaxLength = 2
	text := read(t, "a.txt", "aabbccddeeffgghhiij", o) // ten blocks, the first with BOS
	train, valid := text.Split(0.25, 1)
	if got := first(valid); !slices.Equal(got, []int{3 + 'g', 3 + 'h', 3 + 'i'}) || train.Len() != 7 {
		t.Errorf("text: %v, %v", first(train), got)
	}
	rows := read(t, "a.jsonl", rowsOf(100), options())
	train, valid = rows.Split(0.1, 1)
	_, again := rows.Split(0.1, 1)
	_, other := rows.Split(0.1, 2)
	both := append(first(train), first(valid)...)
	if valid.Len() != 10 || !slices.IsSorted(first(train)) || !slices.IsSorted(first(valid)) {
		t.Errorf("rows: %v", first(valid))
	}
	if slices.Sort(both); len(slices.Compact(both)) != 100 {
		t.Errorf("the parts have %d different rows", len(slices.Compact(both)))
	}
	if !slices.Equal(first(valid), first(again)) || slices.Equal(first(valid), first(other)) || slices.Equal(first(valid), first(rows)[90:]) {
		t.Error("the choice doesn't follow the seed")
	}
	for _, test := range []struct {
		n        int
		fraction float64
		held     int
	}{{10, 0, 0}, {1, 0.5, 0}, {2, 0.01, 1}, {3, 0.99, 2}} {
		s := read(t, "a.jsonl", rowsOf(test.n), options())
		if _, valid := s.Split(test.fraction, 1); valid.Len() != test.held {
			t.Errorf("%v of %d: %d held out, want %d", test.fraction, test.n, valid.Len(), test.held)
		}
	}
}

package tokenizer

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestMutatedFilesGiveErrorsOrWork puts odd values in the place of every value
// of real files, one at a time.
func TestMutatedFilesGiveErrorsOrWork(t *testing.T) {
	odd := []any{nil, true, -1, 0, 1e30, 3.5, "", "x", "▁", []any{}, []any{nil}, []any{[]any{}}, map[string]any{}, map[string]any{"type": "Sequence"}}
	for _, name := range []string{"smollm2", "metaspace-always"} {
		data, err := os.ReadFile(filepath.Join(goldenDir, name, "tokenizer.json"))
		if err != nil {
			t.Fatal(err)
		}
		doc := unmarshal[map[string]any](t, data)
		if _, err := Parse(data); err != nil {
			t.Fatal(err)
		}
		tried, refused := 0, 0
		mutate(doc, odd, func() {
			data, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			tried++
			tk, err := Parse(data)
			if err == nil {
				exercise(t, tk, "a b<s>x 12\n")
				return
			}
			refused++
			if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrUnsupported) {
				t.Errorf("error without a sentinel: %v\n%s", err, data)
			}
		})
		t.Logf("%s: %d files, %d refused", name, tried, refused)
	}
}

// bigList is the size from which only the first entries are replaced: those of a
// vocabulary are all alike.
const bigList, firstEntries = 40, 2

// mutate calls try once for every value below node and every odd value, with
// the odd value in its place.
func mutate(node any, odd []any, try func()) {
	switch node := node.(type) {
	case map[string]any:
		keys := slices.Sorted(maps.Keys(node))
		if len(keys) > bigList {
			keys = keys[:firstEntries]
		}
		for _, key := range keys {
			old := node[key]
			mutate(old, odd, try)
			for _, value := range odd {
				node[key] = value
				try()
			}
			delete(node, key)
			try()
			node[key] = old
		}
	case []any:
		for i, old := range node {
			if len(node) > bigList && i == firstEntries {
				return
			}
			mutate(old, odd, try)
			for _, value := range odd {
				node[i] = value
				try()
			}
			node[i] = old
		}
	}
}

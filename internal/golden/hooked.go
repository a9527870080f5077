package golden

import (
	"path/filepath"
	"testing"
)

// HookedKinds are the models that TransformerLens has computed.
var HookedKinds = []string{"llama2", "mistral", "gemma", "gemma2"}

// Hooked is a file of tensors that TransformerLens computed for one of the models.
// testdata/interp describes it.
type Hooked struct {
	Tokens []int32
	Floats map[string][]float32
	Shape  map[string][]int
}

// LoadHooked reads testdata/interp/KIND/NAME.safetensors.
func LoadHooked(t testing.TB, kind, name string) *Hooked {
	t.Helper()
	floats, ints, shapes := readTensors(t, hookedDir(kind), name)
	return &Hooked{ints["tokens"], floats, shapes}
}

// LoadScores reads testdata/interp/KIND/scores.json.
func LoadScores(t testing.TB, kind string, values any) {
	t.Helper()
	readJSON(t, filepath.Join(hookedDir(kind), "scores.json"), values)
}

func hookedDir(kind string) string { return filepath.Join(Root(), "..", "interp", kind) }

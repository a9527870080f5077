package golden

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// HookedKinds are the models that TransformerLens has computed.
var HookedKinds = []string{"llama2", "mistral", "gemma", "gemma2"}

// ToyKinds are toys that it has computed. testdata/toys describes them.
var ToyKinds = []string{"toys/attention", "toys/mlp", "toys/rotary"}

// HookedModel loads one of either; it is closed with the test.
func HookedModel(t testing.TB, b tensor.Backend, kind string) *transformer.Model {
	t.Helper()
	if strings.HasPrefix(kind, "toys/") {
		return (&Golden{Dir: hookedDir(kind)}).Model(t, b)
	}
	return (&Golden{Dir: filepath.Join(Root(), kind)}).Model(t, b)
}

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

func hookedDir(kind string) string {
	if strings.HasPrefix(kind, "toys/") {
		return filepath.Join(Root(), "..", kind)
	}
	return filepath.Join(Root(), "..", "interp", kind)
}

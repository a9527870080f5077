package tune_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/gpupeft/gpupeft/peft/tune"
)

// FuzzOpen reads any state.json.
func FuzzOpen(f *testing.F) {
	const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" // of no bytes
	for _, s := range []string{
		"", "{}", `{"format":1}`, `{"format":1,"step":3,"tensors_sha256":"` + empty + `","facts":[{"name":"a","value":"b"}]}`,
		`{"format":1,"step":-3,"tensors_sha256":"` + empty + `"}`, `{"format":1,"step":1e99}`, `[[[[`,
	} {
		f.Add(s)
	}
	dir := f.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "tensors.safetensors"), nil, 0o600); err != nil {
		f.Fatal(err)
	}
	state := filepath.Join(dir, "state.json")
	f.Fuzz(func(t *testing.T, text string) {
		_ = os.Remove(state) // ext4 brings a file that is cut off and written again to the disk, a new one not
		if err := os.WriteFile(state, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := tune.Open(dir)
		if err == nil {
			err = c.Fits([]tune.Fact{{Name: "a", Value: "b"}})
		}
		if err != nil && !errors.Is(err, tune.ErrCheckpoint) {
			t.Errorf("error %v", err)
		}
	})
}

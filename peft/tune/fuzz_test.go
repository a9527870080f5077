package tune_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/gpupeft/gpupeft/peft/tune"
)

// FuzzOpen reads any state.json, without the disk, which would take nearly all of the time.
func FuzzOpen(f *testing.F) {
	const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" // of no bytes
	for _, s := range []string{
		"", "{}", `{"format":1}`, `{"format":1,"step":3,"tensors_sha256":"` + empty + `","facts":[{"name":"a","value":"b"}]}`,
		`{"format":1,"step":-3,"tensors_sha256":"` + empty + `"}`, `{"format":1,"step":1e99}`, `[[[[`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := tune.Parse(text)
		if err == nil {
			if c.Step < 0 || c.Note != nil && !json.Valid(c.Note) {
				t.Errorf("step %d, note %q", c.Step, c.Note)
			}
			err = c.Fits([]tune.Fact{{Name: "a", Value: "b"}})
		}
		if err != nil && !errors.Is(err, tune.ErrCheckpoint) {
			t.Errorf("error %v", err)
		}
	})
}

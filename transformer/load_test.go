package transformer_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// TestLoadHoldsLittle: loading a large model, and packing it on the way, takes little of
// the host's memory beside what the backend takes.
func TestLoadHoldsLittle(t *testing.T) {
	const most = 256 << 20
	text, err := os.ReadFile(filepath.Join("..", "testdata", "configs", "gemma-2-2b", "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := transformer.OpenConfig([]byte(strings.Replace(string(text), `"num_hidden_layers": 26`, `"num_hidden_layers": 4`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	zeros := map[string]transformer.Stored{}
	for _, name := range c.Names() {
		s, _ := c.Tensor(name)
		s.Rows = func(dst []byte, _, _ int) error { clear(dst); return nil }
		zeros[name] = s
	}
	var held uint64
	var done, total int64
	progress := func(d, t int64) {
		done, total = d, t
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		held = max(held, m.HeapInuse)
	}
	runtime.GC()
	m, err := c.With(zeros).Load(t.Context(), tensor.NewPlan(tensor.Limits{}), transformer.LoadOptions{Quant: tensor.Q8_0, Progress: progress})
	if err != nil {
		t.Fatal(err)
	}
	if m.Bytes() < 3*most {
		t.Fatalf("a model of %d bytes shows nothing", m.Bytes())
	}
	if done != total || total != m.Bytes() {
		t.Errorf("%d of %d bytes were loaded at the end, the model has %d", done, total, m.Bytes())
	}
	if held == 0 || held > most {
		t.Errorf("%d bytes were held while loading %d", held, m.Bytes())
	}
}

//go:build unix

package hostile_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gpupeft/gpupeft/internal/disk"
	"github.com/gpupeft/gpupeft/internal/hostile"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/peft/formats"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/safetensors"
	"github.com/gpupeft/gpupeft/transformer"
	"github.com/gpupeft/gpupeft/transformer/chat"
	"github.com/gpupeft/gpupeft/transformer/tokenizer"
)

// opened is a directory that remembers what was opened.
type opened struct {
	fs.FS
	mu    sync.Mutex
	names []string
}

func (o *opened) Open(name string) (fs.File, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.names = append(o.names, name)
	return o.FS.Open(name)
}

// strange are those names that files of a directory can't have.
func (o *opened) strange(known ...string) []string {
	return slices.DeleteFunc(o.names, func(n string) bool {
		return slices.Contains(known, n) || filepath.IsLocal(n) && fs.ValidPath(n) && !strings.ContainsAny(n, `/\:`) && n != "."
	})
}

// TestPaths: no file of a stranger can name a file that isn't beside it.
func TestPaths(t *testing.T) {
	f := newFiles(t)
	quote := func(s string) string {
		text, err := json.Marshal(s)
		must(t, err)
		return string(text)
	}
	lora := f.byName("lora weights")
	paths := hostile.Paths()
	if len(paths) < 100 {
		t.Errorf("%d paths", len(paths))
	}
	refused := 0
	for _, path := range paths {
		dir := &opened{FS: fstest.MapFS{"model.safetensors.index.json": {Data: []byte(`{"weight_map":{"a":` + quote(path) + `}}`)}}}
		c, err := safetensors.Open(dir, "model")
		if err == nil {
			must(t, c.Close())
		}
		if !errors.Is(err, tensor.ErrFormat) && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("weight_map %q: %v", path, err)
		}
		if errors.Is(err, tensor.ErrFormat) {
			refused++
		}
		if strange := dir.strange(); len(strange) > 0 {
			t.Errorf("weight_map %q: opened %q", path, strange)
		}

		config := fmt.Sprintf(`{"peft_type":"LORA","r":2,"target_modules":["q_proj","down_proj"],"base_model_name_or_path":%[1]s,"tokenizer_name_or_path":%[1]s,"revision":%[1]s,"prompt_tuning_init_state_dict_path":%[1]s}`, quote(path))
		dir = &opened{FS: fstest.MapFS{"adapter_config.json": {Data: []byte(config)}, "adapter_model.safetensors": {Data: lora}}}
		a, err := peft.Load(t.Context(), dir, f.model, peft.LoadOptions{})
		if err != nil {
			t.Errorf("base_model_name_or_path %q: %v", path, err)
			continue
		}
		must(t, a.Close())
		if strange := dir.strange(); len(strange) > 0 {
			t.Errorf("base_model_name_or_path %q: opened %q", path, strange)
		}
	}
	t.Logf("%d paths: %d refused as a shard's name, the others not found in the directory", len(paths), refused)
}

// TestSpecialFiles: what is in a stranger's directory in the place of a file, and never ends
// or never begins, isn't read.
func TestSpecialFiles(t *testing.T) {
	if _, err := os.Stat("/dev/zero"); err != nil {
		t.Skip("needs devices: ", err)
	}
	readers := map[string]func(dir fs.FS, path string) error{
		"config.json":                  func(dir fs.FS, _ string) error { _, err := transformer.Open(dir); return err },
		"model.gguf":                   func(dir fs.FS, _ string) error { _, err := transformer.Open(dir); return err },
		"model.safetensors":            func(dir fs.FS, _ string) error { _, err := safetensors.Open(dir, "model"); return err },
		"model.safetensors.index.json": func(dir fs.FS, _ string) error { _, err := safetensors.Open(dir, "model"); return err },
		"tokenizer.json":               func(dir fs.FS, _ string) error { _, err := tokenizer.Load(dir); return err },
		"tokenizer.model":              func(dir fs.FS, _ string) error { _, err := tokenizer.Load(dir); return err },
		"chat_template.jinja":          func(dir fs.FS, _ string) error { _, err := chat.Model{Dir: dir}.Find(); return err },
		"tokenizer_config.json":        func(dir fs.FS, _ string) error { _, err := chat.Model{Dir: dir}.Find(); return err },
		"adapter_config.json":          func(_ fs.FS, path string) error { _, _, err := formats.Read(path, formats.Options{}); return err },
		"train.jsonl": func(dir fs.FS, _ string) error {
			_, err := data.Open(t.Context(), dir, ".", data.Options{Vocab: 8, MaxLength: 8})
			return err
		},
	}
	makers := map[string]func(name string) error{
		"a link to /dev/zero": func(name string) error { return os.Symlink("/dev/zero", name) },
		"a link to nothing":   func(name string) error { return os.Symlink("nothing", name) },
		"a link to itself":    func(name string) error { return os.Symlink(name, name) },
		"a directory":         func(name string) error { return os.Mkdir(name, 0o755) },
		"a pipe":              func(name string) error { return syscall.Mkfifo(name, 0o600) },
	}
	for file, read := range readers {
		for what, put := range makers {
			t.Run(file+" is "+what, func(t *testing.T) {
				path := t.TempDir()
				must(t, put(filepath.Join(path, file)))
				done := make(chan error, 1)
				go func() { done <- read(disk.Dir(path), path) }()
				select {
				case err := <-done:
					if err == nil {
						t.Error("it was read")
					}
				case <-time.After(10 * time.Second):
					t.Fatal("no end")
				}
			})
		}
	}
}

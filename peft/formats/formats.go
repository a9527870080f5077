package formats

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gpupeft/gpupeft/internal/disk"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/transformer"
)

// Format is a way to store adapters.
type Format string

// The formats.
const (
	PEFT       Format = "peft"       // a directory of HF PEFT
	AdapterHub Format = "adapterhub" // a directory of AdapterHub's adapters
	MLX        Format = "mlx"        // a directory of mlx-lm
	LitGPT     Format = "litgpt"     // a directory of litgpt; can't be written
	GGUF       Format = "gguf"       // a file of llama.cpp
)

// Writable lists the formats that Write takes.
func Writable() []Format { return []Format{PEFT, AdapterHub, MLX, GGUF} }

// Options is what some formats need to know.
type Options struct {
	// Model is the configuration of the base model. GGUF needs it, to order the rows of
	// queries and keys; AdapterHub if an adapter is of up_proj or down_proj alone; mlx-lm if
	// one is of the embeddings or the output matrix.
	Model *transformer.Config
	// Name is the adapter's, which AdapterHub puts into every tensor's name; "" means
	// "gpupeft".
	Name string
}

// codec translates one format. read or write is nil where there is none.
type codec struct {
	detect func(path string, dir fs.FS) bool // dir is nil for a file
	read   func(path string, dir fs.FS, o Options) (*peft.State, error)
	write  func(path string, s *peft.State, o Options) error
	check  func(s *peft.State, o Options) error // why a state can't be written; nil: it can
}

// codecs are all formats, in the order of detection: adapter_config.json has a field
// peft_type in PEFT's directories alone.
var codecs = []struct {
	format Format
	codec
}{
	{GGUF, codec{isGGUF, readGGUF, writeGGUF, checkGGUF}},
	{LitGPT, codec{isLitGPT, readLitGPT, nil, nil}},
	{MLX, codec{isMLX, readMLX, writeMLX, checkMLX}},
	{AdapterHub, codec{isAdapterHub, readAdapterHub, writeAdapterHub, checkAdapterHub}},
	{PEFT, codec{
		func(_ string, dir fs.FS) bool { return dir != nil && exists(dir, "adapter_config.json") },
		func(_ string, dir fs.FS, _ Options) (*peft.State, error) { return peft.Read(dir) },
		func(path string, s *peft.State, _ Options) error { return s.Write(path) },
		checkPEFT,
	}},
}

// Read reads an adapter in any of the formats.
func Read(path string, o Options) (*peft.State, Format, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, "", err
	}
	var dir fs.FS
	if info.IsDir() {
		dir = disk.Dir(path)
	}
	for _, c := range codecs {
		if c.detect(path, dir) {
			s, err := c.read(path, dir, o)
			if err != nil {
				return nil, c.format, fmt.Errorf("%s as %s: %w", path, c.format, err)
			}
			return s, c.format, nil
		}
	}
	return nil, "", fmt.Errorf("%s is no adapter (no adapter_config.json, lit_model.pth.*, or GGUF file): %w", path, fs.ErrNotExist)
}

// Check says why an adapter can't be written in a format; nil means that it can.
func Check(s *peft.State, f Format, o Options) error {
	for _, c := range codecs {
		switch {
		case c.format != f:
		case c.write == nil:
			return fmt.Errorf("%s can only be read: %w", f, transformer.ErrUnsupported)
		default:
			return c.check(s, o)
		}
	}
	return fmt.Errorf("format %q (known: peft, adapterhub, mlx, gguf): %w", f, peft.ErrConfig)
}

// Write writes an adapter: a directory, or for GGUF a file. The result is the same to
// the byte every time.
func Write(path string, s *peft.State, f Format, o Options) error {
	if err := Check(s, f, o); err != nil {
		return err
	}
	for _, c := range codecs {
		if c.format == f {
			return c.write(path, s, o)
		}
	}
	return nil
}

// checkPEFT refuses what PEFT doesn't have.
func checkPEFT(s *peft.State, _ Options) error {
	if !peft.Known(s.Config) {
		return fmt.Errorf("PEFT has no %s: %w", s.Config.Name(), transformer.ErrUnsupported)
	}
	return nil
}

func exists(dir fs.FS, name string) bool {
	_, err := fs.Stat(dir, name)
	return err == nil
}

// glob returns the only file that matches, or "".
func glob(dir fs.FS, pattern string) string {
	names, err := fs.Glob(dir, pattern)
	if err != nil || len(names) != 1 {
		return ""
	}
	return names[0]
}

// writeFiles writes a directory's files; each is complete or not there.
func writeFiles(dir string, files map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, data := range files {
		if err := disk.WriteBytes(filepath.Join(dir, name), data); err != nil {
			return err
		}
	}
	return nil
}

// unsupported is an error of what a format can't express.
func unsupported(f Format, format string, args ...any) error {
	return fmt.Errorf("%s can't express %s: %w", f, fmt.Sprintf(format, args...), transformer.ErrUnsupported)
}

// malformed is an error of a file.
func malformed(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), peft.ErrFormat)
}

const prefix = "base_model.model."

// moduleOf takes a tensor's name apart at a mark: "model.layers.0.mlp.up_proj", "lora_A".
func moduleOf(name, mark string) (module, rest string, ok bool) {
	i := strings.LastIndex(name, mark)
	if i < 1 {
		return "", "", false
	}
	return name[:i], name[i+len(mark):], true
}

package peft

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"strings"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/safetensors"
	"github.com/gpupeft/gpupeft/tensor/torchfile"
)

// Matrix is a tensor on the host, row-major.
type Matrix struct {
	Shape  []int
	Values []float32
}

// tensors are matrices by name.
type tensors map[string]Matrix

// ReadTensors reads all tensors of the first of some files that exists: of safetensors,
// by its ending, or of torch.save, whose pickle isn't run (see package torchfile). It
// also returns a safetensors file's metadata. Errors wrap ErrFormat, fs.ErrNotExist or
// the sentinels of package tensor and name the file and the tensor.
func ReadTensors(dir fs.FS, names ...string) (map[string]Matrix, map[string]string, error) {
	for _, name := range names {
		t, metadata, err := readTensors(dir, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && len(t) == 0 {
			err = fmt.Errorf("no tensors: %w", ErrFormat)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", name, err)
		}
		return t, metadata, err
	}
	return nil, nil, fmt.Errorf("no %s: %w", strings.Join(names, " or "), fs.ErrNotExist)
}

func readTensors(dir fs.FS, name string) (map[string]Matrix, map[string]string, error) {
	all := map[string]Matrix{}
	if base, ok := strings.CutSuffix(name, ".safetensors"); ok {
		c, err := safetensors.Open(dir, base)
		if err != nil {
			return nil, nil, err
		}
		defer c.Close()
		for _, name := range c.Names() {
			data, e, err := c.Read(name)
			if err == nil {
				all[name], err = matrixOf(name, e.DType, e.Shape, data)
			}
			if err != nil {
				return nil, nil, err
			}
		}
		return all, c.Metadata(), nil
	}
	r, size, closer, err := openAt(dir, name)
	if err != nil {
		return nil, nil, err
	}
	defer closer.Close()
	f, err := torchfile.New(r, size)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range f.Names() {
		data, e, err := f.Read(name)
		if err == nil {
			all[name], err = matrixOf(name, e.DType, e.Shape, data)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return all, nil, nil
}

// maxWhole bounds a file that can only be read as a whole.
const maxWhole = 1 << 30

// openAt opens a file for reading anywhere.
func openAt(dir fs.FS, name string) (io.ReaderAt, int64, io.Closer, error) {
	f, err := dir.Open(name)
	if err != nil {
		return nil, 0, nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, nil, errors.Join(err, f.Close())
	}
	if r, ok := f.(io.ReaderAt); ok {
		return r, info.Size(), f, nil
	}
	data, err := io.ReadAll(io.LimitReader(f, maxWhole+1))
	if err == nil && len(data) > maxWhole {
		err = fmt.Errorf("more than %d bytes: %w", maxWhole, ErrFormat)
	}
	if err != nil {
		return nil, 0, nil, errors.Join(err, f.Close())
	}
	return bytes.NewReader(data), int64(len(data)), f, nil
}

// floatTypes are the types that adapters are stored in.
var floatTypes = map[string]tensor.DType{"F32": tensor.F32, "F16": tensor.F16, "BF16": tensor.BF16}

// matrixOf converts a tensor of a file.
func matrixOf(name, dtype string, shape []int, data []byte) (Matrix, error) {
	dt, ok := floatTypes[dtype]
	if !ok || len(shape) == 0 || len(data) == 0 {
		return Matrix{}, fmt.Errorf("tensor %q: %s %v holds no floats: %w", name, dtype, shape, ErrFormat)
	}
	m := Matrix{shape, tensor.Unpack(nil, dt, data)}
	for _, v := range m.Values {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return m, fmt.Errorf("tensor %q holds %v: %w", name, v, ErrFormat)
		}
	}
	return m, nil
}

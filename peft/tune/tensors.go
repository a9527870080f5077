package tune

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gpupeft/gpupeft/internal/disk"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/safetensors"
)

// bestPrefix is put before the names of the parameters of the best evaluation.
const bestPrefix = "best."

// dtypes are the names that safetensors has for what a Trainer holds.
var dtypes = map[tensor.DType]string{tensor.F32: "F32", tensor.I32: "I32"}

// writeTensors writes what Trainer.Tensors names and the best parameters, and returns the
// file's hash.
func (s *session) writeTensors(ctx context.Context, name string) (sum string, err error) {
	backend := s.Run.Model().Backend()
	var all []safetensors.Tensor
	live := s.trainer.Tensors()
	for _, n := range slices.Sorted(maps.Keys(live)) {
		t := live[n]
		all = append(all, safetensors.Tensor{Name: n, DType: dtypes[t.DType], Shape: t.Shape, Stream: func(w io.Writer) error {
			data := make([]byte, t.Bytes())
			if err := backend.Read(ctx, t, data); err != nil {
				return err
			}
			_, err := w.Write(data)
			return err
		}})
	}
	if s.best != nil && s.best.values != nil {
		for i, q := range s.Method.Params().List {
			all = append(all, safetensors.Tensor{Name: bestPrefix + q.Name, DType: "F32", Shape: q.Shape, Data: bytesOf(s.best.values[i])})
		}
	}
	h := sha256.New()
	err = disk.Write(name, func(w io.Writer) error { return safetensors.Write(io.MultiWriter(w, h), nil, all) })
	return hex.EncodeToString(h.Sum(nil)), err
}

func bytesOf(values []float32) []byte {
	data := make([]byte, 0, 4*len(values))
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return data
}

func floatsOf(data []byte) []float32 {
	values := make([]float32, len(data)/4)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return values
}

// resume puts a run where its checkpoint was made.
func (s *session) resume(ctx context.Context) (err error) {
	c := s.Resume
	defer func() {
		if err != nil {
			err = fmt.Errorf("resume from %s: %w", c.Dir, err)
		}
	}()
	if err := c.Fits(s.Save.Facts); err != nil {
		return err
	}
	h, err := os.Open(filepath.Join(c.Dir, tensorsName))
	if err != nil {
		return err
	}
	defer h.Close()
	info, err := h.Stat()
	if err != nil {
		return err
	}
	f, err := safetensors.New(h, info.Size())
	if err != nil {
		return err
	}
	if err := s.readTensors(ctx, f); err != nil {
		return err
	}
	s.before = time.Duration(c.file.Seconds * float64(time.Second))
	s.waited, s.last = c.file.Waited, c.file.Last
	if s.last == nil || s.last.Stop.Complete() { // else its evaluation is to be saved, too
		s.lastSave = c.Step
	}
	return s.trainer.Resume(c.Step)
}

// readTensors is the inverse of writeTensors.
func (s *session) readTensors(ctx context.Context, f *safetensors.File) error {
	backend, live := s.Run.Model().Backend(), s.trainer.Tensors()
	for _, n := range slices.Sorted(maps.Keys(live)) {
		t := live[n]
		data, e, err := f.Read(n)
		if err != nil {
			return fmt.Errorf("%w: %w", err, ErrCheckpoint)
		}
		if e.DType != dtypes[t.DType] || !slices.Equal(e.Shape, t.Shape) {
			return fmt.Errorf("tensor %q: %s %v, this run has %s %v: %w", n, e.DType, e.Shape, dtypes[t.DType], t.Shape, ErrCheckpoint)
		}
		if err := backend.Write(ctx, t, data); err != nil {
			return err
		}
	}
	for _, n := range f.Names() {
		if _, ok := live[n]; !ok && !strings.HasPrefix(n, bestPrefix) {
			return fmt.Errorf("tensor %q has no place in this run: %w", n, ErrCheckpoint)
		}
	}
	if s.Resume.Best == nil {
		return nil
	}
	s.best = &kept{Best: *s.Resume.Best}
	if !s.KeepBest {
		return nil
	}
	for _, q := range s.Method.Params().List {
		data, e, err := f.Read(bestPrefix + q.Name)
		if err != nil || e.DType != "F32" || !slices.Equal(e.Shape, q.Shape) {
			return fmt.Errorf("tensor %q is missing or has another shape: %w", bestPrefix+q.Name, ErrCheckpoint)
		}
		s.best.values = append(s.best.values, floatsOf(data))
	}
	return nil
}

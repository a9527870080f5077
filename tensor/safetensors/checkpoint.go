package safetensors

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/gpupeft/gpupeft/tensor"
)

// Checkpoint is a set of tensors in one file or several shards.
type Checkpoint struct {
	where   map[string]*File // by tensor
	closers []io.Closer
}

// Open opens base+".safetensors" of dir, or the shards that
// base+".safetensors.index.json" names.
func Open(dir fs.FS, base string) (*Checkpoint, error) {
	single, index := base+".safetensors", base+".safetensors.index.json"
	c := &Checkpoint{where: map[string]*File{}}
	f, closer, err := open(dir, single)
	switch {
	case err == nil:
		c.closers = append(c.closers, closer)
		for name := range f.entries {
			c.where[name] = f
		}
		return c, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	data, err := fs.ReadFile(dir, index)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("neither %s nor %s: %w", single, index, fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	if err := c.openShards(dir, data); err != nil {
		c.Close()
		return nil, fmt.Errorf("%s: %w", index, err)
	}
	return c, nil
}

// openShards opens the files of an index and checks that each tensor is where
// the index says, and only there.
func (c *Checkpoint) openShards(dir fs.FS, data []byte) error {
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return fmt.Errorf("%v: %w", err, tensor.ErrFormat)
	}
	if len(index.WeightMap) == 0 {
		return fmt.Errorf("empty weight_map: %w", tensor.ErrFormat)
	}
	shards := map[string]*File{}
	for _, shard := range slices.Compact(slices.Sorted(maps.Values(index.WeightMap))) {
		if path.Base(shard) != shard || strings.ContainsAny(shard, `\:`) || !fs.ValidPath(shard) || shard == "." {
			return fmt.Errorf("shard name %q is no plain file name: %w", shard, tensor.ErrFormat)
		}
		f, closer, err := open(dir, shard)
		if err != nil {
			return err
		}
		c.closers = append(c.closers, closer)
		shards[shard] = f
		for name := range f.entries {
			if index.WeightMap[name] != shard {
				return fmt.Errorf("tensor %q is in %s, the index says %q: %w", name, shard, index.WeightMap[name], tensor.ErrFormat)
			}
		}
	}
	for name, shard := range index.WeightMap {
		if _, ok := shards[shard].entries[name]; !ok {
			return fmt.Errorf("tensor %q is missing in %s: %w", name, shard, tensor.ErrFormat)
		}
		c.where[name] = shards[shard]
	}
	return nil
}

// Names returns the tensors' names in order.
func (c *Checkpoint) Names() []string { return slices.Sorted(maps.Keys(c.where)) }

// Metadata returns what the header of the file says about itself; of shards, the first
// one's that has a tensor. It may be nil.
func (c *Checkpoint) Metadata() map[string]string {
	for _, name := range c.Names() {
		return c.where[name].Metadata
	}
	return nil
}

// Entry describes a tensor.
func (c *Checkpoint) Entry(name string) (Entry, bool) {
	f, ok := c.where[name]
	if !ok {
		return Entry{}, false
	}
	return f.Entry(name)
}

// Read returns a tensor's bytes as stored.
func (c *Checkpoint) Read(name string) ([]byte, Entry, error) {
	f, ok := c.where[name]
	if !ok {
		return nil, Entry{}, fmt.Errorf("tensor %q: %w", name, fs.ErrNotExist)
	}
	return f.Read(name)
}

// ReadAt fills dst with a tensor's bytes from an offset within it on.
func (c *Checkpoint) ReadAt(name string, dst []byte, offset int64) error {
	f, ok := c.where[name]
	if !ok {
		return fmt.Errorf("tensor %q: %w", name, fs.ErrNotExist)
	}
	return f.ReadAt(name, dst, offset)
}

// Close closes the files.
func (c *Checkpoint) Close() error {
	var err error
	for _, h := range c.closers {
		err = errors.Join(err, h.Close())
	}
	c.closers = nil
	return err
}

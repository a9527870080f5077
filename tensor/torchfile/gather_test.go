package torchfile_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/gpupeft/gpupeft/tensor/torchfile"
)

// counter counts what is read, in all and at most at a time.
type counter struct {
	r           io.ReaderAt
	total, most int
	calls       int
}

// ReadAt implements io.ReaderAt.
func (c *counter) ReadAt(p []byte, off int64) (int, error) {
	c.total += len(p)
	c.most = max(c.most, len(p))
	c.calls++
	return c.r.ReadAt(p, off)
}

// numbered is a file of one tensor, a view of a storage of so many int32: 0, 1, 2, …
func numbered(t testing.TB, n int, offset int64, shape, stride []int64) []byte {
	data := make([]byte, 0, 4*n)
	for i := range n {
		data = binary.LittleEndian.AppendUint32(data, uint32(i))
	}
	pickle := one(view(storageID("IntStorage", "0", int64(n)), offset, nums(shape...), nums(stride...)))
	return archive(t, entry{name: "a/data.pkl", data: pickle}, entry{name: "a/data/0", data: string(data)})
}

// TestReadViews compares views with what their strides say, and looks how they are read.
func TestReadViews(t *testing.T) {
	const n = 1 << 20 // 4 MiB, four windows
	for name, c := range map[string]struct {
		offset        int64
		shape, stride []int64
		bytes, calls  int // at most
	}{
		"all":                  {0, []int64{1024, 1024}, []int64{1024, 1}, 4 << 20, 1},
		"rows":                 {4096, []int64{4, 1024}, []int64{1024, 1}, 16 << 10, 1},
		"transposed":           {0, []int64{1024, 1024}, []int64{1, 1024}, 4 << 20, 5},
		"cube reversed":        {0, []int64{16, 64, 1024}, []int64{1, 16, 1024}, 4 << 20, 5},
		"cube permuted":        {0, []int64{64, 1024, 16}, []int64{16, 1024, 1}, 4 << 20, 5},
		"columns":              {100, []int64{1000, 3}, []int64{1024, 1}, 4 << 20, 5},
		"every third":          {1, []int64{349000}, []int64{3}, 4 << 20, 5},
		"large gaps":           {7, []int64{3, 2}, []int64{300_001, 300}, 4 << 10, 3},
		"far apart":            {7, []int64{3}, []int64{400_000}, 12, 3},
		"wide rows":            {0, []int64{2, 400_000}, []int64{500_000, 1}, 3_200_000, 2},
		"wide columns":         {0, []int64{2, 200_000}, []int64{1, 2}, 2 << 20, 2},
		"rows of wide columns": {0, []int64{2, 2, 150_000}, []int64{500_000, 1, 2}, 5 << 20, 4},
		"one":                  {12345, nil, nil, 4, 1},
		"ones":                 {12345, []int64{1, 1}, []int64{1 << 40, 3}, 4, 1},
	} {
		t.Run(name, func(t *testing.T) {
			file := numbered(t, n, c.offset, c.shape, c.stride)
			r := &counter{r: bytes.NewReader(file)}
			f, err := torchfile.New(r, int64(len(file)))
			if err != nil {
				t.Fatal(err)
			}
			if r.total > 64<<10 {
				t.Errorf("%d bytes were read to open it", r.total)
			}
			*r = counter{r: r.r}
			data, _, err := f.Read("w")
			if err != nil {
				t.Fatal(err)
			}
			checkNumbers(t, data, c.offset, c.shape, c.stride)
			if r.total > c.bytes || r.calls > c.calls {
				t.Errorf("%d bytes in %d calls, at most %d; want at most %d bytes in %d calls", r.total, r.calls, r.most, c.bytes, c.calls)
			}
		})
	}
}

// checkNumbers compares with the definition: element [i, j, …] is number offset + i*stride[0] + j*stride[1] + …
func checkNumbers(t *testing.T, data []byte, offset int64, shape, stride []int64) {
	t.Helper()
	at := make([]int64, len(shape))
	for i := 0; ; i++ {
		number := offset
		for d, k := range at {
			number += k * stride[d]
		}
		if len(data) < 4*i+4 || binary.LittleEndian.Uint32(data[4*i:]) != uint32(number) {
			t.Fatalf("element %v of %d bytes isn't %d", at, len(data), number)
		}
		d := len(at) - 1
		for ; d >= 0 && at[d] == shape[d]-1; d-- {
			at[d] = 0
		}
		if d < 0 {
			if len(data) != 4*i+4 {
				t.Errorf("%d bytes, want %d", len(data), 4*i+4)
			}
			return
		}
		at[d]++
	}
}

// failing fails from a position on.
type failing struct {
	r    io.ReaderAt
	from int64
}

var errDisk = errors.New("disk on fire")

// ReadAt implements io.ReaderAt.
func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.from {
		return 0, errDisk
	}
	return f.r.ReadAt(p, off)
}

// TestReadErrors: an error of the disk is returned as it is.
func TestReadErrors(t *testing.T) {
	for _, name := range []string{"views.pt", "legacy.pt"} {
		file := read(t, name)
		f, err := torchfile.New(failing{bytes.NewReader(file), 0}, int64(len(file)))
		if f != nil || !errors.Is(err, errDisk) {
			t.Errorf("%s: %v", name, err)
		}
	}
	file := numbered(t, 1<<20, 0, []int64{1024, 1024}, []int64{1, 1024})
	broken := &failing{bytes.NewReader(file), int64(len(file))}
	f, err := torchfile.New(broken, int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	broken.from = 3 << 20
	if _, _, err := f.Read("w"); !errors.Is(err, errDisk) {
		t.Errorf("got %v", err)
	}
	if !slices.Equal(f.Names(), []string{"w"}) {
		t.Errorf("names %q", f.Names())
	}
}

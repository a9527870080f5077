// Package hostile gives tests files as strangers may send them: good ones with changes, and
// watches what reading them takes.
package hostile

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"slices"
	"testing"
	"time"
)

// What reading a file may take.
const (
	MaxMemory = 64 << 20 // beside the file's own size
	MaxTime   = time.Second
)

// numbers are what programs trip over; as text and as bytes.
var (
	numbers  = []string{"0", "-1", "1", "2", "7", "255", "65536", "2147483647", "2147483648", "4294967295", "4294967297", "9223372036854775807", "18446744073709551615", "1e99", "0.5"}
	integers = []uint64{0, 1, 2, 127, 255, 1 << 16, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1<<32 + 1, 1<<42 + 1, 1 << 62, 1 << 63, 1<<64 - 32, 1<<64 - 1}
	values   = []string{"null", "true", `""`, "[]", "{}", "[[]]", `{"a":{}}`, "[null]", `"\ud800"`, `"x"`, "-3"}
)

// File returns a copy of a file with a change, sometimes two or three.
func File(rng *rand.Rand, file []byte) []byte {
	file = slices.Clone(file)
	for range max(1, rng.IntN(6)-2) {
		if len(file) == 0 {
			return file
		}
		file = changes[rng.IntN(len(changes))](rng, file)
	}
	return file
}

var changes = []func(rng *rand.Rand, file []byte) []byte{
	func(rng *rand.Rand, file []byte) []byte { // a bit
		file[place(rng, file)] ^= 1 << rng.IntN(8)
		return file
	},
	func(rng *rand.Rand, file []byte) []byte { // a byte
		file[place(rng, file)] = byte(rng.Uint32())
		return file
	},
	func(rng *rand.Rand, file []byte) []byte { return file[:place(rng, file)] },
	func(rng *rand.Rand, file []byte) []byte { // some bytes are missing
		at := place(rng, file)
		return slices.Delete(file, at, min(len(file), at+1+rng.IntN(16)))
	},
	func(rng *rand.Rand, file []byte) []byte { // a piece comes again, elsewhere
		from := place(rng, file)
		piece := slices.Clone(file[from:min(len(file), from+1+rng.IntN(200))])
		return slices.Insert(file, place(rng, file), piece...)
	},
	func(rng *rand.Rand, file []byte) []byte { // an integer
		width := 4 << rng.IntN(2)
		b := binary.LittleEndian.AppendUint64(nil, integers[rng.IntN(len(integers))])[:width]
		copy(file[place(rng, file):], b)
		return file
	},
	number, number,
	value, value,
}

// place chooses a place, often near the beginning, where headers are.
func place(rng *rand.Rand, file []byte) int {
	if rng.IntN(3) == 0 {
		return rng.IntN(min(len(file), 512))
	}
	return rng.IntN(len(file))
}

// number replaces a number of a text.
func number(rng *rand.Rand, file []byte) []byte {
	const digits = "0123456789"
	at := place(rng, file)
	from := bytes.IndexAny(file[at:], digits)
	if from < 0 {
		return file
	}
	from += at
	to := from + len(file[from:]) - len(bytes.TrimLeft(file[from:], digits+".e"))
	return slices.Replace(file, from, to, []byte(numbers[rng.IntN(len(numbers))])...)
}

// value replaces what stands behind a colon or comma of JSON, up to the next one.
func value(rng *rand.Rand, file []byte) []byte {
	at := place(rng, file)
	from := bytes.IndexAny(file[at:], ":,[")
	if from < 0 {
		return file
	}
	from += at + 1
	to := bytes.IndexAny(file[from:], ",]}\n")
	if to < 0 {
		return file
	}
	return slices.Replace(file, from, from+to, []byte(values[rng.IntN(len(values))])...)
}

// Reader reads a file and writes what is in it to w.
type Reader func(t testing.TB, file []byte, w io.Writer) error

// Figures are what reading some files took at most.
type Figures struct {
	Files, Read int
	Memory      uint64 // see Once
	Time        time.Duration
}

// Check reads files that are made from a good one. Each is refused with an error that wraps
// one of those that are known, or read, and then to the same twice; with little memory, and
// soon. The good file itself is read.
func Check(t *testing.T, tries int, good []byte, read Reader, known ...error) (f Figures) {
	t.Helper()
	if err := read(t, good, io.Discard); err != nil {
		t.Fatalf("the file without changes: %v", err)
	}
	rng := rand.New(rand.NewPCG(uint64(tries), 1))
	for range tries {
		file := File(rng, good)
		fail := func(format string, args ...any) {
			t.Helper()
			name := filepath.Join(os.TempDir(), "gpupeft-hostile")
			t.Fatalf(format+" (%s, %v)", append(args, name, os.WriteFile(name, file, 0o600))...)
		}
		sum, memory, took, err := Once(t, file, read)
		if took > MaxTime {
			_, _, took, _ = Once(t, file, read) // the machine may have been busy
		}
		f.Files++
		f.Memory, f.Time = max(f.Memory, memory), max(f.Time, took)
		switch {
		case memory > MaxMemory:
			fail("%d bytes were allocated for a file of %d", memory, len(file))
		case took > MaxTime:
			fail("it took %v", took)
		case err != nil && !slices.ContainsFunc(known, func(k error) bool { return errors.Is(err, k) }):
			fail("an error of no known kind: %v", err)
		case err != nil:
			continue
		}
		f.Read++
		if again, _, _, err := Once(t, file, read); err != nil || again != sum {
			fail("read twice, it is not the same: %v", err)
		}
	}
	return f
}

// Once reads a file once, and says what that gave and took. memory is what was allocated
// in all beside the file's size, freed or not; where that is more than MaxMemory, the file is
// read again, and memory is the most that there was at a time.
func Once(t *testing.T, file []byte, read Reader) (sum [sha256.Size]byte, memory uint64, took time.Duration, err error) {
	defer func() {
		if p := recover(); p != nil {
			name := filepath.Join(os.TempDir(), "gpupeft-hostile")
			t.Errorf("panic (%s, %v)", name, os.WriteFile(name, file, 0o600))
			panic(p)
		}
	}()
	h := sha256.New()
	given := slices.Clone(file)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	err = read(t, given, h)
	took = time.Since(start)
	runtime.ReadMemStats(&after)
	if memory = after.TotalAlloc - before.TotalAlloc; memory > MaxMemory {
		memory = peak(func() { _ = read(t, given, io.Discard) })
	}
	memory -= min(memory, uint64(len(file)))
	return [sha256.Size]byte(h.Sum(nil)), memory, took, err
}

// peak returns the most bytes of the heap while f runs, beyond those before it.
func peak(f func()) uint64 {
	runtime.GC()
	heap := func() uint64 {
		s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	before, most := heap(), uint64(0)
	done, sampled := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(sampled)
		for {
			most = max(most, heap())
			select {
			case <-done:
				return
			case <-time.After(100 * time.Microsecond):
			}
		}
	}()
	f()
	close(done)
	<-sampled
	return most - min(most, before)
}

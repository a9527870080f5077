package quant

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"testing"
)

// formats are all formats by their names in the golden file.
var formats = map[string]*Format{
	"q8_0": &Q8_0, "q4_0": &Q4_0, "q4_1": &Q4_1, "q5_0": &Q5_0, "q5_1": &Q5_1,
	"q4_k": &Q4_K, "q5_k": &Q5_K, "q6_k": &Q6_K, "nf4": &NF4, "fp4": &FP4,
}

// golden is the file that testdata/quant/quant.py writes. Floats are little-endian binary32.
type golden struct {
	Values []byte // to pack
	Types  map[string]struct {
		Blocks, Unpacked []byte
		Packed           []byte // Values, where the reference can pack
	}
	Nested struct {
		Indices, Code, Scales, Absmax []byte
		Offset                        float32
		Block                         int
	}
}

func readGolden(t *testing.T) (g golden) {
	t.Helper()
	f, err := os.Open("../../../testdata/quant/golden.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(z).Decode(&g); err != nil {
		t.Fatal(err)
	}
	return g
}

func floats(data []byte) []float32 {
	values := make([]float32, len(data)/4)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return values
}

// same compares floats bit by bit and reports the first that differs.
func same(t *testing.T, got, want []float32, block int) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d values, want %d", len(got), len(want))
	}
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("value %d of block %d is %x, want %x", i%block, i/block, got[i], want[i])
		}
	}
}

// TestUnpackGolden compares with gguf-py and bitsandbytes, bit for bit.
func TestUnpackGolden(t *testing.T) {
	g := readGolden(t)
	for name, f := range formats {
		t.Run(name, func(t *testing.T) {
			blocks, want := g.Types[name].Blocks, floats(g.Types[name].Unpacked)
			if len(blocks) < 20*f.Bytes {
				t.Fatalf("only %d bytes", len(blocks))
			}
			got := make([]float32, len(want))
			f.Unpack(got, blocks)
			same(t, got, want, f.Block)
			for i := range len(blocks) / f.Bytes {
				f.unpackBlock(got[i*f.Block:][:f.Block], blocks[i*f.Bytes:][:f.Bytes])
			}
			same(t, got, want, f.Block)
		})
	}
}

// TestPackGolden compares with gguf-py and bitsandbytes, byte for byte.
func TestPackGolden(t *testing.T) {
	g := readGolden(t)
	values := floats(g.Values)
	for _, name := range []string{"q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "nf4", "fp4"} {
		t.Run(name, func(t *testing.T) {
			f, want := formats[name], g.Types[name].Packed
			got := make([]byte, len(values)/f.Block*f.Bytes)
			f.Pack(got, values)
			if len(got) != len(want) {
				t.Fatalf("%d bytes, want %d", len(got), len(want))
			}
			for i := range len(values) / f.Block {
				b, w := got[i*f.Bytes:][:f.Bytes], want[i*f.Bytes:][:f.Bytes]
				if !bytes.Equal(b, w) {
					t.Errorf("block %d of %v:\n%x, want\n%x", i, values[i*f.Block:][:f.Block], b, w)
				}
			}
		})
	}
}

// TestNestedScalesGolden compares with bitsandbytes, bit for bit.
func TestNestedScalesGolden(t *testing.T) {
	n := readGolden(t).Nested
	got := make([]float32, len(n.Indices))
	NestedScales(got, n.Indices, floats(n.Code), floats(n.Scales), n.Block, n.Offset)
	same(t, got, floats(n.Absmax), 1)
}

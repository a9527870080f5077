package gguf_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/gguf"
)

// le lays numbers and raw bytes out as a file has them; a string gets its length in
// front, raw text doesn't.
type raw string

func le(parts ...any) []byte {
	var b bytes.Buffer
	for _, p := range parts {
		switch p := p.(type) {
		case raw:
			b.WriteString(string(p))
		case []byte:
			b.Write(p)
		case string:
			b.Write(le(uint64(len(p)), raw(p)))
		default:
			if err := binary.Write(&b, binary.LittleEndian, p); err != nil {
				panic(err)
			}
		}
	}
	return b.Bytes()
}

// head is the beginning of a file with so many tensors and keys.
func head(tensors, keys uint64) []byte { return le(raw("GGUF"), uint32(3), tensors, keys) }

// info describes a tensor.
func info(name string, kind uint32, offset uint64, dims ...uint64) []byte {
	return le(name, uint32(len(dims)), dims, kind, offset)
}

// padded adds zeros up to a multiple of 32, and then so many.
func padded(b []byte, data int) []byte {
	return append(b, make([]byte, (32-len(b)%32)%32+data)...)
}

const f32, q8 = 0, 8

func TestMalformed(t *testing.T) {
	key := func(name string, kind uint32, value ...any) []byte {
		return append(head(0, 1), append(le(name, kind), le(value...)...)...)
	}
	one := func(b []byte, data int) []byte { return padded(append(head(1, 0), b...), data) }
	two := func(a, b []byte, data int) []byte { return padded(slices.Concat(head(2, 0), a, b), data) }
	aligned := func(n uint32) []byte { return key("general.alignment", 4, n) }
	good := padded(slices.Concat(head(1, 1), le("a", uint32(4), uint32(1)), info("w", f32, 0, 4)), 16)
	if _, err := gguf.New(bytes.NewReader(good), int64(len(good))); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		file []byte
		says string
	}{
		"empty":                     {nil, "ends"},
		"three bytes":               {le(raw("GGU")), "ends"},
		"magic":                     {le(raw("GGML"), uint32(3), uint64(0), uint64(0)), "GGML"},
		"magic of zip":              {le(raw("PK\x03\x04"), make([]byte, 40)), "not GGUF"},
		"version 0":                 {le(raw("GGUF"), uint32(0), uint64(0), uint64(0)), "version 0"},
		"version 1":                 {le(raw("GGUF"), uint32(1), uint64(0), uint64(0)), "version 1"},
		"version 4":                 {le(raw("GGUF"), uint32(4), uint64(0), uint64(0)), "version 4"},
		"big-endian":                {le(raw("GGUF"), uint32(3<<24), uint64(0), uint64(0)), "big-endian"},
		"no counts":                 {le(raw("GGUF"), uint32(3)), "ends"},
		"one count":                 {le(raw("GGUF"), uint32(3), uint64(0)), "ends"},
		"many tensors":              {head(1<<60, 0), "tensors"},
		"more tensors than bytes":   {head(1000, 0), "tensors"},
		"many keys":                 {head(0, math.MaxUint64), "keys"},
		"more keys than bytes":      {head(0, 10), "keys"},
		"no key":                    {append(head(0, 1), 1, 0, 0, 0, 0, 0, 0, 0, 'a', 0, 0, 0, 0), "ends"},
		"key past the end":          {append(head(0, 1), le(uint64(1<<40), make([]byte, 20))...), "string of"},
		"key of 2^64-1 bytes":       {append(head(0, 1), le(uint64(math.MaxUint64), make([]byte, 20))...), "string of"},
		"empty key":                 {key("", 4, uint32(1)), `""`},
		"key twice":                 {slices.Concat(head(0, 2), le("a", uint32(4), uint32(1)), le("a", uint32(4), uint32(1))), `"a"`},
		"value type 13":             {key("a", 13, uint64(0)), "type 13"},
		"value type 2^32-1":         {key("a", math.MaxUint32, uint64(0)), "type"},
		"value cut off":             {key("abc", 10, uint32(0)), "ends"},
		"bool 2":                    {key("a", 7, uint8(2), uint64(0)), "bool"},
		"string past the end":       {key("a", 8, uint64(100), raw("abc")), "string of 100"},
		"array of arrays":           {key("a", 9, uint32(9), uint64(1), uint32(4), uint64(0)), "array of type 9"},
		"array of type 99":          {key("a", 9, uint32(99), uint64(1)), "array of type 99"},
		"array past the end":        {key("a", 9, uint32(4), uint64(1000)), "1000 array elements"},
		"array of 2^63":             {key("a", 9, uint32(0), uint64(1<<63)), "array elements"},
		"array of strings past end": {key("a", 9, uint32(8), uint64(2), "x"), "array elements"},
		"array of u64 too large":    {key("a", 9, uint32(10), uint64(1), uint64(math.MaxUint64)), "array element"},
		"alignment 0":               {aligned(0), "alignment is 0"},
		"alignment 3":               {aligned(3), "alignment is 3"},
		"alignment 2^31":            {aligned(1 << 31), "alignment"},
		"alignment 2^21":            {aligned(1 << 21), "alignment is 2097152"},
		"alignment of type u8":      {key("general.alignment", 0, uint8(32)), "alignment is of type 0"},
		"alignment of type i32":     {key("general.alignment", 5, int32(32)), "alignment is of type 5"},
		"alignment of type f32":     {key("general.alignment", 6, float32(32)), "alignment is of type 6"},
		"alignment of type bool":    {key("general.alignment", 7, uint8(1)), "alignment is of type 7"},
		"alignment of type string":  {key("general.alignment", 8, uint64(2), raw("32")), "alignment is of type 8"},
		"alignment of type array":   {key("general.alignment", 9, uint32(4), uint64(1), uint32(32)), "alignment is of type 9"},
		"alignment of type u64":     {key("general.alignment", 10, uint64(32)), "alignment is of type 10"},
		"alignment of type i64":     {key("general.alignment", 11, int64(32)), "alignment is of type 11"},
		"tensor cut off":            {append(head(1, 0), le("w", uint32(1), uint64(4))...), "ends"},
		"no name":                   {one(info("", f32, 0, 4), 16), `""`},
		"no dimensions":             {one(info("w", f32, 0), 16), "0 dimensions"},
		"five dimensions":           {one(info("w", f32, 0, 1, 1, 1, 1, 1), 16), "5 dimensions"},
		"2^32-1 dimensions":         {one(le("w", uint32(math.MaxUint32), uint64(1)), 64), "dimensions"},
		"dimension 0":               {one(info("w", f32, 0, 4, 0), 16), "dimension 1 is 0"},
		"dimension 2^63":            {one(info("w", f32, 0, 1<<63), 16), "dimension 0"},
		"dimension that wraps":      {one(info("w", f32, 0, 1<<42+1), 16), "dimension 0"},
		"product overflows":         {one(info("w", f32, 0, 1<<30, 1<<30, 1<<30), 16), "dimension"},
		"type 4":                    {one(info("w", 4, 0, 4), 16), "type number 4"},
		"type 2^32-1":               {one(info("w", math.MaxUint32, 0, 4), 16), "type number"},
		"type q2_k":                 {one(info("w", 10, 0, 256), 84), "q2_k"},
		"type iq4_xs":               {one(info("w", 23, 0, 256), 136), "iq4_xs"},
		"rows are no whole blocks":  {one(info("w", q8, 0, 33, 2), 72), "blocks of 32"},
		"offset past the end":       {one(info("w", f32, 32, 4), 16), "truncated"},
		"offset 2^40":               {one(info("w", f32, 1<<40, 4), 16), "truncated"},
		"offset 2^63":               {one(info("w", f32, 1<<63, 4), 16), "offset"},
		"offset 2^64-32":            {one(info("w", f32, math.MaxUint64-31, 4), 16), "offset"},
		"offset unaligned":          {one(info("w", f32, 4, 1), 16), "multiple of 32"},
		"data cut off":              {one(info("w", f32, 0, 1000), 3999), "truncated"},
		"no data":                   {one(info("w", f32, 0, 4), 0), "truncated"},
		"name twice":                {two(info("w", f32, 0, 4), info("w", f32, 32, 4), 48), `"w"`},
		"overlap":                   {two(info("v", f32, 0, 64), info("w", f32, 32, 64), 512), "overlaps"},
		"same place":                {two(info("v", f32, 0, 4), info("w", f32, 0, 4), 64), "overlaps"},
		"claims 2^63 elements":      {append(le(raw("GGUF"), uint32(3), uint64(0), uint64(1), uint64(1)), le(raw("a"), uint32(9), uint32(0), uint64(1<<63))[:6]...), ""},
	}
	if len(cases) < 45 {
		t.Errorf("%d cases", len(cases))
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			_, err := gguf.New(bytes.NewReader(c.file), int64(len(c.file)))
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, tensor.ErrFormat) && !errors.Is(err, tensor.ErrUnsupported) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q in it", err, c.says)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > uint64(len(c.file))+16<<20 {
				t.Errorf("%d bytes were allocated for a file of %d", n, len(c.file))
			}
			if took > time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// sample is a file with all kinds of values and tensors.
func sample(t testing.TB) []byte {
	t.Helper()
	metadata := []gguf.KV{
		{Key: "general.architecture", Value: "llama"},
		{Key: "general.alignment", Value: uint32(32)},
		{Key: "u8", Value: uint8(200)},
		{Key: "i8", Value: int8(-3)},
		{Key: "u16", Value: uint16(60000)},
		{Key: "i16", Value: int16(-300)},
		{Key: "i32", Value: int32(-70000)},
		{Key: "u64", Value: uint64(math.MaxUint64)},
		{Key: "f32", Value: float32(0.5)},
		{Key: "bool", Value: true},
		{Key: "strings", Value: []string{"", "ä", "long enough"}},
		{Key: "ints", Value: []int32{-1, 0, 7}},
		{Key: "floats", Value: []float32{1.5, -2}},
		{Key: "bools", Value: []bool{true, false}},
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var tensors []gguf.Tensor
	for _, dt := range []tensor.DType{
		tensor.F32, tensor.F16, tensor.BF16, tensor.Q8_0, tensor.Q4_0, tensor.Q4_1, tensor.Q5_0, tensor.Q5_1,
		tensor.Q4_K, tensor.Q5_K, tensor.Q6_K,
	} {
		data := make([]byte, dt.Bytes(3*256))
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		tensors = append(tensors, gguf.Tensor{Name: "w." + dt.String(), DType: dt, Shape: []int{3, 256}, Data: data})
	}
	var b bytes.Buffer
	if err := gguf.Write(&b, metadata, tensors); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestMutated: files with a wrong byte, or cut off anywhere, give an error or load.
func TestMutated(t *testing.T) {
	good := sample(t)
	rng := rand.New(rand.NewPCG(3, 4))
	header := bytes.Index(good, []byte("w.q6_k")) + 60
	loaded := 0
	for range 5000 {
		file := slices.Clone(good)
		file[rng.IntN(header)] ^= byte(1 + rng.IntN(255))
		if readAll(file) == nil {
			loaded++
		}
	}
	if loaded == 0 || loaded == 5000 {
		t.Errorf("%d of 5000 files load", loaded)
	}
	for n := range len(good) {
		if n > header && n%97 != 0 {
			continue
		}
		if readAll(good[:n]) == nil {
			t.Errorf("the first %d of %d bytes load", n, len(good))
		}
	}
}

// readAll opens a file and reads everything in it.
func readAll(file []byte) error {
	f, err := gguf.New(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return err
	}
	for _, name := range f.Names() {
		if _, _, err := f.Read(name); err != nil {
			return err
		}
	}
	return nil
}

// FuzzNew: no file makes the reader panic.
func FuzzNew(f *testing.F) {
	f.Add(sample(f))
	f.Add(head(1, 1))
	f.Add(padded(slices.Concat(head(1, 0), info("w", q8, 0, 32, 2)), 68))
	f.Fuzz(func(_ *testing.T, file []byte) { _ = readAll(file) })
}

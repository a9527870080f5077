package transformer_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gpupeft/gpupeft/internal/backends"
	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// bnbKinds are the directories of testdata/bnb, and the type that they are loaded as.
var bnbKinds = map[string]tensor.DType{"nf4": tensor.NF4, "nf4-double": tensor.NF4, "fp4": tensor.FP4}

// bnbGolden is golden.json of testdata/bnb.
type bnbGolden struct {
	SHA256 map[string]string // of the unpacked values of each packed matrix
	IDs    []int32
	Logits []float32
}

func loadBnb(t *testing.T, kind string) (fstest.MapFS, bnbGolden) {
	t.Helper()
	dir := filepath.Join("..", "testdata", "bnb", kind)
	files := fstest.MapFS{}
	for _, name := range []string{"config.json", "model.safetensors", "golden.json"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: data}
	}
	var g bnbGolden
	if err := json.Unmarshal(files["golden.json"].Data, &g); err != nil {
		t.Fatal(err)
	}
	return files, g
}

// TestBitsAndBytes: matrices that bitsandbytes packed unpack to the same bits, and the
// model gives HF's logits.
func TestBitsAndBytes(t *testing.T) {
	for kind, dt := range bnbKinds {
		t.Run(kind, func(t *testing.T) {
			files, g := loadBnb(t, kind)
			c, err := transformer.Open(files)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			packed := 0
			for _, name := range c.Names() {
				s, _ := c.Tensor(name)
				if s.DType != dt {
					continue
				}
				packed++
				data := make([]byte, s.Bytes(0, s.Shape[0]))
				for lo, at := 0, 0; lo < s.Shape[0]; lo += 3 { // in pieces
					hi := min(lo+3, s.Shape[0])
					n := int(s.Bytes(lo, hi))
					if err := s.Rows(data[at:at+n], lo, hi); err != nil {
						t.Fatal(err)
					}
					at += n
				}
				var values bytes.Buffer
				if err := binary.Write(&values, binary.LittleEndian, tensor.Unpack(nil, dt, data)); err != nil {
					t.Fatal(err)
				}
				if sum := sha256.Sum256(values.Bytes()); hex.EncodeToString(sum[:]) != g.SHA256[name] {
					t.Errorf("%s: other values than bitsandbytes'", name)
				}
			}
			if packed != len(g.SHA256) || packed != 14 {
				t.Errorf("%d packed matrices, want %d", packed, len(g.SHA256))
			}
			backends.Each(t, func(t *testing.T, b tensor.Backend) { checkBnbLogits(t, b, files, g) })
		})
	}
}

func checkBnbLogits(t *testing.T, b tensor.Backend, files fs.FS, g bnbGolden) {
	m, err := transformer.Load(t.Context(), b, files, transformer.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	r := mustRun(t, m, transformer.RunOptions{Batch: 1, Length: len(g.IDs)})
	if err := r.Forward(t.Context(), transformer.Batch{IDs: [][]int32{g.IDs}}); err != nil {
		t.Fatal(err)
	}
	logits, err := r.Logits(t.Context(), r.Rows())
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range logits {
		if math.Abs(float64(v-g.Logits[i])) > golden.MaxLogitError {
			t.Fatalf("logit %d: %v, HF has %v", i, v, g.Logits[i])
		}
	}
}

// TestBitsAndBytesErrors: packed matrices whose parts don't agree are refused before
// anything is read of them.
func TestBitsAndBytesErrors(t *testing.T) {
	good, _ := loadBnb(t, "nf4-double")
	weights := good["model.safetensors"].Data
	const q = "model.layers.0.self_attn.q_proj.weight"
	replace := func(from, to string) func(t *testing.T) []byte {
		return func(t *testing.T) []byte {
			if len(from) != len(to) || !bytes.Contains(weights, []byte(from)) {
				t.Fatalf("%q can't become %q", from, to)
			}
			return bytes.Replace(weights, []byte(from), []byte(to), 1)
		}
	}
	for name, c := range map[string]struct {
		file func(*testing.T) []byte
		kind error
		says string
	}{
		"type":         {replace(q+".quant_state.bitsandbytes__nf4", q+".quant_state.bitsandbytes__nf5"), transformer.ErrUnsupported, "nf5"},
		"state":        {replace(`{"quant_type": "nf4"`, `{"quant_type": nf4""`), transformer.ErrCheckpoint, "quant_state"},
		"other type":   {replace(`"quant_type": "nf4"`, `"quant_type": "fp4"`), transformer.ErrUnsupported, "fp4"},
		"block":        {replace(`"blocksize": 64`, `"blocksize": 32`), transformer.ErrUnsupported, "32"},
		"nested block": {replace(`"nested_blocksize": 256`, `"nested_blocksize": 255`), transformer.ErrUnsupported, "255"},
		"shape":        {replace(`"shape": [64, 64]`, `"shape": [64, 65]`), transformer.ErrUnsupported, "65"},
		"shape size":   {replace(`"shape": [64, 64]`, `"shape": [32, 64]`), transformer.ErrCheckpoint, "want 1024 values"},
		"shape sign":   {replace(`"shape": [64, 64]`, `"shape": [-4, 64]`), transformer.ErrCheckpoint, "-4"},
		"no absmax":    {replace(`"`+q+`.absmax"`, `"`+q+`.absmix"`), transformer.ErrCheckpoint, "absmax"},
		"no map":       {replace(`"`+q+`.quant_map"`, `"`+q+`.quant_mop"`), transformer.ErrCheckpoint, "quant_map"},
		"no nested":    {replace(`"`+q+`.nested_absmax"`, `"`+q+`.nested_absmix"`), transformer.ErrCheckpoint, "absmax"},
		"no nested map": {
			replace(`"`+q+`.nested_quant_map"`, `"`+q+`.nested_quant_mop"`), transformer.ErrCheckpoint,
			"nested_quant_map",
		},
	} {
		t.Run(name, func(t *testing.T) {
			files := maps.Clone(good)
			files["model.safetensors"] = &fstest.MapFile{Data: c.file(t)}
			_, err := transformer.Open(files)
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

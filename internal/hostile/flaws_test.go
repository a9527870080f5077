package hostile_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gpupeft/gpupeft/internal/hostile"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/tensor/gguf"
	"github.com/gpupeft/gpupeft/transformer"
	"github.com/gpupeft/gpupeft/transformer/chat"
	"github.com/gpupeft/gpupeft/transformer/tokenizer"
)

// flaw is a published vulnerability of a program that reads such files.
type flaw struct {
	id, about string
	file      []byte
	read      hostile.Reader
	says      string // in the error
}

// TestKnownFlaws reads files that made other programs crash, hang, run code, or read and
// write where they must not. The packages that read the formats have many more of the kind.
func TestKnownFlaws(t *testing.T) {
	f := newFiles(t)
	for _, c := range slices.Concat(f.ggufFlaws(), f.otherFlaws(t)) {
		t.Run(c.id+" "+c.about, func(t *testing.T) {
			_, memory, took, err := hostile.Once(t, c.file, c.read)
			if !slices.ContainsFunc(known, func(k error) bool { return errors.Is(err, k) }) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q in it", err, c.says)
			}
			if memory > hostile.MaxMemory || took > 2*time.Second { // a regular expression is given a second
				t.Errorf("%d bytes were allocated, and it took %v", memory, took)
			}
		})
	}
}

// le lays numbers and text out as GGUF has them: strings with their length in front.
func le(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case []byte:
			b = append(b, p...)
		case string:
			b = append(binary.LittleEndian.AppendUint64(b, uint64(len(p))), p...)
		default:
			b, _ = binary.Append(b, binary.LittleEndian, p) // numbers: never fails
		}
	}
	return b
}

func head(tensors, keys uint64, parts ...any) []byte {
	return slices.Concat([]byte("GGUF"), le(uint32(3), tensors, keys), le(parts...))
}

// shaped is a file with one tensor, and bytes behind it.
func shaped(kind uint32, offset uint64, dims ...uint64) []byte {
	return append(head(1, 0, "w", uint32(len(dims)), dims, kind, offset), make([]byte, 256)...)
}

func (f *files) ggufFlaws() []flaw {
	model := func(t testing.TB, b []byte, w io.Writer) error {
		return f.load(t, fstest.MapFS{"a.gguf": {Data: b}}, w)
	}
	vocabulary := func(_ testing.TB, b []byte, _ io.Writer) error {
		_, err := tokenizer.LoadGGUF(fstest.MapFS{"a.gguf": {Data: b}}, "a.gguf")
		return err
	}
	const f32, q4 = uint32(0), uint32(2)
	two := func(dims uint64) []byte {
		return append(head(2, 0, "v", uint32(1), dims, f32, uint64(0), "w", uint32(1), dims, f32, dims*4), make([]byte, 256)...)
	}
	pair := func(tokens ...any) []byte { // a tokenizer with one wrong list
		return head(0, 2, "tokenizer.ggml.model", uint32(8), "llama", "tokenizer.ggml.tokens", uint32(9), le(tokens...))
	}
	written := func(kvs ...gguf.KV) []byte {
		var b bytes.Buffer
		if err := gguf.Write(&b, kvs, nil); err != nil {
			panic(err)
		}
		return b.Bytes()
	}
	llama := func(key string, value any) []byte {
		kvs := []gguf.KV{
			{Key: "general.architecture", Value: "llama"},
			{Key: "llama.block_count", Value: uint32(1)},
			{Key: "llama.context_length", Value: uint32(8)},
			{Key: "llama.embedding_length", Value: uint32(8)},
			{Key: "llama.feed_forward_length", Value: uint32(8)},
			{Key: "llama.attention.head_count", Value: uint32(2)},
			{Key: "llama.attention.head_count_kv", Value: uint32(2)},
			{Key: "llama.attention.layer_norm_rms_epsilon", Value: float32(1e-5)},
			{Key: "llama.vocab_size", Value: uint32(8)},
		}
		kvs = slices.DeleteFunc(kvs, func(kv gguf.KV) bool { return kv.Key == key })
		if value != nil {
			kvs = append(kvs, gguf.KV{Key: key, Value: value})
		}
		return written(kvs...)
	}
	return []flaw{
		{"CVE-2024-21802", "five dimensions", shaped(f32, 0, 1, 1, 1, 1, 1), model, "5 dimensions"},
		{"CVE-2024-21802", "2^32-1 dimensions", head(1, 0, "w", uint32(math.MaxUint32), make([]byte, 99)), model, "dimensions"},
		{"CVE-2024-21836", "so many tensors that their size wraps", head(1<<60+1, 0), model, "tensors"},
		{"CVE-2024-21825", "so many array elements that their size wraps", head(0, 1, "a", uint32(9), uint32(12), uint64(1<<61+1)), model, "array elements"},
		{"CVE-2024-23496", "a string of 2^64-1 bytes", head(0, 1, uint64(math.MaxUint64), make([]byte, 99)), model, "string of"},
		{"CVE-2024-23605", "so many keys that their size wraps", head(0, 1<<60+1), model, "keys"},
		{"ggml PR 709", "a tensor of unknown type", shaped(1<<31, 0, 4), model, "type number"},
		{"ggml PR 709", "an array of unknown type", head(0, 1, "a", uint32(9), uint32(99), uint64(1)), model, "array of type 99"},
		{"CVE-2025-53630", "tensors whose sizes' sum wraps", two(1 << 61), model, ""},
		{"CVE-2026-27940", "tensors whose sizes' sum wraps to little", two(1<<61 + 8), model, ""},
		{"llama.cpp PR 19856", "a key twice", head(0, 2, "a", uint32(4), uint32(1), "a", uint32(4), uint32(2)), model, `"a"`},
		{"llama.cpp 18674", "a dimension of 2^42+1", shaped(f32, 0, 1<<42+1), model, "dimension"},
		{"llama.cpp 18674", "dimensions whose product wraps", shaped(f32, 0, 1<<31, 1<<31, 4, 1), model, ""},
		{"llama.cpp 15711", "more tensors than bytes", head(1<<56, 0), model, "tensors"},
		{"llama.cpp 24997", "an alignment of 2^31", head(0, 1, "general.alignment", uint32(4), uint32(1<<31)), model, "alignment"},
		{"llama.cpp 26318", "an alignment of type int32", head(0, 1, "general.alignment", uint32(5), int32(-32)), model, "alignment"},
		{"llama.cpp 26690", "tokens that are numbers", pair(uint32(4), uint64(2), uint32(1), uint32(2)), vocabulary, ""},
		{"CVE-2025-49847", "a token of 2^31 bytes", pair(uint32(8), uint64(1), uint64(1<<31), make([]byte, 64)), vocabulary, "string of"},
		{"llama.cpp 27188", "43 bytes that claim 2^63 elements", head(0, 1, "aaa", uint32(9), uint32(0), uint64(1<<63))[:43], model, ""},
		{"CVE-2026-7482", "a shape that exceeds the file", shaped(f32, 0, 1<<20), model, "truncated"},
		{"CVE-2026-7482", "an offset that exceeds the file", shaped(f32, 1<<20, 4), model, "truncated"},
		{"CVE-2026-7482", "an offset of 2^64-32", shaped(f32, math.MaxUint64-31, 4), model, "offset"},
		{"CVE-2026-53923", "a dimension that 32 bits cut to 256", shaped(q4, 0, 1<<32+256, 1), model, ""},
		{"CVE-2025-0315", "2^40 strings", head(0, 1, "a", uint32(9), uint32(8), uint64(1<<40)), model, "array elements"},
		{"GO-2025-3558", "a value that is cut off", head(0, 1, "a", uint32(10), uint32(1)), model, "ends"},
		{"GO-2025-3559", "no heads to divide by", llama("llama.attention.head_count", uint32(0)), model, ""},
		{"GO-2025-3689", "no key heads to divide by", llama("llama.attention.head_count_kv", uint32(0)), model, ""},
		{"GO-2025-3582", "a key that is missing", llama("llama.block_count", nil), model, "block_count"},
		{"GO-2025-3582", "no tensors", llama("", nil), model, ""},
	}
}

// evil is a pickle that runs a command when it is unpickled.
const evil = "\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85R."

func (f *files) otherFlaws(t *testing.T) []flaw {
	adapter := func(config, name string) hostile.Reader {
		return func(t testing.TB, b []byte, _ io.Writer) error {
			a, err := peft.Load(t.Context(), fstest.MapFS{"adapter_config.json": {Data: []byte(config)}, name: {Data: b}}, f.model, peft.LoadOptions{})
			if err == nil {
				err = a.Close()
			}
			return err
		}
	}
	pickled := adapter(`{"peft_type":"LORA","r":2,"target_modules":["q_proj"]}`, "adapter_model.bin")
	rows := func(t testing.TB, b []byte, _ io.Writer) error {
		_, err := data.Read(t.Context(), "a.jsonl", bytes.NewReader(b), data.Options{Tokens: f.tokenizer, Vocab: 1536, MaxLength: 64})
		return err
	}
	template := func(_ testing.TB, b []byte, w io.Writer) error {
		tmpl, err := chat.Jinja("chat_template", string(b), chat.Specials{})
		if err != nil {
			return err
		}
		_, err = tmpl.Render([]chat.Message{{Role: "user", Content: "hi"}}, true)
		return err
	}
	split := func(text string) hostile.Reader {
		return func(_ testing.TB, b []byte, _ io.Writer) error {
			tok, err := tokenizer.Parse(b)
			if err == nil {
				_, err = tok.Encode(text, false)
			}
			return err
		}
	}
	config := func(t testing.TB, b []byte, w io.Writer) error {
		return f.load(t, fstest.MapFS{"config.json": {Data: b}}, w)
	}
	index := func(t testing.TB, b []byte, w io.Writer) error {
		return f.load(t, fstest.MapFS{"config.json": {Data: []byte(smallConfig)}, "model.safetensors.index.json": {Data: b}}, w)
	}
	edited := func(old, with string) []byte {
		if !strings.Contains(smallConfig, old) {
			t.Fatalf("%s is not in the config", old)
		}
		return []byte(strings.Replace(smallConfig, old, with, 1))
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write(make([]byte, 1<<20))
	must(t, errors.Join(err, z.Close()))
	return []flaw{
		{"CVE-2024-3568", "a pickle that calls os.system", archive(t, zip.Store, evil), pickled, "os.system"},
		{"CVE-2025-32434", "the same in torch's old format", []byte(evil + evil), pickled, ""},
		{"CVE-2024-12886", "an archive that unpacks to 1,000 times its size", archive(t, zip.Deflate, strings.Repeat("\x00", 1<<24)), pickled, "compressed"},
		{"CVE-2024-12886", "packed rows", packed.Bytes(), rows, "gzip"},
		{"CVE-2024-34359", "a template that reaches for classes", []byte(`{{ ''.__class__.__mro__[1].__subclasses__() }}`), template, ""},
		{"CVE-2024-34359", "a template that reaches for modules", []byte(`{{ cycler.__init__.__globals__.os.popen('id').read() }}`), template, ""},
		{"CVE-2024-34359", "a template that never ends", []byte(`{% for i in range(99999999) %}{{ i }}{% endfor %}`), template, ""},
		{"CVE-2024-12720", "a regular expression that goes back without end", bytes.Replace(f.byName("tokenizer.json"), []byte(`"pre_tokenizer":`),
			[]byte(`"pre_tokenizer":{"type":"Split","pattern":{"Regex":"(a+)+$"},"behavior":"Isolated","invert":false},"pre_tokenizer_":`), 1), split(strings.Repeat("a", 5000) + "!"), ""},
		{"CVE-2026-21869", "a negative number of positions", edited(`"max_position_embeddings":64`, `"max_position_embeddings":-64`), config, "max_position_embeddings"},
		{"GO-2025-3559", "no heads to divide by", edited(`"num_key_value_heads":1`, `"num_key_value_heads":-1`), config, "num_key_value_heads"},
		{"GO-2025-3557", "2^24 layers", edited(`"num_hidden_layers":2`, `"num_hidden_layers":16777216`), config, "num_hidden_layers"},
		{"GO-2025-3557", "an adapter of rank 2^31", f.byName("lora weights"), adapter(`{"peft_type":"LORA","r":2147483648,"target_modules":["q_proj","down_proj"]}`, "adapter_model.safetensors"), ""},
		{
			"config", "the root of a negative number", bytes.Replace(f.byName("gemma2 config.json"), []byte(`"query_pre_attn_scalar":24`), []byte(`"query_pre_attn_scalar":-24`), 1),
			config, "query_pre_attn_scalar",
		},
		{"CVE-2025-52566", "tokens that the model hasn't", []byte(`{"input_ids":[1,4294967297],"labels":[1,2]}`), rows, "input_ids"},
		{"CVE-2025-52566", "tokens below 0", []byte(`{"input_ids":[1,-2],"labels":[1,2]}`), rows, ""},
		{"path traversal", "shards in the parent directory", []byte(`{"weight_map":{"a":"../model.safetensors"}}`), index, "../model.safetensors"},
		{"path traversal", "an absolute shard", []byte(`{"weight_map":{"a":"/etc/passwd"}}`), index, "/etc/passwd"},
		{"safetensors", "a header of 2^63 bytes", slices.Concat(le(uint64(1<<63)), make([]byte, 64)), adapter(`{"peft_type":"IA3","target_modules":["k_proj"],"feedforward_modules":[]}`, "adapter_model.safetensors"), "header"},
	}
}

// byName returns one of the good files.
func (f *files) byName(name string) []byte {
	i := slices.IndexFunc(f.all, func(s sample) bool { return s.name == name })
	return f.all[i].good
}

// archive is a file of torch.save with a pickle.
func archive(t *testing.T, method uint16, pickle string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.CreateHeader(&zip.FileHeader{Name: "archive/data.pkl", Method: method})
	must(t, err)
	_, err = io.WriteString(w, pickle)
	must(t, errors.Join(err, z.Close()))
	return b.Bytes()
}

// TestTokensBeyondTheModel: ids that a tokenizer has and the model hasn't are an error where
// they are used.
func TestTokensBeyondTheModel(t *testing.T) {
	f := newFiles(t)
	r, err := f.model.NewRun(transformer.RunOptions{Batch: 1, Length: 4})
	must(t, err)
	defer r.Close()
	for _, id := range []int32{1536, -1, math.MaxInt32, math.MinInt32} {
		if err := r.Forward(t.Context(), transformer.Batch{IDs: [][]int32{{1, id}}}); !errors.Is(err, transformer.ErrInput) {
			t.Errorf("id %d: %v", id, err)
		}
	}
	for _, o := range []transformer.RunOptions{{Batch: -1, Length: 4}, {Batch: 1, Length: -4}, {Batch: 1, Length: 4, Context: -1}, {Batch: 1 << 40, Length: 1 << 40}} {
		if r, err := f.model.NewRun(o); err == nil {
			t.Errorf("%+v is taken", o)
			must(t, r.Close())
		}
	}
}

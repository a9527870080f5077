package hostile_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gpupeft/gpupeft/internal/hostile"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/peft/formats"
	"github.com/gpupeft/gpupeft/peft/tune"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
	"github.com/gpupeft/gpupeft/transformer/chat"
	"github.com/gpupeft/gpupeft/transformer/demo"
	"github.com/gpupeft/gpupeft/transformer/tokenizer"
)

// smallConfig is that of a small model with the vocabulary of the demo's tokenizer.
const smallConfig = `{"architectures":["LlamaForCausalLM"],"model_type":"llama","vocab_size":1536,"hidden_size":8,"intermediate_size":12,"num_hidden_layers":2,
"num_attention_heads":2,"num_key_value_heads":1,"head_dim":4,"max_position_embeddings":64,"rope_theta":10000.0,"rms_norm_eps":1e-05,"hidden_act":"silu",
"rope_scaling":{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":32},
"attention_bias":false,"tie_word_embeddings":true,"bos_token_id":1,"eos_token_id":[2],"torch_dtype":"float32"}`

// known are the errors that say what is wrong with a file.
var known = []error{
	tensor.ErrFormat, tensor.ErrUnsupported, tensor.ErrMemory, transformer.ErrCheckpoint, transformer.ErrUnsupported, transformer.ErrInput, tokenizer.ErrFormat,
	tokenizer.ErrUnsupported, tokenizer.ErrEncode, peft.ErrFormat, peft.ErrMismatch, peft.ErrConfig, peft.ErrDiverged, data.ErrFormat, data.ErrTooFew, data.ErrOptions,
	tune.ErrCheckpoint, chat.ErrTemplate, chat.ErrMessages,
}

// files are good files, made by our own writers, and what reads them.
type files struct {
	backend   tensor.Backend
	model     *transformer.Model
	tokenizer *tokenizer.Tokenizer
	all       []sample
}

type sample struct {
	name string
	good []byte
	read hostile.Reader
}

// TestMutated reads some hundred files with changes, or as many as GPUPEFT_MUTATIONS says.
func TestMutated(t *testing.T) {
	tries := 1200
	if n, err := strconv.Atoi(os.Getenv("GPUPEFT_MUTATIONS")); err == nil {
		tries = n
	}
	f := newFiles(t)
	for _, s := range f.all {
		t.Run(s.name, func(t *testing.T) {
			figures := hostile.Check(t, (tries+len(f.all)-1)/len(f.all), s.good, s.read, known...)
			t.Logf("%d files, %d of them could be read, at most %d kB and %v", figures.Files, figures.Read, figures.Memory>>10, figures.Time)
			if used := f.backend.Memory().Tensors; used != f.tensors() {
				t.Errorf("%d tensors are left, %d before", used, f.tensors())
			}
		})
	}
}

func newFiles(t *testing.T) *files {
	f := &files{backend: tensor.NewCPU(1)}
	c, err := transformer.Random([]byte(smallConfig), 0.1, 1)
	must(t, err)
	f.model, err = c.Load(t.Context(), f.backend, transformer.LoadOptions{})
	must(t, err)
	t.Cleanup(func() { must(t, errors.Join(f.model.Close(), f.backend.Close())) })
	tok, err := fs.ReadFile(demo.Model(), "tokenizer.json")
	must(t, err)
	f.tokenizer, err = tokenizer.Parse(tok)
	must(t, err)
	meta, err := f.tokenizer.GGUF()
	must(t, err)
	var weights, file bytes.Buffer
	must(t, c.WriteSafetensors(&weights))
	plain, err := transformer.Random([]byte(strings.Replace(smallConfig, `"llama3"`, `"default"`, 1)), 0.1, 1)
	must(t, err)
	must(t, plain.WriteGGUF(&file, meta))

	f.add("safetensors", weights.Bytes(), func(t testing.TB, b []byte, w io.Writer) error {
		return f.load(t, fstest.MapFS{"config.json": {Data: []byte(smallConfig)}, "model.safetensors": {Data: b}}, w)
	})
	f.add("config.json", []byte(smallConfig), func(t testing.TB, b []byte, w io.Writer) error {
		return f.load(t, fstest.MapFS{"config.json": {Data: b}, "model.safetensors": {Data: weights.Bytes()}}, finite{w})
	})
	f.add("gguf", file.Bytes(), func(t testing.TB, b []byte, w io.Writer) error {
		dir := fstest.MapFS{"model.gguf": {Data: b}}
		tok, err := tokenizer.LoadGGUF(dir, "model.gguf")
		return errors.Join(f.load(t, dir, w), err, encode(tok, w))
	})
	f.add("tokenizer.json", tok, func(_ testing.TB, b []byte, w io.Writer) error {
		tok, err := tokenizer.Parse(b)
		return errors.Join(err, encode(tok, w))
	})
	f.add("tokenizer_config.json", []byte(`{"tokenizer_class":"LlamaTokenizerFast","bos_token":{"content":"<s>","lstrip":false},"eos_token":"</s>","unk_token":"<unk>",
		"pad_token":null,"add_bos_token":true,"add_eos_token":true,"model_max_length":256}`), func(_ testing.TB, b []byte, w io.Writer) error {
		tok, err := tokenizer.Load(fstest.MapFS{"tokenizer.json": {Data: tok}, "tokenizer_config.json": {Data: b}})
		return errors.Join(err, encode(tok, w))
	})
	f.addFamilies(t)
	f.addPacked(t)
	f.addTemplate()
	f.addAdapters(t)
	f.addFormats(t)
	f.addData(t)
	f.addCheckpoint(t)
	return f
}

func (f *files) add(name string, good []byte, read hostile.Reader) {
	f.all = append(f.all, sample{name, good, read})
}

// tensors are those that the model itself has.
func (f *files) tensors() int {
	n := 0
	for range f.model.Tensors() {
		n++
	}
	return n
}

// load loads a model and writes what it makes of three tokens.
func (f *files) load(t testing.TB, dir fs.FS, w io.Writer) (err error) {
	m, err := transformer.Load(t.Context(), f.backend, dir, transformer.LoadOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	return forward(t.Context(), m, w)
}

// finite refuses logits that are no numbers: a config that makes them of good weights is to
// be refused when it is read.
type finite struct{ io.Writer }

func (f finite) Write(logits []byte) (int, error) {
	for _, v := range tensor.Unpack(nil, tensor.F32, logits) {
		if math.IsNaN(float64(v)) {
			return 0, errors.New("a logit is no number")
		}
	}
	return f.Writer.Write(logits)
}

func forward(ctx context.Context, m *transformer.Model, w io.Writer, adapters ...transformer.Adapter) (err error) {
	length := 3
	for _, a := range adapters {
		length += a.(peft.Method).VirtualTokens()
	}
	r, err := m.NewRun(transformer.RunOptions{Batch: 1, Length: length, Adapters: adapters})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	ids := []int32{1, 5, 3}
	if err := r.Forward(ctx, transformer.Batch{IDs: [][]int32{ids}}); err != nil {
		return err
	}
	logits, err := r.Logits(ctx, r.LastRows())
	_, werr := w.Write(tensor.Pack(nil, tensor.F32, logits))
	return errors.Join(err, werr)
}

// encode writes the ids of a text and the text that they stand for.
func encode(tok *tokenizer.Tokenizer, w io.Writer) error {
	if tok == nil {
		return nil
	}
	ids, err := tok.Encode("Review: a good film, 12é\n\xff<s>", true)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(w, ids, tok.Decode(ids, false))
	return err
}

// addFamilies adds configs that the others have fields for.
func (f *files) addFamilies(t *testing.T) {
	for _, config := range []string{
		`{"model_type":"gemma2","vocab_size":40,"hidden_size":8,"intermediate_size":12,"num_hidden_layers":2,"num_attention_heads":2,"num_key_value_heads":1,"head_dim":4,
"max_position_embeddings":64,"rms_norm_eps":1e-06,"sliding_window":2,"hidden_activation":"gelu_pytorch_tanh","query_pre_attn_scalar":24,"attn_logit_softcapping":5.0,
"final_logit_softcapping":4.0,"rope_theta":10000.0}`,
		`{"model_type":"gemma3_text","vocab_size":40,"hidden_size":8,"intermediate_size":12,"num_hidden_layers":2,"num_attention_heads":2,"num_key_value_heads":1,"head_dim":4,
"max_position_embeddings":64,"rms_norm_eps":1e-06,"sliding_window":2,"hidden_activation":"gelu_pytorch_tanh","query_pre_attn_scalar":16,
"layer_types":["sliding_attention","full_attention"],"rope_parameters":{"full_attention":{"rope_type":"linear","factor":8.0,"rope_theta":1000000.0},
"sliding_attention":{"rope_type":"default","rope_theta":10000.0}}}`,
		`{"model_type":"gpupeft_toy","vocab_size":40,"max_position_embeddings":16,"hidden_size":8,"num_hidden_layers":2,"num_attention_heads":2,"head_dim":4,
"intermediate_size":0,"normalization":"none","position_embedding_type":"learned","tie_word_embeddings":false}`,
	} {
		c, err := transformer.Random([]byte(config), 0.1, 1)
		must(t, err)
		var weights bytes.Buffer
		must(t, c.WriteSafetensors(&weights))
		f.add(c.Config.Kind+" config.json", []byte(config), func(t testing.TB, b []byte, w io.Writer) error {
			return f.load(t, fstest.MapFS{"config.json": {Data: b}, "model.safetensors": {Data: weights.Bytes()}}, finite{w})
		})
	}
}

// addPacked adds weights in blocks.
func (f *files) addPacked(t *testing.T) {
	const config = `{"model_type":"llama","vocab_size":40,"hidden_size":64,"intermediate_size":64,"num_hidden_layers":1,"num_attention_heads":1,"max_position_embeddings":64,
"rms_norm_eps":1e-05,"quantization_config":{"quant_method":"bitsandbytes","load_in_4bit":true,"bnb_4bit_quant_type":"nf4"}}`
	c, err := transformer.Random([]byte(config), 0.1, 1)
	must(t, err)
	var nf4, q4 bytes.Buffer
	packed, err := c.Quantized(tensor.NF4)
	must(t, err)
	must(t, packed.WriteSafetensors(&nf4))
	packed, err = c.Quantized(tensor.Q4_0)
	must(t, err)
	must(t, packed.WriteGGUF(&q4, nil))
	f.add("nf4 safetensors", nf4.Bytes(), func(t testing.TB, b []byte, w io.Writer) error {
		return f.load(t, fstest.MapFS{"config.json": {Data: []byte(config)}, "model.safetensors": {Data: b}}, w)
	})
	f.add("q4_0 gguf", q4.Bytes(), func(t testing.TB, b []byte, w io.Writer) error {
		return f.load(t, fstest.MapFS{"model.gguf": {Data: b}}, w)
	})
}

// addFormats adds the files of adapters of other programs.
func (f *files) addFormats(t *testing.T) {
	a, err := peft.New(t.Context(), f.model, peft.LoRAConfig{Rank: 2, Alpha: 4, Targets: peft.Named("q_proj", "k_proj")})
	must(t, err)
	state, err := peft.StateOf(t.Context(), a)
	must(t, errors.Join(err, a.Close()))
	o := formats.Options{Model: f.model.Config}
	for _, format := range formats.Writable() {
		path := filepath.Join(t.TempDir(), "adapter.gguf") // a file of that name, or a directory
		must(t, formats.Write(path, state, format, o))
		must(t, filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			good, err := os.ReadFile(name)
			f.add(string(format)+" "+filepath.Base(name), good, func(t testing.TB, b []byte, w io.Writer) (err error) {
				must(t, os.WriteFile(name, b, 0o600))
				defer func() { must(t, os.WriteFile(name, good, 0o600)) }()
				s, _, err := formats.Read(path, o)
				if err != nil {
					return err
				}
				a, err := s.Load(t.Context(), f.model, peft.LoadOptions{})
				if err != nil {
					return err
				}
				defer func() { err = errors.Join(err, a.Close()) }()
				return forward(t.Context(), f.model, w, a)
			})
			return err
		}))
	}
}

func (f *files) addTemplate() {
	const source = `{{ bos_token }}{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('order') }}{% endif %}` +
		`{%- set text = m['content'] | trim %}{{ '<|' ~ m.role ~ '|>' + text[:100] }}{% for i in range(3) %}{{ i * 2 }}{% endfor %}{% endfor %}` +
		`{% if add_generation_prompt %}<|assistant|>{% endif %}`
	messages := []chat.Message{{Role: "user", Content: " hi "}, {Role: "assistant", Content: "yes"}}
	f.add("chat template", []byte(source), func(_ testing.TB, b []byte, w io.Writer) error {
		tmpl, err := chat.Jinja("chat_template", string(b), chat.Specials{BOS: "<s>", EOS: "</s>"})
		if err != nil {
			return err
		}
		text, err := tmpl.Render(messages, true)
		_, werr := io.WriteString(w, text)
		return errors.Join(err, werr)
	})
}

func (f *files) addAdapters(t *testing.T) {
	for _, c := range []peft.Config{
		peft.LoRAConfig{Rank: 2, Alpha: 4, Targets: peft.Named("q_proj", "down_proj")},
		peft.PromptConfig{Tokens: 2},
		peft.PrefixConfig{Tokens: 2},
		peft.AdaptionConfig{Tokens: 2, Layers: 1},
		peft.IA3Config{},
	} {
		a, err := peft.New(t.Context(), f.model, c)
		must(t, err)
		dir := t.TempDir()
		must(t, errors.Join(peft.Save(t.Context(), dir, a, peft.SaveOptions{BaseModel: "base"}), a.Close()))
		config, weights := read(t, dir, "adapter_config.json"), read(t, dir, "adapter_model.safetensors")
		load := func(t testing.TB, config, weights []byte, w io.Writer) (err error) {
			a, err := peft.Load(t.Context(), fstest.MapFS{"adapter_config.json": {Data: config}, "adapter_model.safetensors": {Data: weights}}, f.model, peft.LoadOptions{})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, a.Close()) }()
			return forward(t.Context(), f.model, w, a)
		}
		f.add(c.Name()+" adapter_config.json", config, func(t testing.TB, b []byte, w io.Writer) error { return load(t, b, weights, w) })
		f.add(c.Name()+" weights", weights, func(t testing.TB, b []byte, w io.Writer) error { return load(t, config, b, w) })
	}
}

func (f *files) addData(t *testing.T) {
	template, err := chat.Named("chatml", chat.Specials{})
	must(t, err)
	o := data.Options{Tokens: f.tokenizer, Vocab: f.model.Config.VocabSize, MaxLength: 128, Template: template}
	for _, s := range []struct{ name, row string }{
		{"text.jsonl", `{"text":"a film of %d minutes"}` + "\n"},
		{"completion.jsonl", `{"prompt":"is it %d?","completion":"yes"}` + "\n"},
		{"alpaca.jsonl", `{"instruction":"say","input":"%d","output":"ok"}` + "\n"},
		{"classes.jsonl", `{"text":"good %d","label":"a"}` + "\n"},
		{"chat.jsonl", `{"messages":[{"role":"user","content":"%d"},{"role":"assistant","content":"b"}]}` + "\n"},
		{"choices.jsonl", `{"question":"%d","choices":["a","b","c"],"answer":1}` + "\n"},
		{"ids.jsonl", `{"input_ids":[1,2,%d],"labels":[-100,2,3]}` + "\n"},
		{"text.txt", "Line %d of a text.\r\n"},
		{"table.csv", "\"a, %d\",yes\n"},
		{"table.tsv", "a %d\tyes\n"},
	} {
		var good strings.Builder
		good.WriteString(map[string]string{"table.csv": "prompt,completion\n", "table.tsv": "prompt\tcompletion\n"}[s.name])
		for i := range 20 {
			fmt.Fprintf(&good, s.row, i)
		}
		f.add(s.name, []byte(good.String()), func(t testing.TB, b []byte, w io.Writer) error {
			set, err := data.Read(t.Context(), s.name, bytes.NewReader(b), o)
			if err != nil {
				return err
			}
			defer set.Close()
			for e, err := range set.All() {
				if err != nil {
					return err
				}
				fmt.Fprint(w, e.IDs, e.Labels)
			}
			return nil
		})
	}
}

// addCheckpoint: a run goes on from a checkpoint whose files are changed; the hash of the
// tensors is made to fit.
func (f *files) addCheckpoint(t *testing.T) {
	dir := t.TempDir()
	steps, err := f.train(t, tune.Saving{Dir: dir, Every: 2, Last: true}, nil)
	must(t, err)
	if steps != 3 {
		t.Fatalf("%d steps", steps)
	}
	from := filepath.Join(dir, "step-00000002")
	state, tensors := read(t, from, "state.json"), read(t, from, "tensors.safetensors")
	resume := func(t testing.TB, state, tensors []byte, w io.Writer) error {
		dir := t.TempDir()
		must(t, errors.Join(os.WriteFile(filepath.Join(dir, "state.json"), state, 0o600), os.WriteFile(filepath.Join(dir, "tensors.safetensors"), tensors, 0o600)))
		c, err := tune.Open(dir)
		if err != nil {
			return err
		}
		steps, err := f.train(t, tune.Saving{}, c)
		fmt.Fprint(w, steps)
		return err
	}
	f.add("state.json", state, func(t testing.TB, b []byte, w io.Writer) error { return resume(t, b, tensors, w) })
	f.add("tensors of a checkpoint", tensors, func(t testing.TB, b []byte, w io.Writer) error {
		old, now := sha256.Sum256(tensors), sha256.Sum256(b)
		fits := bytes.Replace(state, []byte(hex.EncodeToString(old[:])), []byte(hex.EncodeToString(now[:])), 1)
		return resume(t, fits, b, w)
	})
}

// train trains for three steps, and says how many were taken.
func (f *files) train(t testing.TB, save tune.Saving, from *tune.Checkpoint) (steps int, err error) {
	a, err := peft.New(t.Context(), f.model, peft.LoRAConfig{Rank: 2, Alpha: 4})
	must(t, err)
	r, err := f.model.NewRun(transformer.RunOptions{Batch: 1, Length: 4, Train: true, Adapters: []transformer.Adapter{a}})
	must(t, err)
	defer func() { must(t, errors.Join(r.Close(), a.Close())) }()
	batch := transformer.Batch{IDs: [][]int32{{1, 2, 3, 4}}, Labels: [][]int32{{1, 2, 3, 4}}}
	j := tune.Job{
		Config: tune.Config{Train: peft.TrainConfig{Steps: 3, LR: 1e-3}, EvalEvery: 1, KeepBest: true, Save: save}, Run: r, Method: a, Resume: from,
		Data: func(int) iter.Seq2[[]transformer.Batch, error] {
			return func(yield func([]transformer.Batch, error) bool) {
				for yield([]transformer.Batch{batch}, nil) {
				}
			}
		},
		Evaluate: func(context.Context) (tune.Score, error) { return tune.Score{Loss: 1}, nil },
	}
	for _, err := range tune.Run(t.Context(), j) {
		if err != nil {
			return steps, err
		}
		steps++
	}
	return steps, nil
}

func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	must(t, err)
	return b
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

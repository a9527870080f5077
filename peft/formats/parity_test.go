package formats

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/internal/parity"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/gguf"
	"github.com/gpupeft/gpupeft/transformer"
)

// maker trains adapters and writes them for another library.
type maker struct {
	tensor.Backend
	dir  string
	jobs []parity.Job
}

func newMaker(t *testing.T) *maker {
	t.Helper()
	b := tensor.NewCPU(0)
	t.Cleanup(func() { b.Close() })
	return &maker{Backend: b, dir: t.TempDir()}
}

// make trains an adapter of a tiny model in dir for a few steps and writes it.
func (p *maker) make(t *testing.T, dir, name string, c peft.Config, f Format) {
	kind := filepath.Base(dir)
	t.Run("train/"+kind+"/"+name, func(t *testing.T) {
		m, err := transformer.Load(t.Context(), p, os.DirFS(dir), transformer.LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Close() })
		a, err := peft.New(t.Context(), m, c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { a.Close() })
		batch, width := golden.Load(t, kind).Batch("")
		job := parity.Job{
			Name: kind + "/" + name, Model: dir, Adapter: filepath.Join(p.dir, kind, name), IDs: batch.IDs,
			Bare: logitsOf(t, m, batch, width),
		}
		train(t, m, a, batch, width)
		job.Logits = logitsOf(t, m, batch, width, a)
		s, err := peft.StateOf(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		s.Base = kind
		if err := os.MkdirAll(filepath.Dir(job.Adapter), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := Write(job.Adapter, s, f, Options{Model: m.Config, Name: "parity"}); err != nil {
			t.Fatal(err)
		}
		p.jobs = append(p.jobs, job)
	})
}

func train(t *testing.T, m *transformer.Model, a peft.Method, batch transformer.Batch, width int) {
	t.Helper()
	r, err := m.NewRun(transformer.RunOptions{Batch: 2, Length: width, Train: true, Adapters: []transformer.Adapter{a}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data := func(yield func([]transformer.Batch, error) bool) {
		for yield([]transformer.Batch{batch}, nil) {
		}
	}
	for _, err := range peft.Train(t.Context(), r, a, data, peft.TrainConfig{Steps: 5, LR: 2e-2}) {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func logitsOf(t *testing.T, m *transformer.Model, batch transformer.Batch, width int, adapters ...transformer.Adapter) []float32 {
	t.Helper()
	r, err := m.NewRun(transformer.RunOptions{Batch: 2, Length: width, Adapters: adapters})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Forward(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	logits, err := r.Logits(t.Context(), r.Rows())
	if err != nil {
		t.Fatal(err)
	}
	return logits
}

func goldenDir(kind string) string { return filepath.Join(golden.Root(), kind) }

func loraOf(modules ...string) peft.LoRAConfig {
	return peft.LoRAConfig{Rank: 4, Alpha: 12, Targets: peft.Named(modules...)}
}

func doraOf(modules ...string) peft.LoRAConfig {
	c := loraOf(modules...)
	c.DoRA = true
	return c
}

// TestParityAdapterHub loads adapters made here in AdapterHub.
func TestParityAdapterHub(t *testing.T) {
	python := parity.Python(t, "adapterhub")
	seq, gelu, double, par := peft.SeqBn(), peft.SeqBn(), peft.DoubleSeqBn(), peft.ParBn()
	seq.Reduction, double.Reduction, par.Reduction = 8, 8, 8
	gelu.Act, gelu.LeaveOut = "gelu", []int{1}
	p := newMaker(t)
	for _, kind := range []string{"llama3", "mistral", "gemma2"} {
		for name, c := range map[string]peft.Config{
			"seq_bn": seq, "seq_bn-gelu": gelu, "double_seq_bn": double, "par_bn": par,
			"lora": loraOf("q_proj", "v_proj", "up_proj", "down_proj"), "lora-qkv": loraOf("q_proj", "k_proj", "v_proj"),
			"lora-up": loraOf("up_proj"), "lora-down": loraOf("k_proj", "down_proj"),
			"ia3": peft.IA3Config{Targets: peft.Named("k_proj", "v_proj", "down_proj"), OutputsOnly: true},
		} {
			p.make(t, goldenDir(kind), name, c, AdapterHub)
		}
	}
	parity.Compare(t, python, "check_adapterhub.py", p.jobs)
}

// TestParityMLX loads adapters made here in mlx-lm.
func TestParityMLX(t *testing.T) {
	python := parity.Python(t, "mlx")
	top := loraOf(peft.AllLinear)
	top.Layers = []int{2}
	p := newMaker(t)
	for _, kind := range []string{"llama2", "llama3", "llama-linear"} {
		for name, c := range map[string]peft.Config{
			"lora": loraOf(peft.AllLinear), "lora-top": top, "dora": doraOf(peft.AllLinear), "dora-qv": doraOf("q_proj", "v_proj"),
		} {
			p.make(t, goldenDir(kind), name, c, MLX)
		}
	}
	for _, kind := range []string{"llama2", "llama3"} { // the third is tied
		p.make(t, goldenDir(kind), "lora-embed", loraOf("embed_tokens", "q_proj"), MLX)
		p.make(t, goldenDir(kind), "lora-head", loraOf("lm_head", "down_proj"), MLX)
		p.make(t, goldenDir(kind), "dora-head", doraOf("lm_head", "q_proj"), MLX)
	}
	parity.Compare(t, python, "check_mlx.py", p.jobs)
}

// ggufLoRAs are what GGUF can express, for a model.
func ggufLoRAs(tied bool) map[string]peft.Config {
	ranks := loraOf("q_proj", "v_proj", "up_proj")
	ranks.RankPattern, ranks.AlphaPattern = map[string]int{"q_proj": 2}, map[string]float64{"up_proj": 3}
	all := map[string]peft.Config{"lora": loraOf(peft.AllLinear), "lora-qk": loraOf("q_proj", "k_proj"), "lora-ranks": ranks}
	if !tied {
		all["lora-embed"], all["lora-head"] = loraOf("embed_tokens", "v_proj"), loraOf("lm_head", "o_proj")
	}
	return all
}

// TestParityGGUF has gguf-py read adapters made here, and HF compute with them.
func TestParityGGUF(t *testing.T) {
	python := parity.Python(t, "python")
	p := newMaker(t)
	for _, kind := range golden.Kinds {
		m := golden.Load(t, kind).Model(t, p)
		for name, c := range ggufLoRAs(m.Config.Tied) {
			p.make(t, goldenDir(kind), name, c, GGUF)
		}
	}
	parity.Compare(t, python, "check_gguf.py", p.jobs)
}

// inGGUF are changes of the tiny models' configurations that make them expressible in
// GGUF, which leaves some numbers to the reader to know.
var inGGUF = map[string]map[string]any{
	"llama2":       {},
	"llama3":       {"rope_parameters": map[string]any{"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 8192, "rope_theta": 500000}},
	"llama-linear": {},
	"mistral":      {"sliding_window": nil},
	"gemma":        {},
	"gemma2":       {"query_pre_attn_scalar": 16},
}

// withConfig copies a tiny model, with fields of its configuration changed, and writes
// it as model.gguf too.
func withConfig(t *testing.T, kind string, changes map[string]any) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), kind)
	if err := os.CopyFS(dir, os.DirFS(goldenDir(kind))); err != nil {
		t.Fatal(err)
	}
	fields, name := map[string]any{}, filepath.Join(dir, "config.json")
	text, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(text, &fields)
	}
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(fields, changes)
	if text, err = json.Marshal(fields); err == nil {
		err = os.WriteFile(name, text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := transformer.Open(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c, err = c.Quantized(tensor.F32); err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := c.WriteGGUF(&file, []gguf.KV{{Key: "tokenizer.ggml.model", Value: "none"}}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "model.gguf"), file.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestParityLlamaCpp loads models and adapters made here in llama.cpp, which looks GELU
// up in a table of float16: TestParityGGUF has Gemma's adapters in float32.
func TestParityLlamaCpp(t *testing.T) {
	python := parity.Python(t, "llama")
	p := newMaker(t)
	for _, kind := range slices.Sorted(maps.Keys(inGGUF)) {
		dir := withConfig(t, kind, inGGUF[kind])
		before := len(p.jobs)
		for name, c := range ggufLoRAs(golden.Load(t, kind).Model(t, p).Config.Tied) {
			p.make(t, dir, name, c, GGUF)
		}
		jobs := p.jobs[before:]
		for i := range jobs {
			jobs[i].Model, jobs[i].Half = filepath.Join(dir, "model.gguf"), strings.HasPrefix(kind, "gemma")
		}
		bare := jobs[0]
		bare.Name, bare.Adapter, bare.Logits = kind+"/bare", "", bare.Bare
		p.jobs = append(p.jobs, bare)
	}
	parity.Compare(t, python, "check_llama.py", p.jobs)
}

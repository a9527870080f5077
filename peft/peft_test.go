package peft_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

func cpuModel(t *testing.T, kind string) *transformer.Model {
	t.Helper()
	b := tensor.NewCPU(0)
	t.Cleanup(func() { b.Close() })
	return golden.Load(t, kind).Model(t, b)
}

func TestPromptInit(t *testing.T) {
	m := cpuModel(t, "gemma")
	rows, err := m.EmbedRows(t.Context(), []int32{3, 9})
	if err != nil {
		t.Fatal(err)
	}
	p, err := peft.New(t.Context(), m, peft.PromptConfig{Tokens: 5, Init: peft.InitText, Text: []int32{3, 9}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	v, err := p.Params().Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first, second := rows[:m.Config.Hidden], rows[m.Config.Hidden:]
	if want := slices.Concat(first, second, first, second, first); !slices.Equal(v[0], want) {
		t.Error("a text of two tokens doesn't fill five rows in turn")
	}
	for _, init := range []peft.PromptInit{peft.InitVocab, peft.InitRandom} {
		values := func(seed uint64) []float32 {
			p, err := peft.New(t.Context(), m, peft.PromptConfig{Init: init, Seed: seed})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			v, err := p.Params().Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return v[0]
		}
		if a := values(1); len(a) != 20*m.Config.Hidden || !slices.Equal(a, values(1)) || slices.Equal(a, values(2)) {
			t.Errorf("%s: not decided by the seed", init)
		}
	}
}

func TestLoRAInit(t *testing.T) {
	m := cpuModel(t, "llama2")
	l, err := peft.New(t.Context(), m, peft.LoRAConfig{Rank: 4, Targets: peft.Named(peft.AllLinear), Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	values, err := l.Params().Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	for p := range transformer.NumProj {
		out, in := p.Size(m.Config)
		want += 4 * (out + in) * len(m.Config.Layers)
	}
	if got := l.Params().Count(); got != want {
		t.Errorf("%d parameters, want %d", got, want)
	}
	for i, p := range l.Params().List {
		if strings.HasSuffix(p.Name, "lora_B.weight") {
			if slices.ContainsFunc(values[i], func(x float32) bool { return x != 0 }) {
				t.Errorf("%s isn't zero", p.Name)
			}
			continue
		}
		bound := 1 / math.Sqrt(float64(p.Shape[1]))
		low, high := float64(slices.Min(values[i])), float64(slices.Max(values[i]))
		if low < -bound || high > bound || low > -0.8*bound || high < 0.8*bound {
			t.Errorf("%s lies in [%v, %v], want most of ±%v", p.Name, low, high, bound)
		}
	}
}

// TestModulesSaved: PEFT takes "all-linear" as the only word, not in a list, and has
// names in files itself.
func TestModulesSaved(t *testing.T) {
	for _, test := range []struct {
		names []string
		want  string
	}{
		{[]string{peft.AllLinear}, `["down_proj","gate_proj","k_proj","o_proj","q_proj","up_proj","v_proj"]`},
		{[]string{"lm_head", peft.AllLinear, "q_proj"}, `["down_proj","gate_proj","k_proj","lm_head","o_proj","q_proj","up_proj","v_proj"]`},
		{[]string{"v_proj", "q_proj"}, `["q_proj","v_proj"]`},
		{nil, `[]`}, // null would be PEFT's own choice
	} {
		if got, err := json.Marshal(peft.Named(test.names...)); err != nil || string(got) != test.want {
			t.Errorf("%v: %s, %v, want %s", test.names, got, err, test.want)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	m := cpuModel(t, "llama2")
	for _, c := range []peft.PromptConfig{{Tokens: -1}, {Tokens: 1 << 20}, {Init: peft.InitText}, {Init: "zeros"}} {
		if _, err := peft.New(t.Context(), m, c); !errors.Is(err, peft.ErrConfig) {
			t.Errorf("%+v: got %v", c, err)
		}
	}
	for _, c := range []peft.LoRAConfig{{Rank: -1}, {Rank: 1 << 20}, {Alpha: -1}, {Alpha: math.NaN()}, {Targets: peft.Named()}, {Targets: peft.Named("z_proj")}} {
		if _, err := peft.New(t.Context(), m, c); !errors.Is(err, peft.ErrConfig) {
			t.Errorf("%+v: got %v", c, err)
		}
	}
	p, err := peft.New(t.Context(), m, peft.PromptConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	r := newRun(t, m, transformer.RunOptions{Batch: 1, Length: 30, Train: true, Adapters: []transformer.Adapter{p}})
	for _, c := range []peft.TrainConfig{
		{},
		{Steps: 1},
		{LR: 1},
		{Steps: 1, LR: -1},
		{Steps: 1, LR: 1, Warmup: -1},
		{Steps: 1, LR: 1, WeightDecay: -1},
		{Steps: 1, LR: 1, MaxGradNorm: -1},
		{Steps: 1, LR: 1, Schedule: "step"},
		{Steps: 1, LR: math.NaN()},
	} {
		for _, err := range peft.Train(t.Context(), r, p, once(transformer.Batch{}), c) {
			if !errors.Is(err, peft.ErrConfig) {
				t.Errorf("%+v: got %v", c, err)
			}
		}
	}
	if _, err := m.NewRun(transformer.RunOptions{Batch: 1, Length: 4, Adapters: []transformer.Adapter{p, p}}); !errors.Is(err, transformer.ErrUnsupported) {
		t.Errorf("two prompts: got %v", err)
	}
}

func once(b transformer.Batch) iter.Seq2[[]transformer.Batch, error] {
	return func(yield func([]transformer.Batch, error) bool) { yield([]transformer.Batch{b}, nil) }
}

// TestAccumulation: two batches in one step are one batch of both.
func TestAccumulation(t *testing.T) {
	m := cpuModel(t, "llama2")
	g := golden.Load(t, "llama2")
	one, _ := g.Batch("train.0.")
	two, _ := g.Batch("train.1.")
	both := transformer.Batch{IDs: slices.Concat(one.IDs, two.IDs), Labels: slices.Concat(one.Labels, two.Labels)}
	train := func(micro ...transformer.Batch) (peft.Step, []float32) {
		l, err := peft.New(t.Context(), m, peft.LoRAConfig{Seed: 3})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		r := newRun(t, m, transformer.RunOptions{Batch: 4, Length: 40, Train: true, Adapters: []transformer.Adapter{l}})
		defer r.Close()
		var last peft.Step
		data := func(yield func([]transformer.Batch, error) bool) {
			for yield(micro, nil) {
			}
		}
		for s, err := range peft.Train(t.Context(), r, l, data, peft.TrainConfig{Steps: 3, LR: 1e-2}) {
			if err != nil {
				t.Fatal(err)
			}
			last = s
		}
		values, err := l.Params().Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return last, slices.Concat(values...)
	}
	a, av := train(one, two)
	b, bv := train(both)
	golden.NearNumber(t, "loss", a.Loss, b.Loss, 1e-5)
	golden.NearNumber(t, "gradient norm", a.GradNorm, b.GradNorm, 1e-4)
	golden.Near(t, "parameters", av, bv, 1e-7)
	if a.Tokens != b.Tokens || a.Targets != b.Targets || a.Step != 3 {
		t.Errorf("%+v and %+v", a, b)
	}
}

// TestDiverged: a NaN in the weights stops at the step, and can't be saved.
func TestDiverged(t *testing.T) {
	m := cpuModel(t, "llama2")
	p, err := peft.New(t.Context(), m, peft.PromptConfig{Tokens: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	row := p.Params().List[0].Value
	if err := tensor.WriteFloats(t.Context(), m.Backend(), row, slices.Repeat([]float32{float32(math.NaN())}, row.Len())); err != nil {
		t.Fatal(err)
	}
	r := newRun(t, m, transformer.RunOptions{Batch: 1, Length: 8, Train: true, Adapters: []transformer.Adapter{p}})
	n := 0
	for _, err := range peft.Train(t.Context(), r, p, once(transformer.Batch{IDs: [][]int32{{1, 2}}, Labels: [][]int32{{1, 2}}}), peft.TrainConfig{Steps: 5, LR: 1}) {
		if !errors.Is(err, peft.ErrDiverged) || !strings.Contains(err.Error(), "step 1") {
			t.Errorf("got %v", err)
		}
		n++
	}
	if n != 1 {
		t.Errorf("%d steps", n)
	}
	dir := t.TempDir()
	if err := peft.Save(t.Context(), dir, p, peft.SaveOptions{}); !errors.Is(err, peft.ErrDiverged) || !strings.Contains(err.Error(), "prompt_embeddings") {
		t.Errorf("save: got %v", err)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
}

// TestLoadErrors has one broken adapter for each rule.
func TestLoadErrors(t *testing.T) {
	g := golden.Load(t, "llama2")
	m := cpuModel(t, "llama2")
	read := func(dir string) fstest.MapFS {
		files := fstest.MapFS{}
		for _, name := range []string{"adapter_config.json", "adapter_model.safetensors"} {
			data, err := os.ReadFile(filepath.Join(g.Dir, dir, name))
			if err != nil {
				t.Fatal(err)
			}
			files[name] = &fstest.MapFile{Data: data}
		}
		return files
	}
	set := func(dir, field string, value any) fstest.MapFS {
		files, fields := read(dir), map[string]any{}
		if err := json.Unmarshal(files["adapter_config.json"].Data, &fields); err != nil {
			t.Fatal(err)
		}
		fields[field] = value
		data, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		files["adapter_config.json"] = &fstest.MapFile{Data: data}
		return files
	}
	without := func(name string) fstest.MapFS {
		files := read("adapter_lora")
		delete(files, name)
		return files
	}
	bin := without("adapter_model.safetensors")
	bin["adapter_model.bin"] = &fstest.MapFile{Data: []byte("\x80\x02cos\nsystem\n.")}
	renamed := read("adapter_lora")
	data := slices.Clone(renamed["adapter_model.safetensors"].Data)
	renamed["adapter_model.safetensors"] = &fstest.MapFile{Data: []byte(strings.Replace(string(data), "layers.2.mlp.up_proj.lora_A", "layers.7.mlp.up_proj.lora_A", 1))}
	allSeven := []string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
	for name, c := range map[string]struct {
		dir  fs.FS
		kind error
		says string
	}{
		"no config":      {without("adapter_config.json"), fs.ErrNotExist, "adapter_config.json"},
		"no weights":     {without("adapter_model.safetensors"), fs.ErrNotExist, "adapter_model.safetensors"},
		"pickle":         {bin, tensor.ErrUnsupported, "os.system"},
		"no JSON":        {fstest.MapFS{"adapter_config.json": {Data: []byte("{")}}, peft.ErrFormat, "adapter_config.json"},
		"other method":   {set("adapter_lora", "peft_type", "VERA"), transformer.ErrUnsupported, "VERA"},
		"DoRA":           {set("adapter_lora", "use_dora", true), peft.ErrFormat, "lora_magnitude_vector"},
		"changed base":   {set("adapter_lora", "init_lora_weights", "pissa_niter_4"), transformer.ErrUnsupported, "init_lora_weights"},
		"other task":     {set("adapter_lora", "task_type", "SEQ_CLS"), transformer.ErrUnsupported, "task_type"},
		"no target":      {set("adapter_lora", "target_modules", []string{"q_proj"}), peft.ErrMismatch, "has no place"},
		"typing error":   {set("adapter_lora", "target_modules", append(allSeven, "z_proj")), peft.ErrConfig, "z_proj"},
		"bias":           {set("adapter_lora", "bias", "all"), transformer.ErrUnsupported, "bias"},
		"other layers":   {set("adapter_lora", "layer_replication", [][]int{{0, 2}}), transformer.ErrUnsupported, "layer_replication"},
		"other rank":     {set("adapter_lora", "r", 3), peft.ErrMismatch, "lora_A"},
		"no alpha":       {set("adapter_lora", "lora_alpha", 0), peft.ErrFormat, "lora_alpha"},
		"bad pattern":    {set("adapter_lora", "rank_pattern", map[string]int{"(": 4}), peft.ErrConfig, "pattern"},
		"unknown layer":  {renamed, peft.ErrMismatch, "layers.7"},
		"other count":    {set("adapter_prompt", "num_virtual_tokens", 7), peft.ErrMismatch, "[7 32]"},
		"prompt is LoRA": {set("adapter_prompt", "peft_type", "LORA"), peft.ErrMismatch, "prompt_embeddings"},
		"no length":      {set("adapter_prompt", "num_virtual_tokens", nil), peft.ErrFormat, "num_virtual_tokens"},
		"LoRA is prompt": {set("adapter_lora", "peft_type", "PROMPT_TUNING"), peft.ErrFormat, "num_virtual_tokens"},
	} {
		before := m.Backend().Memory().InUse
		_, err := peft.Load(t.Context(), c.dir, m, peft.LoadOptions{})
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v", name, err)
		}
		if m.Backend().Memory().InUse != before {
			t.Errorf("%s: memory was kept", name)
		}
	}
	// An adapter for another model.
	other := cpuModel(t, "llama-linear")
	for _, dir := range []string{"adapter_lora", "adapter_prompt"} {
		if _, err := peft.Load(t.Context(), read(dir), other, peft.LoadOptions{}); !errors.Is(err, peft.ErrMismatch) {
			t.Errorf("%s on another model: got %v", dir, err)
		}
	}
}

// TestSaveErrors: nothing half-written stays behind.
func TestSaveErrors(t *testing.T) {
	m := cpuModel(t, "llama2")
	p, err := peft.New(t.Context(), m, peft.PromptConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := peft.Save(t.Context(), file, p, peft.SaveOptions{}); err == nil {
		t.Error("saved into a file")
	}
	if data, _ := os.ReadFile(file); string(data) != "x" {
		t.Error("the file was changed")
	}
}

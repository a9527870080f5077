package formats

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/internal/backends"
	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// hubDirs calls f for every adapter of testdata/hub.
func hubDirs(t *testing.T, f func(t *testing.T, kind, name string)) {
	dirs, err := filepath.Glob(filepath.Join(golden.Root(), "..", "hub", "*", "*"))
	if err != nil || len(dirs) < 40 {
		t.Fatalf("%d directories, %v", len(dirs), err)
	}
	for _, dir := range dirs {
		kind, name := filepath.Base(filepath.Dir(dir)), filepath.Base(dir)
		t.Run(kind+"/"+name, func(t *testing.T) { f(t, kind, name) })
	}
}

// read reads a directory of testdata/hub. litgpt's adapters were made with its mistake
// put right, so they are read past the refusal.
func read(t *testing.T, dir, name string, c *transformer.Config) *peft.State {
	t.Helper()
	if strings.HasPrefix(name, "litgpt-adapter") {
		file := "lit_model.pth.adapter"
		if name == "litgpt-adapter-v2" {
			file += "_v2"
		}
		l, err := openLit(os.DirFS(dir), file)
		if err != nil {
			t.Fatal(err)
		}
		s, err := l.adapterState(name == "litgpt-adapter-v2")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s, _, err := Read(dir, Options{Model: c})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestGoldens compares logits, loss, gradients and training of other libraries'
// adapters with theirs.
func TestGoldens(t *testing.T) {
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		hubDirs(t, func(t *testing.T, kind, name string) {
			base, g := golden.Load(t, kind), golden.LoadTuned(t, filepath.Join("hub", kind, name))
			m := base.Model(t, b)
			s := read(t, g.Dir, name, m.Config)
			for _, checkpoint := range []bool{false, true} {
				compare(t, b, base, g, m, s, name, checkpoint)
			}
			if len(g.Train.Losses) > 0 {
				follow(t, base, g, m, s)
			} else if !strings.HasPrefix(name, "mlx-") {
				t.Error("no training")
			}
		})
	})
}

func attach(t *testing.T, m *transformer.Model, s *peft.State, o transformer.RunOptions) (*transformer.Run, peft.Method) {
	t.Helper()
	a, err := s.New(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	o.Adapters = []transformer.Adapter{a}
	r, err := m.NewRun(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, a
}

func compare(t *testing.T, b tensor.Backend, base *golden.Golden, g *golden.Tuned, m *transformer.Model, s *peft.State, name string, checkpoint bool) {
	t.Helper()
	batch, width := base.Batch("")
	r, a := attach(t, m, s, transformer.RunOptions{Batch: 2, Length: width, Train: true, GradCheckpoint: checkpoint})
	if err := r.Forward(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	logits, err := r.Logits(t.Context(), r.Rows())
	if err != nil {
		t.Fatal(err)
	}
	golden.NearLogits(t, "logits", logits, golden.Real(g.Floats["logits"], batch, width))
	if g.Loss == 0 {
		return
	}
	loss, err := r.Loss(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	golden.NearNumber(t, "loss", loss.Mean(), g.Loss, golden.MaxLossError)
	if err := r.Backward(t.Context(), 1/float32(loss.Tokens)); err != nil {
		t.Fatal(err)
	}
	want := gradients(t, g, name)
	for _, p := range a.Params().List {
		got, err := tensor.Floats(t.Context(), b, p.Grad)
		if err != nil {
			t.Fatal(err)
		}
		w, ok := want[p.Name]
		if !ok {
			t.Fatalf("no gradient of %s", p.Name)
		}
		golden.Near(t, "gradient of "+p.Name, got, w.Values, golden.MaxGradNMSE)
	}
	if len(want) != len(a.Params().List) {
		t.Errorf("%d gradients, %d parameters", len(want), len(a.Params().List))
	}
}

// gradients are the goldens' under our names: they are translated as the tensors are.
func gradients(t *testing.T, g *golden.Tuned, name string) map[string]peft.Matrix {
	t.Helper()
	all := map[string]peft.Matrix{}
	for n, v := range g.Floats {
		if n, ok := strings.CutPrefix(n, "grad."); ok {
			all[n] = peft.Matrix{Shape: g.Shape["grad."+n], Values: v}
		}
	}
	var s *peft.State
	var err error
	if strings.HasPrefix(name, "litgpt") {
		files := map[string]string{"litgpt-lora": "lora", "litgpt-lora-qv": "lora", "litgpt-adapter": "adapter", "litgpt-adapter-v2": "adapter_v2"}
		var l *lit
		if l, err = openLit(os.DirFS(g.Dir), "lit_model.pth."+files[name]); err != nil {
			t.Fatal(err)
		}
		l.tensors = all
		if files[name] == "lora" {
			s, err = l.lora()
		} else {
			s, err = l.adapterState(files[name] == "adapter_v2")
		}
	} else {
		f := hubFile{Name: "tuned", Config: []byte(`{"r":1,"alpha":1,"reduction_factor":8,"non_linearity":"relu"}`)}
		switch name {
		case "lora":
			f.Config = []byte(`{"r":4,"alpha":8,"composition_mode":"add"}`)
			s, err = readHubLoRA(f, all)
		case "ia3":
			f.Config = []byte(`{"r":1,"alpha":1,"composition_mode":"scale"}`)
			s, err = readHubLoRA(f, all)
		default:
			s, err = readBottleneck(f, all)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return s.Tensors
}

func follow(t *testing.T, base *golden.Golden, g *golden.Tuned, m *transformer.Model, s *peft.State) {
	t.Helper()
	r, a := attach(t, m, s, transformer.RunOptions{Batch: 2, Length: 20, Train: true})
	data := func(yield func([]transformer.Batch, error) bool) {
		for next := 0; ; next++ {
			batch, _ := base.Batch(fmt.Sprintf("train.%d.", next%4))
			if !yield([]transformer.Batch{batch}, nil) {
				return
			}
		}
	}
	n := 0
	for step, err := range peft.Train(t.Context(), r, a, data, peft.TrainConfig{Steps: 20, LR: g.Train.LR}) {
		if err != nil {
			t.Fatal(err)
		}
		golden.NearNumber(t, fmt.Sprintf("loss of step %d", step.Step), step.Loss, g.Train.Losses[n], golden.MaxTrainLossError)
		n++
	}
	if n != 20 {
		t.Errorf("%d steps", n)
	}
}

package formats

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/gpupeft/gpupeft/internal/disk"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/gguf"
	"github.com/gpupeft/gpupeft/transformer"
)

// llama.cpp's LoRA file: metadata with general.type "adapter" and adapter.type "lora",
// one adapter.lora.alpha, and for every target its matrix's name with .lora_a [r, in]
// and .lora_b [out, r]; the scale is alpha/r. In the llama architecture (Llama and
// Mistral) the rows of q and k stand in llama.cpp's order of the rotary embedding. The
// embeddings' matrices are [V, r] and [D, r].

// ggufModules are llama.cpp's names in a layer.
var ggufModules = map[string]string{
	"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
	"ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}

// ggufArchitectures are llama.cpp's names of the model kinds.
var ggufArchitectures = map[string]string{"llama": "llama", "mistral": "llama", "gemma": "gemma", "gemma2": "gemma2", "gemma3_text": "gemma3"}

func isGGUF(path string, dir fs.FS) bool {
	if dir != nil {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var magic [4]byte
	n, err := f.Read(magic[:])
	return err == nil && n == 4 && string(magic[:]) == "GGUF"
}

// ggufModule translates a name: "blk.0.attn_q.weight" to "model.layers.0.self_attn.q_proj".
func ggufModule(name string) (string, bool) {
	switch name {
	case "token_embd.weight":
		return embedModule, true
	case "output.weight":
		return "lm_head", true
	}
	rest, ok := strings.CutPrefix(name, "blk.")
	number, inner, found := strings.Cut(rest, ".")
	module, known := ggufModules[strings.TrimSuffix(inner, ".weight")]
	return "model.layers." + number + "." + module, ok && found && known
}

// ggufName is the way back.
func ggufName(module string) (string, bool) {
	switch module {
	case embedModule:
		return "token_embd.weight", true
	case "lm_head":
		return "output.weight", true
	}
	l, ok := layerOf(module)
	if !ok {
		return "", false
	}
	for name, inner := range ggufModules {
		if module == "model.layers."+l+"."+inner {
			return "blk." + l + "." + name + ".weight", true
		}
	}
	return "", false
}

func readGGUF(path string, _ fs.FS, o Options) (*peft.State, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	f, err := gguf.New(file, info.Size())
	if err != nil {
		return nil, err
	}
	kind, err := f.String("general.type")
	if err != nil || kind != "adapter" {
		return nil, malformed("general.type is %q, not adapter: is it a model?", kind)
	}
	if t, err := f.String("adapter.type"); err != nil || t != "lora" {
		return nil, fmt.Errorf("adapter.type is %q (known: lora): %w", t, transformer.ErrUnsupported)
	}
	if f.Has("adapter.alora.invocation_tokens") {
		return nil, fmt.Errorf("adapter.alora.invocation_tokens: %w", transformer.ErrUnsupported)
	}
	alpha, err := f.Float("adapter.lora.alpha")
	if err != nil {
		return nil, err
	}
	order, err := rowOrder(f, o)
	if err != nil {
		return nil, err
	}
	pairs, err := ggufPairs(f, alpha, order)
	if err != nil {
		return nil, err
	}
	return peft.FromPairs(pairs, 0)
}

// rowOrder says whether q and k are in llama.cpp's order, and checks the architecture.
func rowOrder(f *gguf.File, o Options) (*transformer.Config, error) {
	architecture, err := f.String("general.architecture")
	if err != nil {
		return nil, err
	}
	if o.Model == nil {
		return nil, fmt.Errorf("a GGUF adapter's rows depend on the model's heads: which model is it for? %w", peft.ErrConfig)
	}
	if want := ggufArchitectures[o.Model.Kind]; want != architecture {
		return nil, fmt.Errorf("general.architecture is %q, the model's is %q: %w", architecture, want, peft.ErrMismatch)
	}
	if architecture == "llama" {
		return o.Model, nil
	}
	return nil, nil
}

func ggufPairs(f *gguf.File, alpha float64, order *transformer.Config) ([]peft.LoRAPair, error) {
	halves := map[string]int{}
	for _, name := range f.Names() {
		base, isA := strings.CutSuffix(name, ".lora_a")
		base, isB := strings.CutSuffix(base, ".lora_b")
		if isA == isB {
			return nil, malformed("tensor %q is neither lora_a nor lora_b", name)
		}
		halves[base]++
	}
	var pairs []peft.LoRAPair
	for _, name := range f.Names() {
		base := name[:len(name)-len(".lora_a")]
		if halves[base] != 2 {
			return nil, malformed("%s: one of lora_a and lora_b is missing", base)
		}
		if strings.HasSuffix(name, ".lora_b") {
			continue
		}
		module, known := ggufModule(base)
		if !known {
			return nil, malformed("tensor %q: no such matrix", name)
		}
		a, err := ggufMatrix(f, name)
		if err != nil {
			return nil, err
		}
		b, err := ggufMatrix(f, base+".lora_b")
		if err != nil {
			return nil, err
		}
		if module == embedModule {
			a = transposed(a)
		}
		if b.Shape[1] != a.Shape[0] {
			return nil, malformed("%s: lora_a %v and lora_b %v are no pair", base, a.Shape, b.Shape)
		}
		p := peft.LoRAPair{Module: module, A: a, B: b, Scale: alpha / float64(a.Shape[0])}
		if p.B, err = reordered(order, module, b, false); err != nil {
			return nil, err
		}
		pairs = append(pairs, p)
	}
	return pairs, nil
}

func ggufMatrix(f *gguf.File, name string) (peft.Matrix, error) {
	data, e, err := f.Read(name)
	if err != nil {
		return peft.Matrix{}, err
	}
	return matrix(name, peft.Matrix{Shape: e.Shape, Values: tensor.Unpack(nil, e.DType, data)})
}

// reordered brings the rows of q and k into llama.cpp's order, or back: within a head
// HF has the first halves of all pairs before the second ones, llama.cpp pair by pair.
func reordered(order *transformer.Config, module string, b peft.Matrix, there bool) (peft.Matrix, error) {
	if order == nil {
		return b, nil
	}
	heads := 0
	switch {
	case strings.HasSuffix(module, ".q_proj"):
		heads = order.Heads
	case strings.HasSuffix(module, ".k_proj"):
		heads = order.KVHeads
	default:
		return b, nil
	}
	rows, cols := b.Shape[0], b.Shape[1]
	if rows != heads*order.HeadDim {
		return b, fmt.Errorf("%s: lora_B %v for %d heads of %d: %w", module, b.Shape, heads, order.HeadDim, peft.ErrMismatch)
	}
	half := order.HeadDim / 2
	out := peft.Matrix{Shape: b.Shape, Values: make([]float32, len(b.Values))}
	for r := range rows {
		h, i := r/order.HeadDim, r%order.HeadDim
		to := h*order.HeadDim + 2*(i%half) + i/half // llama.cpp's place of HF's row r
		src, dst := r, to
		if !there {
			src, dst = to, r
		}
		copy(out.Values[dst*cols:(dst+1)*cols], b.Values[src*cols:(src+1)*cols])
	}
	return out, nil
}

func checkGGUF(s *peft.State, o Options) error {
	_, err := ggufFile(s, o)
	return err
}

// ggufFile translates a state.
func ggufFile(s *peft.State, o Options) ([]gguf.Tensor, error) {
	pairs, err := pairsOf(GGUF, s)
	if err != nil {
		return nil, err
	}
	if o.Model == nil {
		return nil, fmt.Errorf("a GGUF adapter's rows depend on the model's heads: which model is it for? %w", peft.ErrConfig)
	}
	var order *transformer.Config
	if ggufArchitectures[o.Model.Kind] == "llama" {
		order = o.Model
	}
	alpha := s.Config.(peft.LoRAConfig).Alpha
	var list []gguf.Tensor
	for _, p := range pairs {
		name, ok := ggufName(p.Module)
		switch {
		case !ok:
			return nil, unsupported(GGUF, "LoRA of %s", p.Module)
		case p.Magnitude != nil:
			return nil, unsupported(GGUF, "DoRA (merge it into the model: gpupeft merge)")
		case o.Model.Tied && (p.Module == embedModule || p.Module == "lm_head"): // llama.cpp would end itself
			return nil, unsupported(GGUF, "LoRA of embeddings or an output matrix that are one (merge it into the model: gpupeft merge)")
		}
		a, b := p.A, p.B
		if p.Module == embedModule {
			a = transposed(a)
		}
		if b, err = reordered(order, p.Module, b, true); err != nil {
			return nil, err
		}
		list = append(list, ggufTensor(name+".lora_a", a, 1), ggufTensor(name+".lora_b", b, p.Scale*float64(p.Rank())/alpha))
	}
	return list, nil
}

// ggufTensor is a matrix times a factor: there is one alpha for all.
func ggufTensor(name string, m peft.Matrix, factor float64) gguf.Tensor {
	values := m.Values
	if factor != 1 {
		values = make([]float32, len(m.Values))
		for i, v := range m.Values {
			values[i] = float32(factor * float64(v))
		}
	}
	return gguf.Tensor{Name: name, DType: tensor.F32, Shape: m.Shape, Data: floatBytes(values)}
}

func writeGGUF(path string, s *peft.State, o Options) error {
	list, err := ggufFile(s, o)
	if err != nil {
		return err
	}
	name := o.Name
	if name == "" {
		name = "gpupeft"
	}
	metadata := []gguf.KV{
		{Key: "general.architecture", Value: ggufArchitectures[o.Model.Kind]},
		{Key: "general.type", Value: "adapter"},
		{Key: "adapter.type", Value: "lora"},
		{Key: "general.name", Value: name},
		{Key: "adapter.lora.alpha", Value: float32(s.Config.(peft.LoRAConfig).Alpha)},
		{Key: "general.quantization_version", Value: uint32(2)},
	}
	var file bytes.Buffer
	if err := gguf.Write(&file, metadata, list); err != nil {
		return err
	}
	return disk.WriteBytes(path, file.Bytes())
}

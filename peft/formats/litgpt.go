package formats

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/transformer"
)

// litgpt's directory (0.5): lit_model.pth.lora, .adapter or .adapter_v2, a file of
// torch.save; model_config.yaml, of which the numbers of heads matter, and
// hyperparameters.yaml, of which LoRA's settings do. Queries, keys and values are one
// projection there, one below the other: lora_B [out of those with LoRA, r], and
// lora_A [r for each of them, in].

var litFiles = []string{"lit_model.pth.lora", "lit_model.pth.adapter", "lit_model.pth.adapter_v2"}

func isLitGPT(_ string, dir fs.FS) bool { return dir != nil && glob(dir, "lit_model.pth.*") != "" }

// litModules are litgpt's names in a layer for modules that aren't fused, and those of
// norms where the sublayers' outputs aren't normalised.
var litModules = map[string]string{
	"attn.proj": "self_attn.o_proj", "mlp.fc_1": "mlp.gate_proj", "mlp.fc_2": "mlp.up_proj", "mlp.proj": "mlp.down_proj",
	"norm_1": "input_layernorm", "norm_2": "post_attention_layernorm",
}

// lit is what is known of a directory.
type lit struct {
	settings map[string]string // of both yaml files
	query    int               // rows of the queries in the fused projection
	key      int               // of keys, and of values
	heads    int
	keyHeads int
	layers   int
	tensors  map[string]peft.Matrix
}

func readLitGPT(_ string, dir fs.FS, _ Options) (*peft.State, error) {
	file := glob(dir, "lit_model.pth.*")
	if !slices.Contains(litFiles, file) {
		return nil, fmt.Errorf("%s (known: %s): %w", file, strings.Join(litFiles, ", "), transformer.ErrUnsupported)
	}
	l, err := openLit(dir, file)
	if err != nil {
		return nil, err
	}
	switch file {
	case litFiles[0]:
		return l.lora()
	case litFiles[1]:
		return l.adapter(false)
	}
	return l.adapter(true)
}

func openLit(dir fs.FS, file string) (*lit, error) {
	l := &lit{settings: map[string]string{}, tensors: map[string]peft.Matrix{}}
	for _, name := range []string{"model_config.yaml", "hyperparameters.yaml"} {
		text, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, err
		}
		scalars(text, l.settings)
	}
	all, _, err := peft.ReadTensors(dir, file)
	if err != nil {
		return nil, err
	}
	for name, t := range all {
		l.tensors[strings.TrimPrefix(name, "model/")] = t
	}
	var size int
	for _, f := range []struct {
		name string
		to   *int
	}{{"n_head", &l.heads}, {"n_query_groups", &l.keyHeads}, {"head_size", &size}, {"n_layer", &l.layers}} {
		if *f.to, err = strconv.Atoi(l.settings[f.name]); err != nil || *f.to < 1 || *f.to > 1<<20 {
			return nil, malformed("model_config.yaml: %s is %q", f.name, l.settings[f.name])
		}
	}
	l.query, l.key = l.heads*size, l.keyHeads*size
	return l, nil
}

// scalars reads the top level of a YAML file as litgpt writes it, "name: value" a line;
// what is nested doesn't matter here.
func scalars(text []byte, to map[string]string) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), ": ")
		if ok && name == strings.TrimSpace(name) {
			to[name] = strings.TrimSpace(value)
		}
	}
}

// module translates a name of litgpt's: "transformer.h.0.mlp.fc_1" to
// "model.layers.0.mlp.gate_proj". The fused projection keeps its own name.
func (l *lit) module(name string) (string, bool) {
	switch name {
	case "lm_head":
		return "lm_head", true
	case "transformer.ln_f":
		return "model.norm", true
	}
	rest, ok := strings.CutPrefix(name, "transformer.h.")
	number, inner, found := strings.Cut(rest, ".")
	if !ok || !found {
		return "", false
	}
	module, ok := litModules[inner]
	if inner == "attn.qkv" || inner == "attn" {
		module, ok = "self_attn", true
	}
	if inner == "norm_2" && l.settings["post_attention_norm"] == "true" {
		module = "pre_feedforward_layernorm"
	}
	return "model.layers." + number + "." + module, ok
}

func (l *lit) lora() (*peft.State, error) {
	alpha, err := strconv.ParseFloat(l.settings["lora_alpha"], 64)
	rank, rerr := strconv.Atoi(l.settings["lora_r"])
	if err != nil || rerr != nil || rank < 1 {
		return nil, malformed("hyperparameters.yaml: lora_r %q, lora_alpha %q", l.settings["lora_r"], l.settings["lora_alpha"])
	}
	dropout, _ := strconv.ParseFloat(l.settings["lora_dropout"], 64) // absent: 0
	var pairs []peft.LoRAPair
	for _, name := range sorted(l.tensors) {
		base, ok := strings.CutSuffix(name, ".lora_A")
		if !ok {
			continue
		}
		module, known := l.module(base)
		a, b := l.tensors[name], l.tensors[base+".lora_B"]
		if !known || len(a.Shape) != 2 || len(b.Shape) != 2 {
			return nil, malformed("tensor %q %v and its lora_B %v are no pair", name, a.Shape, b.Shape)
		}
		p := peft.LoRAPair{Module: module, A: a, B: b, Scale: alpha / float64(rank)}
		if strings.HasSuffix(base, ".attn.qkv") {
			parts, err := l.split(p, rank)
			if err != nil {
				return nil, err
			}
			pairs = append(pairs, parts...)
			continue
		}
		if p.Rank() != rank {
			return nil, malformed("tensor %q: %v for lora_r %d", name, a.Shape, rank)
		}
		pairs = append(pairs, p)
	}
	slices.SortFunc(pairs, func(a, b peft.LoRAPair) int { return strings.Compare(a.Module, b.Module) })
	return peft.FromPairs(pairs, dropout)
}

// fused are the parts of the projection: their names, rows, and LoRA's switches.
func (l *lit) fused() []struct {
	name, flag string
	rows       int
} {
	return []struct {
		name, flag string
		rows       int
	}{{"q_proj", "lora_query", l.query}, {"k_proj", "lora_key", l.key}, {"v_proj", "lora_value", l.key}}
}

// split takes the LoRA of the fused projection apart.
func (l *lit) split(p peft.LoRAPair, rank int) ([]peft.LoRAPair, error) {
	var parts []peft.LoRAPair
	in, atA, atB := p.A.Shape[1], 0, 0
	for _, f := range l.fused() {
		if l.settings[f.flag] != "true" {
			continue
		}
		if atA+rank > p.A.Shape[0] || atB+f.rows > p.B.Shape[0] || p.B.Shape[1] != rank {
			return nil, malformed("%s: lora_A %v, lora_B %v for lora_r %d", p.Module, p.A.Shape, p.B.Shape, rank)
		}
		parts = append(parts, peft.LoRAPair{
			Module: p.Module + "." + f.name, Scale: p.Scale,
			A: peft.Matrix{Shape: []int{rank, in}, Values: p.A.Values[atA*in : (atA+rank)*in]},
			B: peft.Matrix{Shape: []int{f.rows, rank}, Values: p.B.Values[atB*rank : (atB+f.rows)*rank]},
		})
		atA, atB = atA+rank, atB+f.rows
	}
	if atA != p.A.Shape[0] || atB != p.B.Shape[0] {
		return nil, malformed("%s: lora_A %v, lora_B %v have parts left over", p.Module, p.A.Shape, p.B.Shape)
	}
	return parts, nil
}

// adapter reads LLaMA-Adapter. litgpt 0.5 computes the keys and values of the vectors
// from the wrong parts of the fused projection if there is more than one key head, so
// that what it trained can't be used.
func (l *lit) adapter(second bool) (*peft.State, error) {
	if l.keyHeads > 1 {
		return nil, fmt.Errorf("litgpt 0.5 mixes up the adapter's keys and values in a model with %d key heads: what it trained gives other results anywhere else: %w",
			l.keyHeads, transformer.ErrUnsupported)
	}
	return l.adapterState(second)
}

func (l *lit) adapterState(second bool) (*peft.State, error) {
	s := &peft.State{Tensors: map[string]peft.Matrix{}}
	c := peft.AdaptionConfig{HeadGates: true, Target: "self_attn"}
	for _, name := range sorted(l.tensors) {
		t := l.tensors[name]
		base, what := name[:max(0, strings.LastIndex(name, "."))], name[strings.LastIndex(name, ".")+1:]
		base = strings.TrimSuffix(base, ".adapter_wte")
		module, ok := l.module(base)
		switch {
		case !ok:
			return nil, malformed("tensor %q has no place", name)
		case strings.HasSuffix(name, ".adapter_wte.weight") && len(t.Shape) == 2:
			c.Tokens, c.Layers = t.Shape[0], c.Layers+1
			s.Tensors[prefix+module+".adaption_prompt"] = peft.Matrix{Shape: append([]int{1}, t.Shape...), Values: t.Values}
		case what == "gating_factor":
			s.Tensors[prefix+module+".adaption_gate"] = peft.Matrix{Shape: []int{len(t.Values)}, Values: t.Values}
		case strings.HasSuffix(base, ".attn.qkv"):
			at := 0
			for _, f := range l.fused() {
				if at+f.rows > len(t.Values) {
					return nil, malformed("tensor %q: %v", name, t.Shape)
				}
				s.Tensors[prefix+module+"."+f.name+"."+what] = peft.Matrix{Shape: []int{f.rows}, Values: t.Values[at : at+f.rows]}
				at += f.rows
			}
		default:
			s.Tensors[prefix+module+"."+what] = t
		}
	}
	s.Config = c
	if second {
		s.Config = peft.Adaption2Config{AdaptionConfig: c}
	}
	return s, nil
}

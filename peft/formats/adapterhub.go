package formats

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"

	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor/safetensors"
	"github.com/gpupeft/gpupeft/transformer"
)

// AdapterHub's directory (adapters 1.3): adapter_config.json with the settings below
// "config", and adapter.safetensors or pytorch_adapter.bin, whose tensors have the
// adapter's name in theirs:
//
//	model.layers.0.output_adapters.adapters.NAME.adapter_down.0.weight
//	model.layers.0.self_attn.q_proj.loras.NAME.lora_A
//
// The second is LoRA, or (IA)³ if the composition mode is "scale".

// hubFile is adapter_config.json.
type hubFile struct {
	Config     json.RawMessage `json:"config"`
	Hidden     int             `json:"hidden_size,omitempty"`
	ModelClass string          `json:"model_class,omitempty"`
	ModelName  string          `json:"model_name"`
	ModelType  string          `json:"model_type,omitempty"`
	Name       string          `json:"name"`
	Version    string          `json:"version"`
}

// hubLoRA are the settings of LoRA and (IA)³.
type hubLoRA struct {
	Architecture string   `json:"architecture"`
	Matrices     []string `json:"attn_matrices"`
	SelfAttn     bool     `json:"selfattn_lora"`
	Intermediate bool     `json:"intermediate_lora"`
	Output       bool     `json:"output_lora"`
	LeaveOut     []int    `json:"leave_out"`
	R            int      `json:"r"`
	Alpha        float64  `json:"alpha"`
	Dropout      float64  `json:"dropout"`
	Mode         string   `json:"composition_mode"`
	Init         string   `json:"init_weights"`
}

// hubNeutral are the only values of some settings that change nothing here.
var hubNeutral = map[string][]string{
	"ln_before": {"false"}, "ln_after": {"false"}, "phm_layer": {"false"}, "use_gating": {"false"}, "inv_adapter": {"null"},
	"cross_adapter": {"false"}, "stochastic_depth": {"0.0", "0"}, "original_ln_after": {"true"}, "residual_before_ln": {"true"},
	"use_dora": {"false"}, "vera_d": {"null"}, "vera_b": {"null"}, "shared_W_phm": {"false"},
}

func isAdapterHub(_ string, dir fs.FS) bool {
	if dir == nil {
		return false
	}
	var f hubFile
	text, err := fs.ReadFile(dir, "adapter_config.json")
	return err == nil && json.Unmarshal(text, &f) == nil && len(f.Config) > 0
}

func readAdapterHub(_ string, dir fs.FS, _ Options) (*peft.State, error) {
	text, err := fs.ReadFile(dir, "adapter_config.json")
	if err != nil {
		return nil, err
	}
	var f hubFile
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, malformed("adapter_config.json: %v", err)
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(f.Config, &fields); err != nil {
		return nil, malformed("adapter_config.json: config: %v", err)
	}
	for _, name := range sorted(fields) {
		if allowed, ok := hubNeutral[name]; ok && !slices.Contains(allowed, string(fields[name])) {
			return nil, fmt.Errorf("adapter_config.json: %s is %s: %w", name, fields[name], transformer.ErrUnsupported)
		}
	}
	tensors, _, err := peft.ReadTensors(dir, "adapter.safetensors", "pytorch_adapter.bin")
	if err != nil {
		return nil, err
	}
	var s *peft.State
	switch architecture := string(fields["architecture"]); architecture {
	case "", "null":
		s, err = readBottleneck(f, tensors)
	case `"lora"`:
		s, err = readHubLoRA(f, tensors)
	default:
		return nil, fmt.Errorf("adapter_config.json: architecture %s (known: bottlenecks and lora): %w", architecture, transformer.ErrUnsupported)
	}
	if s != nil {
		s.Base = f.ModelName
	}
	return s, err
}

func readBottleneck(f hubFile, all map[string]peft.Matrix) (*peft.State, error) {
	c := peft.BottleneckConfig{Scaling: 1, Init: "bert"}
	if err := json.Unmarshal(f.Config, &c); err != nil {
		return nil, fmt.Errorf("adapter_config.json: config: %v (a reduction factor by layer, or a learned scaling?): %w", err, transformer.ErrUnsupported)
	}
	s := &peft.State{Config: c, Tensors: map[string]peft.Matrix{}}
	for name, t := range all {
		where, rest, ok := moduleOf(name, ".adapters."+f.Name+".")
		if !ok {
			return nil, malformed("tensor %q isn't of an adapter %q", name, f.Name)
		}
		s.Tensors[where+"."+rest] = t
	}
	return s, nil
}

func readHubLoRA(f hubFile, all map[string]peft.Matrix) (*peft.State, error) {
	c := hubLoRA{Mode: "add"}
	if err := json.Unmarshal(f.Config, &c); err != nil {
		return nil, malformed("adapter_config.json: config: %v", err)
	}
	byModule := map[string]*peft.LoRAPair{}
	for name, t := range all {
		module, what, ok := moduleOf(name, ".loras."+f.Name+".")
		if !ok || len(t.Shape) != 2 {
			return nil, malformed("tensor %q %v isn't LoRA of an adapter %q", name, t.Shape, f.Name)
		}
		p := byModule[module]
		if p == nil {
			p = &peft.LoRAPair{Module: module}
			byModule[module] = p
		}
		if what == "lora_A" {
			p.A = t
		} else {
			p.B = t
		}
	}
	if c.Mode == "scale" {
		return readHubIA3(c, byModule)
	}
	var pairs []peft.LoRAPair
	for _, module := range sorted(byModule) {
		p := byModule[module]
		if len(p.A.Shape) != 2 || len(p.B.Shape) != 2 || p.A.Shape[0] != p.B.Shape[1] || c.Mode != "add" {
			return nil, malformed("%s: lora_A %v and lora_B %v, composed by %q", module, p.A.Shape, p.B.Shape, c.Mode)
		}
		p.Scale = c.Alpha / float64(p.Rank())
		pairs = append(pairs, *p)
	}
	return peft.FromPairs(pairs, c.Dropout)
}

// readHubIA3: the scaling factor is lora_B [out, 1], times alpha (1).
func readHubIA3(c hubLoRA, byModule map[string]*peft.LoRAPair) (*peft.State, error) {
	if c.R != 1 || c.Alpha != 1 {
		return nil, fmt.Errorf("adapter_config.json: composition_mode scale with r %d, alpha %v: %w", c.R, c.Alpha, transformer.ErrUnsupported)
	}
	s := &peft.State{Tensors: map[string]peft.Matrix{}}
	var modules []string
	for module, p := range byModule {
		if len(p.B.Shape) != 2 || p.B.Shape[1] != 1 {
			return nil, malformed("%s: lora_B %v, want one column", module, p.B.Shape)
		}
		s.Tensors[prefix+module+".ia3_l"] = p.B
		modules = append(modules, module)
	}
	slices.Sort(modules)
	if len(c.LeaveOut) == 0 { // else a short name would mean all layers
		modules = peft.ShortNames(modules)
	}
	s.Config = peft.IA3Config{Targets: peft.Named(modules...), Feedforward: peft.Named()}
	return s, nil
}

func checkAdapterHub(s *peft.State, o Options) error {
	_, _, err := hubOf(s, o)
	return err
}

// hubOf translates a state: the settings, and the tensors by AdapterHub's names.
func hubOf(s *peft.State, o Options) (config any, tensors map[string]peft.Matrix, err error) {
	name := o.Name
	if name == "" {
		name = "gpupeft"
	}
	if o.Model != nil && o.Model.Kind == "gemma" { // Gemma 2 and 3 it does
		return nil, nil, unsupported(AdapterHub, "an adapter of Gemma 1, which it has no interface for")
	}
	tensors = map[string]peft.Matrix{}
	switch c := s.Config.(type) {
	case peft.BottleneckConfig:
		for n, t := range s.Tensors {
			where, rest, ok := moduleOf(n, "_adapters.")
			if !ok {
				return nil, nil, malformed("tensor %q isn't of a bottleneck", n)
			}
			tensors[where+"_adapters.adapters."+name+"."+rest] = t
		}
		return hubBottleneck{c, hubFloat(c.Scaling), true, true}, tensors, nil
	case peft.LoRAConfig:
		return hubPairs(s, name, o)
	case peft.IA3Config:
		return hubScales(s, name, o)
	}
	return nil, nil, unsupported(AdapterHub, "%s", s.Config.Name())
}

// hubBottleneck adds what AdapterHub's forms have in common.
type hubBottleneck struct {
	peft.BottleneckConfig
	Scaling  hubFloat `json:"scaling"`
	After    bool     `json:"original_ln_after"`
	Residual bool     `json:"residual_before_ln"`
}

// hubFloat is a number that has to have a point: AdapterHub takes no int for a scaling.
type hubFloat float64

// MarshalJSON implements json.Marshaler.
func (f hubFloat) MarshalJSON() ([]byte, error) {
	text, err := json.Marshal(float64(f))
	if err == nil && !bytes.ContainsAny(text, ".e") {
		text = append(text, ".0"...)
	}
	return text, err
}

// hubModules are the modules that AdapterHub can wrap: its names for them. It calls
// down_proj the intermediate projection and up_proj the output of Llama and Mistral, and
// the other way round in the interfaces that come with it for Gemma 2 and 3.
func hubModules(modules []string, o Options) (c hubLoRA, err error) {
	c = hubLoRA{Architecture: "lora", LeaveOut: []int{}, Matrices: []string{}}
	up, down := false, false
	for _, m := range modules {
		last := m[strings.LastIndex(m, ".")+1:]
		switch last {
		case "q_proj", "k_proj", "v_proj":
			if c.SelfAttn = true; !slices.Contains(c.Matrices, last[:1]) {
				c.Matrices = append(c.Matrices, last[:1])
			}
		case "down_proj":
			down = true
		case "up_proj":
			up = true
		default:
			return c, unsupported(AdapterHub, "an adapter of %s", m)
		}
	}
	slices.Sort(c.Matrices)
	c.Intermediate, c.Output = down, up
	switch {
	case up == down:
	case o.Model == nil:
		return c, fmt.Errorf("AdapterHub's names of up_proj and down_proj depend on the model: which is it for? %w", peft.ErrConfig)
	case o.Model.Kind == "gemma2" || o.Model.Kind == "gemma3_text":
		c.Intermediate, c.Output = up, down
	}
	return c, nil
}

// uniform makes sure that the modules are the same in all layers.
func uniform(modules []string, o Options) error {
	layers := map[string]bool{}
	for _, m := range modules {
		if l, ok := layerOf(m); ok {
			layers[l] = true
		}
	}
	short := peft.ShortNames(modules)
	if len(short) > 0 && strings.HasPrefix(short[0], "model.layers.") || o.Model != nil && len(layers) < len(o.Model.Layers) {
		return unsupported(AdapterHub, "other modules in some layers than in others")
	}
	return nil
}

func hubPairs(s *peft.State, name string, o Options) (any, map[string]peft.Matrix, error) {
	pairs, err := pairsOf(AdapterHub, s)
	if err != nil {
		return nil, nil, err
	}
	tensors := map[string]peft.Matrix{}
	var modules []string
	for _, p := range pairs {
		if p.Magnitude != nil || p.Rank() != pairs[0].Rank() || p.Scale != pairs[0].Scale {
			return nil, nil, unsupported(AdapterHub, "DoRA, or other ranks and scales in some modules than in others")
		}
		modules = append(modules, p.Module)
		tensors[p.Module+".loras."+name+".lora_A"], tensors[p.Module+".loras."+name+".lora_B"] = p.A, p.B
	}
	c, err := hubModules(modules, o)
	if err == nil {
		err = uniform(modules, o)
	}
	c.R, c.Alpha, c.Mode, c.Init = pairs[0].Rank(), pairs[0].Scale*float64(pairs[0].Rank()), "add", "lora"
	return c, tensors, err
}

func hubScales(s *peft.State, name string, o Options) (any, map[string]peft.Matrix, error) {
	tensors := map[string]peft.Matrix{}
	var modules []string
	for n, t := range s.Tensors {
		module, rest, ok := moduleOf(strings.TrimPrefix(n, prefix), ".ia3_l")
		if !ok || rest != "" || len(t.Shape) != 2 {
			return nil, nil, unsupported(AdapterHub, "tensor %q", n)
		}
		if t.Shape[1] != 1 {
			return nil, nil, unsupported(AdapterHub, "factors of the inputs of %s (it scales outputs)", module)
		}
		modules = append(modules, module)
		tensors[module+".loras."+name+".lora_B"] = t
	}
	slices.Sort(modules)
	c, err := hubModules(modules, o)
	if err == nil {
		err = uniform(modules, o)
	}
	c.R, c.Alpha, c.Mode, c.Init = 1, 1, "scale", "ia3"
	return c, tensors, err
}

// hubClasses are HF's model classes.
var hubClasses = map[string]string{"llama": "Llama", "mistral": "Mistral", "gemma": "Gemma", "gemma2": "Gemma2", "gemma3_text": "Gemma3"}

func writeAdapterHub(path string, s *peft.State, o Options) error {
	config, tensors, err := hubOf(s, o)
	if err != nil {
		return err
	}
	f := hubFile{Name: o.Name, ModelName: s.Base, Version: "adapters.1.3.0"}
	if f.Name == "" {
		f.Name = "gpupeft"
	}
	if o.Model != nil {
		f.Hidden, f.ModelType, f.ModelClass = o.Model.Hidden, o.Model.Kind, hubClasses[o.Model.Kind]+"ForCausalLM"
	}
	if f.Config, err = json.Marshal(config); err != nil {
		return err
	}
	text, err := sortedJSON(f)
	if err != nil {
		return err
	}
	var file bytes.Buffer
	if err := safetensors.Write(&file, nil, stored(tensors)); err != nil {
		return err
	}
	return writeFiles(path, map[string][]byte{"adapter.safetensors": file.Bytes(), "adapter_config.json": text})
}

// stored are tensors as a file holds them, sorted.
func stored(all map[string]peft.Matrix) []safetensors.Tensor {
	var list []safetensors.Tensor
	for _, name := range sorted(all) {
		list = append(list, safetensors.Tensor{Name: name, DType: "F32", Shape: all[name].Shape, Data: floatBytes(all[name].Values)})
	}
	return list
}

func floatBytes(values []float32) []byte {
	data := make([]byte, 0, 4*len(values))
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return data
}

// sortedJSON is indented by two, with sorted keys.
func sortedJSON(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var fields any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber() // as they are written
	if err := d.Decode(&fields); err != nil {
		return nil, err
	}
	return json.MarshalIndent(fields, "", "  ")
}

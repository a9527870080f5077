package gpu

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"github.com/gpupeft/gpupeft/shaders"
)

// A program describes a kernel before it is compiled. Programs are map keys: they
// must be comparable, and equal programs must have equal sources.
type program interface {
	source() (KernelSource, error)
}

// A file is a program whose body stands in shaders/: the preamble made of consts,
// then the text of the files one after another.
type file struct {
	names  string // of the files without ".wgsl", joined by "+": "weight_f16+embed"
	entry  string
	consts any // a struct that preamble takes, or nil
}

func (f file) source() (KernelSource, error) {
	var text strings.Builder
	head, err := preamble(f.consts)
	if err != nil {
		return KernelSource{}, err
	}
	text.WriteString(head)
	names := strings.Split(f.names, "+")
	for _, name := range names {
		body, err := shaders.Source(name)
		if err != nil {
			return KernelSource{}, err
		}
		text.WriteString(body)
	}
	label := names[len(names)-1] + "." + f.entry
	if slices.Contains(names, "alone") { // another kernel than that with workgroups
		label += " alone"
	}
	return KernelSource{Label: label, WGSL: text.String(), Entry: f.entry}, nil
}

// preamble turns the fields of a struct into WGSL constants, in their order. This
// stands in for WGSL's override constants, which the native library doesn't know:
//
//	struct{ HeadDim uint32; Eps float32; Causal bool; Elem alias }{64, 1e-5, true, "vec4<f32>"}
//
// gives
//
//	const HEAD_DIM: u32 = 64u;
//	const EPS: f32 = 1e-05f;
//	const CAUSAL: bool = true;
//	alias Elem = vec4<f32>;
func preamble(consts any) (string, error) {
	if consts == nil {
		return "", nil
	}
	var text strings.Builder
	v := reflect.ValueOf(consts)
	for f, val := range v.Fields() {
		switch x := val.Interface().(type) {
		case uint32:
			fmt.Fprintf(&text, "const %s: u32 = %du;\n", constName(f.Name), x)
		case int32:
			fmt.Fprintf(&text, "const %s: i32 = %di;\n", constName(f.Name), x)
		case float32:
			fmt.Fprintf(&text, "const %s: f32 = %sf;\n", constName(f.Name), strconv.FormatFloat(float64(x), 'g', -1, 32))
		case bool:
			fmt.Fprintf(&text, "const %s: bool = %t;\n", constName(f.Name), x)
		case alias:
			fmt.Fprintf(&text, "alias %s = %s;\n", f.Name, x)
		default:
			return "", fmt.Errorf("constant %s of type %T: %w", f.Name, x, ErrArgument)
		}
	}
	return text.String(), nil
}

// alias is a constant of a preamble that stands for a type.
type alias string

// elem is the type in which a kernel that works on rows of cols values moves them,
// and its width: four at a time where all rows begin at a multiple of four.
func elem(cols int) (alias, int) {
	if cols%4 == 0 {
		return "vec4<f32>", 4
	}
	return "f32", 1
}

// constName turns HeadDim into HEAD_DIM.
func constName(field string) string {
	var s strings.Builder
	for i, r := range field {
		if i > 0 && unicode.IsUpper(r) {
			s.WriteByte('_')
		}
		s.WriteRune(unicode.ToUpper(r))
	}
	return s.String()
}

// encodeParams lays a struct of uint32, int32 and float32 fields out as WGSL lays
// out the struct with the same fields in a var<uniform>. Nil gives none.
func encodeParams(params any) ([]byte, error) {
	if params == nil {
		return nil, nil
	}
	data, err := binary.Append(nil, binary.LittleEndian, params)
	if err != nil {
		return nil, fmt.Errorf("params %T: %w: %w", params, err, ErrArgument)
	}
	return data, nil
}

// programCache holds the compiled programs of a backend.
type programCache struct {
	mu sync.Mutex
	m  map[programKey]*Kernel
}

type programKey struct {
	program program
	// shared has all storage variables declared read_write, see Backend.kernel.
	shared bool
}

// kernel compiles a program, once. With shared, variables that are only read are
// declared read_write as well, because WebGPU doesn't let one dispatch use two parts
// of a buffer in the two ways.
func (b *Backend) kernel(p program, shared bool) (*Kernel, error) {
	b.kernels.mu.Lock()
	defer b.kernels.mu.Unlock()
	key := programKey{p, shared}
	if k := b.kernels.m[key]; k != nil {
		return k, nil
	}
	src, err := p.source()
	if err != nil {
		return nil, err
	}
	if shared {
		src.WGSL = strings.ReplaceAll(src.WGSL, "var<storage, read>", "var<storage, read_write>")
	}
	k, err := b.dev.Kernel(src)
	if err != nil {
		return nil, err
	}
	if b.kernels.m == nil {
		b.kernels.m = map[programKey]*Kernel{}
	}
	b.kernels.m[key] = k
	return k, nil
}

// Kernels returns the labels of the kernels that were compiled so far, sorted, each once.
func (b *Backend) Kernels() []string {
	b.kernels.mu.Lock()
	defer b.kernels.mu.Unlock()
	labels := make([]string, 0, len(b.kernels.m))
	for _, k := range b.kernels.m {
		labels = append(labels, k.Label())
	}
	slices.Sort(labels)
	return slices.Compact(labels)
}

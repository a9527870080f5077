package gpu

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// kernelShape is what the layer needs to know about a kernel to lay out its
// bindings and check its dispatches.
type kernelShape struct {
	storage    []storageVariable // rising Index
	uniform    int64             // @binding of the uniform variable, -1 if there is none
	paramsSize int64             // bytes of it, 0 if unknown
	workgroup  [3]uint32
	memory     int64 // bytes of var<workgroup>
}

type storageVariable struct {
	BindingInfo
	minSize int64 // bytes that a binding must have, 0 if unknown
}

// readShape works the shape out from the source.
func readShape(src KernelSource) (*kernelShape, error) {
	m, err := parseModule(src.WGSL)
	if err != nil {
		return nil, err
	}
	f, ok := m.functions[src.Entry]
	if !ok || !f.compute {
		return nil, fmt.Errorf("the module has no @compute function %q, but %s", src.Entry, m.entries())
	}
	s := &kernelShape{uniform: -1, workgroup: [3]uint32{1, 1, 1}, memory: int64(src.WorkgroupMemory)}
	if len(f.workgroupSize) == 0 || len(f.workgroupSize) > 3 {
		return nil, fmt.Errorf("function %q needs @workgroup_size with one to three numbers", src.Entry)
	}
	for i, expression := range f.workgroupSize {
		n, ok := m.integer(expression)
		if !ok || n < 1 || n > 1<<20 {
			return nil, fmt.Errorf("@workgroup_size of %q must be positive integers or constants of them", src.Entry)
		}
		s.workgroup[i] = uint32(n)
	}
	for _, v := range m.used(src.Entry) {
		if err := s.add(m, v, src.WorkgroupMemory == 0); err != nil {
			return nil, fmt.Errorf("line %d: variable %q %w", v.line, v.name, err)
		}
	}
	slices.SortFunc(s.storage, func(a, b storageVariable) int { return int(a.Index) - int(b.Index) })
	for i, b := range s.storage {
		if int64(b.Index) == s.uniform || i > 0 && b.Index == s.storage[i-1].Index {
			return nil, fmt.Errorf("function %q uses two variables with @binding(%d)", src.Entry, b.Index)
		}
	}
	return s, nil
}

func (m *module) entries() string {
	var names []string
	for name, f := range m.functions {
		if f.compute {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return fmt.Sprintf("%q", names)
}

// add takes one variable that the kernel uses into the shape.
func (s *kernelShape) add(m *module, v variable, countMemory bool) error {
	switch v.space {
	case "private":
		return nil
	case "workgroup":
		if !countMemory {
			return nil
		}
		l, ok := m.layoutOf(v.kind, 0)
		if !ok {
			return errors.New("has a type of which the size is not clear: set KernelSource.WorkgroupMemory")
		}
		s.memory += roundUp(l.size, 16) // native backends align each variable
		return nil
	case "storage", "uniform":
	default:
		return fmt.Errorf("is in address space %q; kernels may use storage, uniform, workgroup and private", v.space)
	}
	group, ok := m.integer(v.group)
	index, ok2 := m.integer(v.binding)
	if !ok || !ok2 || group != 0 || index < 0 || index > 999 {
		return errors.New("needs @group(0) and a @binding below 1000")
	}
	if v.space == "storage" {
		if v.access != "" && v.access != "read" && v.access != "read_write" {
			return fmt.Errorf("has access %q; storage is read or read_write", v.access)
		}
		info := BindingInfo{Name: v.name, Index: uint32(index), ReadOnly: v.access != "read_write"}
		s.storage = append(s.storage, storageVariable{info, m.minSize(v.kind)})
		return nil
	}
	if s.uniform >= 0 {
		return errors.New("is the second uniform of the kernel; one is allowed, for Dispatch.Params")
	}
	s.uniform = index
	if l, ok := m.layoutOf(v.kind, 0); ok {
		s.paramsSize = l.size
		if l.size > MaxParams {
			return fmt.Errorf("has %d bytes; the uniform may have %d", l.size, MaxParams)
		}
	}
	return nil
}

// minSize is the size of the smallest binding that the native library accepts for a
// storage variable: the type, or one element of an array without a length.
func (m *module) minSize(kind []token) int64 {
	if len(kind) > 1 && kind[0].text == "array" {
		if args := typeArguments(kind[1:]); len(args) == 1 {
			element, _ := m.layoutOf(args[0], 0)
			return element.stride()
		}
	}
	l, _ := m.layoutOf(kind, 0)
	return l.size
}

// within checks what the native library would not, or not clearly.
func (s *kernelShape) within(l Limits) error {
	invocations := uint64(s.workgroup[0]) * uint64(s.workgroup[1]) * uint64(s.workgroup[2])
	var wrong []string
	check := func(what string, have, limit uint64) {
		if have > limit {
			wrong = append(wrong, fmt.Sprintf("%s %d, the limit is %d", what, have, limit))
		}
	}
	check("storage bindings:", uint64(len(s.storage)), uint64(l.StorageBuffers))
	check("bytes of workgroup memory:", uint64(s.memory), uint64(l.WorkgroupMemory))
	check("invocations in a workgroup:", invocations, uint64(l.WorkgroupInvocations))
	check("workgroup size along x:", uint64(s.workgroup[0]), uint64(l.WorkgroupSizeX))
	check("workgroup size along y:", uint64(s.workgroup[1]), uint64(l.WorkgroupSizeY))
	check("workgroup size along z:", uint64(s.workgroup[2]), uint64(l.WorkgroupSizeZ))
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "; "))
	}
	return nil
}

// entries is the bind group layout of the kernel.
func (s *kernelShape) entries() []layoutEntry {
	var list []layoutEntry
	if s.uniform >= 0 {
		list = append(list, layoutEntry{uint32(s.uniform), uniformBinding})
	}
	for _, b := range s.storage {
		kind := storageBinding
		if b.ReadOnly {
			kind = readOnlyBinding
		}
		list = append(list, layoutEntry{b.Index, kind})
	}
	return list
}

package torchfile

// globals are the functions and classes that a pickle may name, and what stands for them.
var globals = map[string]any{
	"collections.OrderedDict":         function(orderedDict),
	"torch._utils._rebuild_tensor_v2": function(rebuildTensorV2),
	"torch._utils._rebuild_tensor_v3": function(rebuildTensorV3),
	"torch._utils._rebuild_parameter": function(rebuildParameter),
	"torch.Size":                      function(size),
	"torch.device":                    function(ignored),
	"_codecs.encode":                  function(ignored), // bytes, before protocol 3
	"__builtin__.bytearray":           function(ignored),
	"__builtin__.complex":             function(ignored),
	"__builtin__.set":                 function(set),
	"builtins.bytearray":              function(ignored),
	"builtins.complex":                function(ignored),
	"builtins.set":                    function(set),
	"torch.storage.UntypedStorage":    storageClass(untyped),
	"torch.DoubleStorage":             storageClass("F64"),
	"torch.FloatStorage":              storageClass("F32"),
	"torch.HalfStorage":               storageClass("F16"),
	"torch.BFloat16Storage":           storageClass("BF16"),
	"torch.LongStorage":               storageClass("I64"),
	"torch.IntStorage":                storageClass("I32"),
	"torch.ShortStorage":              storageClass("I16"),
	"torch.CharStorage":               storageClass("I8"),
	"torch.ByteStorage":               storageClass("U8"),
	"torch.BoolStorage":               storageClass("BOOL"),
	"torch.float64":                   dtype("F64"),
	"torch.float32":                   dtype("F32"),
	"torch.float16":                   dtype("F16"),
	"torch.bfloat16":                  dtype("BF16"),
	"torch.float8_e4m3fn":             dtype("F8_E4M3"),
	"torch.float8_e5m2":               dtype("F8_E5M2"),
	"torch.int64":                     dtype("I64"),
	"torch.int32":                     dtype("I32"),
	"torch.int16":                     dtype("I16"),
	"torch.int8":                      dtype("I8"),
	"torch.uint64":                    dtype("U64"),
	"torch.uint32":                    dtype("U32"),
	"torch.uint16":                    dtype("U16"),
	"torch.uint8":                     dtype("U8"),
	"torch.bool":                      dtype("BOOL"),
}

// untyped is the class of storages whose tensors say their type themselves.
const untyped = "untyped"

// elementBytes gives the size of the element types, named as in safetensors files.
var elementBytes = map[string]int64{
	"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
	"I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1, untyped: 1,
}

// global reads the names of a module and of something in it.
func (m *machine) global() error {
	module, err := m.s.line()
	if err != nil {
		return err
	}
	name, err := m.s.line()
	if err != nil {
		return err
	}
	return m.pushGlobal(module, name)
}

// stackGlobal is global with the names on the stack.
func (m *machine) stackGlobal() error {
	name, err := popAs[string](m, "the name of a global")
	if err != nil {
		return err
	}
	module, err := popAs[string](m, "the module of a global")
	if err != nil {
		return err
	}
	return m.pushGlobal(module, name)
}

func (m *machine) pushGlobal(module, name string) error {
	g, ok := globals[module+"."+name]
	if !ok {
		return unsupported("refused global %.100s.%.100s: a file of tensors alone doesn't need it (save the model's state_dict())", module, name)
	}
	return m.push(g)
}

// reduce calls a function.
func (m *machine) reduce() error {
	args, err := popAs[*tuple](m, "what a function is called with")
	if err != nil {
		return err
	}
	call, err := popAs[function](m, "what is called")
	if err != nil {
		return err
	}
	v, err := call(args.items)
	if err != nil {
		return err
	}
	return m.push(v)
}

// build drops the attributes of an OrderedDict: torch keeps the versions of modules there.
func (m *machine) build() error {
	if _, err := m.pop(); err != nil {
		return err
	}
	v, err := m.top()
	if err != nil {
		return err
	}
	if _, ok := v.(*dict); !ok {
		return unsupported("refused BUILD: attributes of a %s", kind(v))
	}
	return nil
}

func orderedDict(args []any) (any, error) {
	if len(args) != 0 {
		return nil, unsupported("an OrderedDict with %d arguments, as Python 2 wrote it", len(args))
	}
	return &dict{}, nil
}

func ignored([]any) (any, error) { return opaque{}, nil }

// size makes a torch.Size, which is a tuple.
func size(args []any) (any, error) {
	if len(args) != 1 {
		return nil, malformed("torch.Size of %d arguments", len(args))
	}
	return as[*tuple](args[0], "the argument of torch.Size")
}

// set makes a set of a list. Here it stays one.
func set(args []any) (any, error) {
	if len(args) != 1 {
		return nil, malformed("a set of %d arguments", len(args))
	}
	return as[*list](args[0], "the argument of set")
}

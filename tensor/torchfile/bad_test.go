package torchfile_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gpupeft/gpupeft/tensor"
)

// badCase is a file that is refused, and what the error says.
type badCase struct {
	file []byte
	says string
}

// check opens and reads a bad file, with little memory and time.
func (c badCase) check(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	err := readAll(c.file)
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	if !errors.Is(err, tensor.ErrFormat) && !errors.Is(err, tensor.ErrUnsupported) || !strings.Contains(err.Error(), c.says) {
		t.Errorf("got %v, want %q in it", err, c.says)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 64*uint64(len(c.file))+16<<20 {
		t.Errorf("%d bytes were allocated for a file of %d", n, len(c.file))
	}
	if took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
}

// readAll opens a file and reads every tensor in it.
func readAll(file []byte) error {
	f, err := open(file)
	if err != nil {
		return err
	}
	for _, name := range f.Names() {
		if _, _, err := f.Read(name); err != nil {
			return err
		}
	}
	return nil
}

// TestTolerated are files that the cases below are wrong variants of.
func TestTolerated(t *testing.T) {
	for name, file := range map[string][]byte{
		"vector":            pt(t, one(vector(4)), 16),
		"no tensors":        pt(t, "\x80\x02}.", 0),
		"None":              pt(t, "\x80\x02N.", 0),
		"little":            pt(t, one(vector(4)), 16, entry{name: "a/byteorder", data: "little"}),
		"two views":         pt(t, cat("\x80\x02](", vector(4), vector(4), "e."), 16),
		"matrix":            pt(t, one(view(storageID("FloatStorage", "0", 6), 0, nums(2, 3), nums(1, 2))), 24),
		"empty at the end":  pt(t, one(view(storageID("FloatStorage", "0", 6), 6, nums(0, 1<<40), nums(1<<50, 1))), 24),
		"stride of one row": pt(t, one(view(storageID("FloatStorage", "0", 6), 0, nums(1, 6), nums(math.MaxInt64, 1))), 24),
		"64 lists":          pt(t, cat("\x80\x02", nested(vector(4), 64), "."), 16),
		"shared twice":      pt(t, one(doubled(1)), 16),
		"legacy":            []byte(cat(legacyHead, legacyVector(4), legacyKeys("0"), elements(4, 16))),
		"legacy, empty":     []byte(cat(legacyHead, one("N"), legacyKeys())),
	} {
		if err := readAll(file); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBadPickles: programs that a pickle machine might run, and this one doesn't.
func TestBadPickles(t *testing.T) {
	call := func(module, name string) string { return cat(global(module, name), tup(str("echo")), "R") }
	id := func(parts ...string) string { return one(tup(parts...) + "Q") }
	class := global("torch", "FloatStorage")
	for name, c := range map[string]struct{ pickle, says string }{
		"os.system":                 {one(call("os", "system")), "refused global os.system"},
		"posix system":              {one(call("posix", "system")), "refused global posix.system"},
		"builtins eval":             {one(call("builtins", "eval")), "refused global builtins.eval"},
		"__builtin__ getattr":       {one(call("__builtin__", "getattr")), "refused global __builtin__.getattr"},
		"torch.load":                {one(call("torch", "load")), "refused global torch.load"},
		"numpy":                     {one(call("numpy.core.multiarray", "_reconstruct")), "refused global numpy"},
		"a name with a path":        {one(call("torch", "_utils.os.system")), "refused global torch._utils.os.system"},
		"a complex storage":         {one(storageID("ComplexFloatStorage", "0", 1)), "ComplexFloatStorage"},
		"a global without use":      {one(global("os", "system")), "refused global os.system"},
		"STACK_GLOBAL":              {one(cat(str("os"), str("system"), "\x93", tup(str("echo")), "R")), "refused global os.system"},
		"STACK_GLOBAL, short":       {one(cat("\x8c\x05posix\x8c\x06system\x93)R")), "refused global posix.system"},
		"STACK_GLOBAL of numbers":   {one("K\x01K\x02\x93"), "the name of a global"},
		"STACK_GLOBAL of nothing":   {"\x80\x04\x93.", "isn't on the stack"},
		"INST":                      {one("(ios\nsystem\n"), "INST"},
		"OBJ":                       {one(cat("(", global("torch", "Size"), "o")), "OBJ"},
		"NEWOBJ":                    {one(cat(global("torch", "Size"), ")\x81")), "NEWOBJ"},
		"NEWOBJ_EX":                 {one(cat(global("torch", "Size"), ")}\x92")), "NEWOBJ_EX"},
		"EXT1":                      {one("\x82\x01"), "EXT1"},
		"EXT2":                      {one("\x83\x01\x00"), "EXT2"},
		"EXT4":                      {one("\x84\x01\x00\x00\x00"), "EXT4"},
		"PERSID":                    {one("P0\n"), "PERSID"},
		"DUP":                       {one("N2"), "DUP"},
		"POP":                       {one("NN0"), "POP"},
		"opcode 0":                  {one("\x00"), "opcode 0x00"},
		"opcode 0xff":               {one("\xff"), "opcode 0xff"},
		"protocol 1":                {"\x80\x01N.", "protocol 1"},
		"protocol 6":                {"\x80\x06N.", "protocol 6"},
		"nothing":                   {"", "pickle ends"},
		"no STOP":                   {"\x80\x02N", "pickle ends"},
		"only STOP":                 {"\x80\x02.", "0 objects"},
		"two objects":               {"\x80\x02NN.", "2 objects"},
		"an open mark":              {"\x80\x02(N.", "1 marks"},
		"bytes behind STOP":         {"\x80\x02N.N", "1 bytes behind"},
		"REDUCE of nothing":         {"\x80\x02R.", "isn't on the stack"},
		"REDUCE of a tuple":         {one("))R"), "what is called is of type tuple"},
		"REDUCE of a class":         {one(cat(class, ")R")), "what is called"},
		"REDUCE without a tuple":    {one(cat(global("torch", "Size"), "]R")), "is of type list"},
		"BUILD of a tensor":         {one(cat(vector(4), "}b")), "BUILD"},
		"BUILD of a class":          {one(cat(class, "}b")), "BUILD"},
		"BUILD of a list":           {one("]}b"), "BUILD"},
		"OrderedDict of pairs":      {one(cat(global("collections", "OrderedDict"), "]\x85R")), "OrderedDict"},
		"TUPLE without a mark":      {"\x80\x02Nt.", "a mark is wanted"},
		"TUPLE2 of one":             {"\x80\x02N\x86.", "isn't on the stack"},
		"TUPLE3 through a mark":     {"\x80\x02N(NN\x87.", "isn't on the stack"},
		"APPEND to a dict":          {one("}Na"), "appended to is of type dict"},
		"APPEND to a tuple":         {one(")Na"), "of type tuple"},
		"APPENDS without a mark":    {"\x80\x02]Ne.", "a mark is wanted"},
		"SETITEM in a list":         {one("]K\x01Ns"), "of type list"},
		"SETITEMS of one":           {one("}(Nu"), "a key without a value"},
		"a tensor as key":           {one(cat("}", vector(4), "Ns")), "key of type tensor"},
		"a list as key":             {one("}]Ns"), "key of type list"},
		"a float as key":            {one("}G\x3f\xf0\x00\x00\x00\x00\x00\x00Ns"), "key of type float"},
		"a key twice":               {one(cat("}(", str("k"), "N", str("k"), "Nu")), `"k" stands twice`},
		"BINGET of nothing":         {one("h\x05"), "memo index 5"},
		"LONG_BINGET of nothing":    {one("j\xff\xff\xff\xff"), "memo index 4294967295"},
		"LONG_BINPUT of 2^32-1":     {one("Nr\xff\xff\xff\xff"), "memo index 4294967295"},
		"BINPUT of nothing":         {"\x80\x02q\x00.", "isn't on the stack"},
		"MEMOIZE of nothing":        {"\x80\x04\x94.", "isn't on the stack"},
		"string past the end":       {one("X\xff\xff\x00\x00ab"), "pickle ends"},
		"string of 4 GB":            {one("X\xff\xff\xff\xffab"), "string of 4294967295 bytes"},
		"string of 2^64-1":          {one(cat("\x8d", le(8, math.MaxUint64))), "string of"},
		"string of 2^63":            {one(cat("\x8d", le(8, 1<<63))), "string of"},
		"bytes past the end":        {one("B\xff\xff\x00\x00"), "pickle ends"},
		"BINBYTES8 of 2^63":         {one(cat("\x8e", le(8, 1<<63))), "string of"},
		"BYTEARRAY8 of 2^63":        {one(cat("\x96", le(8, 1<<63))), "string of"},
		"FRAME past the end":        {cat("\x80\x04\x95", le(8, 1<<40), "N."), "pickle ends"},
		"FRAME of 2^64-1":           {cat("\x80\x04\x95", le(8, math.MaxUint64), "N."), "pickle ends"},
		"not UTF-8":                 {one("X\x01\x00\x00\x00\xff"), "UTF-8"},
		"LONG1 past the end":        {"\x80\x02\x8a\xff.", "pickle ends"},
		"GLOBAL without end":        {"\x80\x02cos", "pickle ends"},
		"GLOBAL of a long line":     {cat("\x80\x02c", strings.Repeat("x", 10000), "\nx\n."), "line"},
		"1001 marks":                {cat("\x80\x02", strings.Repeat("(", 1001)), "nests deeper"},
		"65 lists":                  {cat("\x80\x02", nested(vector(4), 65), "."), "nested deeper"},
		"100,000 lists":             {cat("\x80\x02", nested(vector(4), 100_000), "."), "nested deeper"},
		"300,000 objects at a time": {cat("\x80\x02", strings.Repeat("]", 300_000)), "objects"},
		"a list in itself":          {"\x80\x02]q\x00(h\x00h\x00e.", "hold each other"},
		"2^50 paths":                {one(doubled(50)), "hold each other"},
		"2^200 paths":               {one(doubled(200)), "hold each other"},
		"a dict in itself":          {cat("\x80\x02}q\x00", str("k"), "h\x00s."), "hold each other"},
		"a long name":               {one(cat("}", str(strings.Repeat("k", 5000)), vector(4), "s")), "name of 5002 bytes"},
		"many long names":           {one(cat("}", str(strings.Repeat("k", 4000)), "]", vector(4), "q\x00a(", strings.Repeat("h\x00", 3000), "es")), "names are longer"},
		"3 million objects":         {cat("\x80\x02]", strings.Repeat("("+strings.Repeat("N", 1000)+"e", 3000), "."), "more than 2097152 objects"},
		"a name twice":              {cat("\x80\x02}(", str("a/b"), vector(4), str("a"), "}", str("b"), vector(4), "su."), `"a/b" stands twice`},
		"persistent id: a string":   {one(str("0") + "Q"), "persistent id is of type str"},
		"persistent id: ()":         {id(), "persistent id"},
		"persistent id: module":     {id(str("module"), class, str("0"), str("cpu"), num(4)), "persistent id"},
		"persistent id: four":       {id(str("storage"), class, str("0"), str("cpu")), "persistent id"},
		"persistent id: legacy":     {id(str("storage"), class, str("0"), str("cpu"), num(4), "N"), "persistent id"},
		"persistent id: a function": {id(rebuild, class, str("0"), str("cpu"), num(4)), "persistent id"},
		"persistent id: no class":   {id(str("storage"), str("FloatStorage"), str("0"), str("cpu"), num(4)), "class"},
		"persistent id: a dtype":    {id(str("storage"), global("torch", "float32"), str("0"), str("cpu"), num(4)), "class"},
		"persistent id: number key": {id(str("storage"), class, num(0), str("cpu"), num(4)), "key"},
		"persistent id: no number":  {id(str("storage"), class, str("0"), str("cpu"), "N"), "number of elements"},
		"persistent id: -1":         {id(str("storage"), class, str("0"), str("cpu"), num(-1)), "-1 elements"},
		"persistent id: 2^62":       {id(str("storage"), class, str("0"), str("cpu"), num(1<<62)), "elements"},
		"persistent id: long":       {id(str("storage"), class, str("0"), str("cpu"), "\x8a\x09123456789"), "number of elements"},
	} {
		t.Run(name, badCase{pt(t, c.pickle, 16), c.says}.check)
	}
}

// TestBadTensors: tensors that their storage can't hold.
func TestBadTensors(t *testing.T) {
	six := storageID("FloatStorage", "0", 6) // 24 bytes
	bytes := tup(str("storage"), global("torch.storage", "UntypedStorage"), str("0"), str("cpu"), num(24)) + "Q"
	v3 := "ctorch._utils\n_rebuild_tensor_v3\n"
	parameter := global("torch._utils", "_rebuild_parameter")
	for name, c := range map[string]struct{ value, says string }{
		"negative offset":         {view(six, -1, nums(2), nums(1)), "offset -1"},
		"offset past the end":     {view(six, 7, nums(0), nums(1)), "offset 7"},
		"offset 2^63-1":           {view(six, math.MaxInt64, nums(2), nums(1)), "offset"},
		"beyond by offset":        {view(six, 1, nums(6), nums(1)), "beyond"},
		"beyond by shape":         {view(six, 0, nums(7), nums(1)), "beyond"},
		"beyond by stride":        {view(six, 0, nums(2, 3), nums(4, 1)), "beyond"},
		"negative shape":          {view(six, 0, nums(-1), nums(1)), "shape [-1]"},
		"negative stride":         {view(six, 5, nums(2), nums(-1)), "strides [-1]"},
		"shape 2^63-1":            {view(six, 0, nums(math.MaxInt64), nums(1)), "shape"},
		"product overflows":       {view(six, 0, nums(1<<32, 1<<32), nums(1, 1)), "beyond"},
		"product wraps to 4":      {view(six, 0, nums(1<<32, 1<<32, 4), nums(0, 0, 1)), "repeats"},
		"stride 2^62":             {view(six, 0, nums(3, 2), nums(1<<62, 1)), "beyond"},
		"stride 2^63-1":           {view(six, 0, nums(5), nums(math.MaxInt64)), "beyond"},
		"strides wrap to 0":       {view(six, 0, nums(2, 2, 2), nums(1<<63-1, 1<<63-1, 2)), "beyond"},
		"expanded to 2^40":        {view(six, 0, nums(1<<40), nums(0)), "repeats"},
		"windows":                 {view(six, 0, nums(3, 3), nums(1, 1)), "repeats"},
		"rows on each other":      {view(six, 0, nums(2, 3), nums(2, 1)), "repeats"},
		"a stride too few":        {view(six, 0, nums(2, 3), nums(1)), "strides [1]"},
		"no shape":                {view(six, 0, "N", nums(1)), "the shape of a tensor is of type None"},
		"shape of strings":        {view(six, 0, tup(str("2")), nums(1)), "of type str"},
		"shape of bools":          {view(six, 0, tup("\x88"), nums(1)), "of type bool"},
		"17 dimensions":           {view(six, 0, nums(make([]int64, 17)...), nums(make([]int64, 17)...)), "17 dimensions"},
		"no storage":              {view(str("0"), 0, nums(2), nums(1)), "the storage of a tensor is of type str"},
		"no offset":               {cat(rebuild, tup(six, "N", nums(2), nums(1), "\x89", "}"), "R"), "offset"},
		"five arguments":          {cat(rebuild, tup(six, num(0), nums(2), nums(1), "\x89"), "R"), "5 arguments"},
		"no arguments":            {cat(rebuild, ")R"), "0 arguments"},
		"metadata":                {cat(rebuild, tup(six, num(0), nums(2), nums(1), "\x89", "}", "}"+str("neg")+"\x88s"), "R"), "metadata"},
		"metadata of a list":      {cat(rebuild, tup(six, num(0), nums(2), nums(1), "\x89", "}", "]"), "R"), "metadata"},
		"untyped":                 {view(bytes, 0, nums(2), nums(1)), "no element type"},
		"v3 without type":         {cat(v3, tup(bytes, num(0), nums(2), nums(1), "\x89", "}"), "R"), "6 arguments"},
		"v3 of a class":           {cat(v3, tup(bytes, num(0), nums(2), nums(1), "\x89", "}", global("torch", "FloatStorage")), "R"), "element type"},
		"v3 beyond":               {cat(v3, tup(bytes, num(0), nums(4), nums(1), "\x89", "}", global("torch", "uint64")), "R"), "beyond"},
		"parameter of a storage":  {cat(parameter, tup(six, "\x88", "}"), "R"), "the data of a parameter"},
		"parameter of nothing":    {cat(parameter, ")R"), "0 arguments"},
		"size of two":             {cat(global("torch", "Size"), nums(1, 2), "R"), "torch.Size of 2"},
		"size of a list":          {cat(global("torch", "Size"), "]\x85R"), "torch.Size is of type list"},
		"set of nothing":          {cat(global("builtins", "set"), ")R"), "set of 0"},
		"storage of two lengths":  {cat("](", six, storageID("FloatStorage", "0", 5), "e"), `storage "0"`},
		"storage of two classes":  {cat("](", six, storageID("IntStorage", "0", 6), "e"), `storage "0"`},
		"storage that is missing": {view(storageID("FloatStorage", "1", 6), 0, nums(2), nums(1)), "data/1 is missing"},
		"storage elsewhere":       {view(storageID("FloatStorage", "../data.pkl", 6), 0, nums(2), nums(1)), "missing"},
		"storage too long":        {vector(7), "data/0 has 24 bytes, the pickle says 28"},
		"storage too short":       {vector(5), "the pickle says 20"},
	} {
		t.Run(name, badCase{pt(t, one(c.value), 24), c.says}.check)
	}
}

// TestBadArchives: containers that aren't torch.save's.
func TestBadArchives(t *testing.T) {
	pickle := entry{name: "a/data.pkl", data: one(vector(4))}
	data := entry{name: "a/data/0", data: strings.Repeat("\x01", 16)}
	good := archive(t, pickle, data)
	directory := bytes.Index(good, []byte("PK\x01\x02"))
	second := directory + 2 + bytes.Index(good[directory+2:], []byte("PK\x01\x02")) // the directory's record of data
	set := func(at int, n uint32) []byte {
		file := bytes.Clone(good)
		binary.LittleEndian.PutUint32(file[second+at:], n)
		return file
	}
	both := func(n uint32) []byte { // stored and real size
		file := set(20, n)
		binary.LittleEndian.PutUint32(file[second+24:], n)
		return file
	}
	moved := bytes.Clone(good) // its directory claims to be elsewhere, which puts all entries at negative offsets
	binary.LittleEndian.PutUint32(moved[len(moved)-6:], uint32(directory)+1000)
	for name, c := range map[string]badCase{
		"empty":                   {nil, "0 bytes"},
		"three bytes":             {[]byte("PK\x03"), "3 bytes"},
		"safetensors":             {[]byte("\x02\x00\x00\x00\x00\x00\x00\x00{}"), "neither"},
		"text":                    {[]byte("import os"), "neither"},
		"only a magic":            {[]byte("PK\x03\x04"), "zip"},
		"no directory":            {good[:directory], "zip"},
		"no pickle":               {archive(t, data), "without data.pkl"},
		"pickle without folder":   {archive(t, entry{name: "data.pkl", data: "\x80\x02N."}), "without data.pkl"},
		"pickle too deep":         {archive(t, entry{name: "a/b/data.pkl", data: "\x80\x02N."}), "without data.pkl"},
		"two folders":             {archive(t, pickle, data, entry{name: "b/data.pkl", data: "\x80\x02N."}), "folder"},
		"entry twice":             {archive(t, pickle, data, data), "twice"},
		"script":                  {archive(t, pickle, data, entry{name: "a/constants.pkl"}), "TorchScript"},
		"big-endian":              {archive(t, pickle, data, entry{name: "a/byteorder", data: "big"}), "big-endian"},
		"middle-endian":           {archive(t, pickle, data, entry{name: "a/byteorder", data: strings.Repeat("middle", 1000)}), "byteorder"},
		"deflated":                {archive(t, pickle, entry{data.name, data.data, 8}), "compressed"},
		"method 99":               {archive(t, pickle, entry{data.name, data.data, 99}), "compressed"},
		"encrypted":               {set(8, 1), "encrypted"},
		"real size 2^31":          {set(24, 1<<31), "are stored as"},
		"stored size 2^31":        {set(20, 1<<31), "are stored as"},
		"both sizes 2^31":         {both(1 << 31), "beyond a file"},
		"both sizes 17":           {both(17), "the pickle says 16"},
		"both sizes 15":           {both(15), "the pickle says 16"},
		"offset of the pickle":    {set(42, 0), "overlap"},
		"offset 2^31":             {set(42, 1<<31), ""},
		"offset 1":                {set(42, 1), "zip"},
		"directory 1000 bytes on": {moved, "zip"},
		"1000 entries":            {patched(t, good, "\x02\x00\x02\x00", "\xe8\x03\xe8\x03"), "zip"},
	} {
		t.Run(name, c.check)
	}
}

// TestBadLegacy: files of the format before.
func TestBadLegacy(t *testing.T) {
	file := func(parts ...string) []byte { return []byte(cat(parts...)) }
	object, keys, data := legacyVector(4), legacyKeys("0"), elements(4, 16)
	viewed := one(tup(str("storage"), global("torch", "FloatStorage"), str("0"), str("cpu"), num(4), nums(1, 2)) + "Q")
	for name, c := range map[string]badCase{
		"another pickle":        {file("\x80\x02N."), "magic number"},
		"magic of a string":     {file("\x80\x02", str("x"), "."), "magic number"},
		"magic of a function":   {file("\x80\x02", rebuild, "."), "magic number"},
		"os.system at once":     {file("\x80\x02", global("os", "system"), str("echo"), "\x85R."), "refused global os.system"},
		"only the magic":        {file(legacyMagic), "version"},
		"version 1000":          {file(legacyMagic, "\x80\x02M\xe8\x03."), "1001"},
		"storage in the head":   {file(legacyMagic, "\x80\x02", storageID("FloatStorage", "0", 1), "."), "persistent id"},
		"no facts":              {file(legacyMagic, "\x80\x02M\xe9\x03.\x80\x02N."), "before the object"},
		"big-endian":            {file(legacyMagic, "\x80\x02M\xe9\x03.\x80\x02}", str("little_endian"), "\x89s."), "big-endian"},
		"no object":             {file(legacyHead), "the object"},
		"os.system":             {file(legacyHead, one(cat(global("os", "system"), str("echo"), "\x85R"))), "refused global os.system"},
		"id of the zip format":  {file(legacyHead, one(vector(4)), keys, data), "persistent id"},
		"id of a view":          {file(legacyHead, viewed, keys, data), "view"},
		"no keys":               {file(legacyHead, object), "list of storages"},
		"keys of a dict":        {file(legacyHead, object, "\x80\x02}.", data), "behind the object"},
		"keys of numbers":       {file(legacyHead, object, "\x80\x02]K\x00a.", data), "the key of a storage"},
		"key that is unknown":   {file(legacyHead, object, legacyKeys("0", "1"), data, data), `storage "1"`},
		"key twice":             {file(legacyHead, object, legacyKeys("0", "0"), data, data), "twice"},
		"key missing":           {file(legacyHead, object, legacyKeys()), "isn't stored"},
		"no data":               {file(legacyHead, object, keys), "truncated"},
		"data cut off":          {file(legacyHead, object, keys, elements(4, 15)), "truncated"},
		"more data":             {file(legacyHead, object, keys, data, "x"), "1 bytes behind"},
		"other length":          {file(legacyHead, object, keys, elements(3, 16)), "3 elements, the pickle says 4"},
		"length 2^64-1":         {file(legacyHead, object, keys, elements(math.MaxUint64, 16)), "-1 elements"},
		"length 2^60, agreed":   {file(legacyHead, legacyVector(1<<60), keys, elements(1<<60, 16)), "truncated"},
		"string past the end":   {file(legacyHead, "\x80\x02X\xff\xff\x00\x00"), "pickle ends"},
		"file is only a proto":  {file("\x80\x02\x80\x02"), "pickle ends"},
		"legacy of a big value": {file("\x80\x02\x8a\xff", strings.Repeat("\x01", 255), "."), "magic number"},
	} {
		t.Run(name, c.check)
	}
}

package torchfile

// The opcodes of pickle protocols 2 to 5 that torch.save writes, as CPython's Lib/pickle.py
// names them.
const (
	opMark            = '('
	opStop            = '.'
	opBinFloat        = 'G'
	opBinInt          = 'J'
	opBinInt1         = 'K'
	opBinInt2         = 'M'
	opNone            = 'N'
	opBinPersID       = 'Q'
	opReduce          = 'R'
	opBinString       = 'T'
	opShortBinString  = 'U'
	opBinUnicode      = 'X'
	opAppend          = 'a'
	opBuild           = 'b'
	opGlobal          = 'c'
	opAppends         = 'e'
	opBinGet          = 'h'
	opLongBinGet      = 'j'
	opBinPut          = 'q'
	opLongBinPut      = 'r'
	opSetItem         = 's'
	opTuple           = 't'
	opSetItems        = 'u'
	opEmptyTuple      = ')'
	opEmptyList       = ']'
	opEmptyDict       = '}'
	opProto           = 0x80
	opTuple1          = 0x85
	opTuple2          = 0x86
	opTuple3          = 0x87
	opNewTrue         = 0x88
	opNewFalse        = 0x89
	opLong1           = 0x8a
	opBinBytes        = 'B' // protocol 3 from here on
	opShortBinBytes   = 'C'
	opShortBinUnicode = 0x8c // protocol 4 from here on
	opBinUnicode8     = 0x8d
	opBinBytes8       = 0x8e
	opEmptySet        = 0x8f
	opAddItems        = 0x90
	opStackGlobal     = 0x93
	opMemoize         = 0x94
	opFrame           = 0x95
	opByteArray8      = 0x96 // protocol 5
)

// operations are the machine's instructions; STOP is not among them.
var operations = [256]func(*machine) error{
	opProto: (*machine).proto, opFrame: (*machine).frame, opMark: (*machine).mark,

	opNone: constant(nil), opNewTrue: constant(true), opNewFalse: constant(false),
	opBinInt: (*machine).int32, opBinInt1: unsigned(1), opBinInt2: unsigned(2), opLong1: (*machine).long, opBinFloat: (*machine).float,
	opBinUnicode: text(4), opShortBinUnicode: text(1), opBinUnicode8: text(8), opShortBinString: text(1), opBinString: text(4),
	opBinBytes: skipped(4), opShortBinBytes: skipped(1), opBinBytes8: skipped(8), opByteArray8: skipped(8),

	opEmptyTuple: tupleOf(0), opTuple1: tupleOf(1), opTuple2: tupleOf(2), opTuple3: tupleOf(3), opTuple: (*machine).tuple,
	opEmptyList: (*machine).emptyList, opAppend: (*machine).append, opAppends: (*machine).appends,
	opEmptySet: (*machine).emptyList, opAddItems: (*machine).appends,
	opEmptyDict: (*machine).emptyDict, opSetItem: (*machine).setItem, opSetItems: (*machine).setItems,

	opBinPut: put(1), opLongBinPut: put(4), opMemoize: (*machine).memoize, opBinGet: get(1), opLongBinGet: get(4),
	opGlobal: (*machine).global, opStackGlobal: (*machine).stackGlobal,
	opReduce: (*machine).reduce, opBuild: (*machine).build, opBinPersID: (*machine).persistentID,
}

// refusedOpcodes names the others for messages. State dicts hold no objects that need them.
var refusedOpcodes = map[byte]string{
	'0': "POP", '1': "POP_MARK", '2': "DUP", 'F': "FLOAT", 'I': "INT", 'L': "LONG", 'P': "PERSID", 'S': "STRING", 'V': "UNICODE",
	'd': "DICT", 'g': "GET", 'i': "INST", 'l': "LIST", 'o': "OBJ", 'p': "PUT",
	0x81: "NEWOBJ", 0x82: "EXT1", 0x83: "EXT2", 0x84: "EXT4", 0x8b: "LONG4", 0x91: "FROZENSET", 0x92: "NEWOBJ_EX",
	0x97: "NEXT_BUFFER", 0x98: "READONLY_BUFFER",
}

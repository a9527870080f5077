package torchfile

import "fmt"

// The values of a pickle are nil, bool, int64, float64, string and the types below. A value
// may hold itself, so that none is ever printed, only its kind.
type (
	list  struct{ items []any }
	tuple struct{ items []any }

	// dict is a dict or OrderedDict.
	dict struct {
		items []item
		seen  map[any]struct{}
	}

	// item is one entry of a dict; its key is a string or int64.
	item struct{ key, value any }

	// opaque is something whose value doesn't matter: bytes, a device.
	opaque struct{}

	// long holds the little-endian bytes of an integer beyond 64 bits.
	long string

	// function is what a global stands for that can be called.
	function func(args []any) (any, error)

	// storageClass is a class of storages, by the type of its elements.
	storageClass string

	// dtype is an element type.
	dtype string

	// storage is a block of a file's bytes that tensors are views of.
	storage struct {
		class storageClass
		key   string
		bytes int64
		start int64 // from the beginning of the file; -1 until it is known
	}

	// view is a tensor: elements of a storage. Offset and stride count elements.
	view struct {
		storage       *storage
		dtype         string
		offset        int64
		shape, stride []int64
	}
)

// kind names a value's type for messages, as Python does.
func kind(v any) string {
	switch v.(type) {
	case nil:
		return "None"
	case bool:
		return "bool"
	case int64, long:
		return "int"
	case float64:
		return "float"
	case string:
		return "str"
	case *list:
		return "list"
	case *tuple:
		return "tuple"
	case *dict:
		return "dict"
	case function, storageClass, dtype:
		return "global"
	case *storage:
		return "storage"
	case *view:
		return "tensor"
	}
	return "object"
}

// set adds an entry. A pickler writes each key once.
func (d *dict) set(key, value any) error {
	switch key.(type) {
	case string, int64:
	default:
		return unsupported("a dict with a key of type %s", kind(key))
	}
	if _, twice := d.seen[key]; twice {
		return malformed("key %s stands twice in a dict", quoted(key))
	}
	if d.seen == nil {
		d.seen = map[any]struct{}{}
	}
	d.seen[key] = struct{}{}
	d.items = append(d.items, item{key, value})
	return nil
}

// quoted writes a key for messages.
func quoted(key any) string {
	if s, ok := key.(string); ok {
		return fmt.Sprintf("%.100q", s)
	}
	return fmt.Sprint(key)
}

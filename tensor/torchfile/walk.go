package torchfile

import "fmt"

// Bounds on the tree of dicts and lists. It is a graph in truth: what is stored once may be
// reached in many ways, or from within itself.
const (
	maxDepth  = 64
	maxVisits = 8       // of each object, on average
	maxName   = 4096    // bytes
	maxNames  = 8 << 20 // bytes of all tensors' names
)

// walker collects the tensors below an object.
type walker struct {
	entries map[string]Entry
	budget  int // visits that are left
	names   int // bytes
}

// collect returns the tensors below root, which a pickle of so many objects has made.
func collect(root any, objects int) (map[string]Entry, error) {
	w := walker{entries: map[string]Entry{}, budget: maxVisits * objects}
	err := w.walk("", root, 0)
	return w.entries, err
}

func (w *walker) walk(path string, v any, depth int) error {
	if depth > maxDepth {
		return malformed("objects are nested deeper than %d", maxDepth)
	}
	switch v := v.(type) {
	case *view:
		return w.add(path, v)
	case *dict:
		for _, it := range v.items {
			if err := w.descend(path, it.key, it.value, depth); err != nil {
				return err
			}
		}
	case *list:
		return w.walkItems(path, v.items, depth)
	case *tuple:
		return w.walkItems(path, v.items, depth)
	}
	return nil
}

func (w *walker) walkItems(path string, items []any, depth int) error {
	for i, v := range items {
		if err := w.descend(path, i, v, depth); err != nil {
			return err
		}
	}
	return nil
}

// descend walks what stands under a key of the object at path.
func (w *walker) descend(path string, key, v any, depth int) error {
	w.budget--
	if w.budget < 0 {
		return malformed("objects hold each other in more than %d ways each", maxVisits)
	}
	switch v.(type) {
	case *view, *dict, *list, *tuple:
	default:
		return nil // no name is made for each number of a long list
	}
	name := fmt.Sprint(key)
	if depth > 0 {
		name = path + "/" + name
	}
	if len(name) > maxName {
		return malformed("a name of %d bytes (at most %d)", len(name), maxName)
	}
	return w.walk(name, v, depth+1)
}

func (w *walker) add(name string, v *view) error {
	w.names += len(name)
	if w.names > maxNames {
		return malformed("the tensors' names are longer than %d MiB together", maxNames>>20)
	}
	if _, twice := w.entries[name]; twice {
		return malformed("tensor %q stands twice in the file", name)
	}
	e, err := v.entry(name)
	if err != nil {
		return fmt.Errorf("tensor %q: %w", name, err)
	}
	w.entries[name] = e
	return nil
}

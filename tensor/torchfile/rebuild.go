package torchfile

import "math"

// persistentID makes a storage of ("storage", class, key, device, number of elements) or,
// in legacy files, of six such things, the last of which was for views and is None now.
func (m *machine) persistentID() error {
	id, err := popAs[*tuple](m, "a persistent id")
	if err != nil {
		return err
	}
	if m.idLength == 0 || len(id.items) != m.idLength || id.items[0] != "storage" {
		return malformed("a persistent id that is no storage's")
	}
	class, err := as[storageClass](id.items[1], "the class of a storage")
	if err != nil {
		return err
	}
	key, err := as[string](id.items[2], "the key of a storage")
	if err != nil {
		return err
	}
	n, err := as[int64](id.items[4], "the number of elements of a storage")
	if err != nil {
		return err
	}
	if len(id.items) > 5 && id.items[5] != nil {
		return unsupported("storage %.100q is a view of another one, as PyTorch before 0.4 saved them", key)
	}
	s, err := m.storage(class, key, n)
	if err != nil {
		return err
	}
	return m.push(s)
}

// storage returns the storage of a key, which is the same each time.
func (m *machine) storage(class storageClass, key string, n int64) (*storage, error) {
	width := elementBytes[string(class)]
	if n < 0 || n > math.MaxInt64/width {
		return nil, malformed("storage %.100q has %d elements", key, n)
	}
	s := &storage{class: class, key: key, bytes: n * width, start: -1}
	old, ok := m.storages[key]
	switch {
	case !ok:
		m.storages[key] = s
		return s, nil
	case *old != *s:
		return nil, malformed("storage %.100q is of %d bytes of %s and of %d of %s", key, old.bytes, old.class, s.bytes, class)
	}
	return old, nil
}

// rebuildTensorV2 is torch._utils._rebuild_tensor_v2(storage, offset, shape, stride,
// requires_grad, hooks, metadata=None).
func rebuildTensorV2(args []any) (any, error) {
	if len(args) != 6 && len(args) != 7 {
		return nil, malformed("_rebuild_tensor_v2 of %d arguments", len(args))
	}
	v, err := rebuild(args)
	if err != nil {
		return nil, err
	}
	if v.storage.class == untyped {
		return nil, malformed("storage %.100q has no element type", v.storage.key)
	}
	v.dtype = string(v.storage.class)
	return v, plain(args[6:])
}

// rebuildTensorV3 is torch._utils._rebuild_tensor_v3, with the element type before metadata.
func rebuildTensorV3(args []any) (any, error) {
	if len(args) != 7 && len(args) != 8 {
		return nil, malformed("_rebuild_tensor_v3 of %d arguments", len(args))
	}
	v, err := rebuild(args)
	if err != nil {
		return nil, err
	}
	t, err := as[dtype](args[6], "the element type of a tensor")
	if err != nil {
		return nil, err
	}
	v.dtype = string(t)
	return v, plain(args[7:])
}

// rebuildParameter is torch._utils._rebuild_parameter(tensor, requires_grad, hooks).
func rebuildParameter(args []any) (any, error) {
	if len(args) != 3 {
		return nil, malformed("_rebuild_parameter of %d arguments", len(args))
	}
	return as[*view](args[0], "the data of a parameter")
}

// rebuild reads the arguments that all tensors have. That the view lies in its storage is
// checked when its name is known.
func rebuild(args []any) (*view, error) {
	s, err := as[*storage](args[0], "the storage of a tensor")
	if err != nil {
		return nil, err
	}
	offset, err := as[int64](args[1], "the offset of a tensor")
	if err != nil {
		return nil, err
	}
	shape, err := integers(args[2], "the shape of a tensor")
	if err != nil {
		return nil, err
	}
	stride, err := integers(args[3], "the stride of a tensor")
	if err != nil {
		return nil, err
	}
	return &view{storage: s, offset: offset, shape: shape, stride: stride}, nil
}

// plain refuses metadata: it marks tensors whose values are the stored ones' negatives or
// conjugates.
func plain(metadata []any) error {
	for _, v := range metadata {
		if d, ok := v.(*dict); v != nil && (!ok || len(d.items) > 0) {
			return unsupported("a tensor with metadata: save x.resolve_neg() or x.resolve_conj()")
		}
	}
	return nil
}

func integers(v any, what string) ([]int64, error) {
	t, err := as[*tuple](v, what)
	if err != nil {
		return nil, err
	}
	if len(t.items) > maxDims {
		return nil, unsupported("%s has %d dimensions (at most %d)", what, len(t.items), maxDims)
	}
	ns := make([]int64, len(t.items))
	for i, v := range t.items {
		if ns[i], err = as[int64](v, what); err != nil {
			return nil, err
		}
	}
	return ns, nil
}

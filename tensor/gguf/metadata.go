package gguf

import (
	"fmt"

	"github.com/gpupeft/gpupeft/tensor"
)

// Has says whether the metadata has a key.
func (f *File) Has(key string) bool {
	_, ok := f.keys[key]
	return ok
}

// get reads a key as one Go type. Errors wrap tensor.ErrFormat and name key and type.
func get[T any](f *File, key, want string) (v T, err error) {
	have, ok := f.keys[key]
	if !ok {
		return v, malformed("metadata %s is missing", key)
	}
	v, ok = have.(T)
	if !ok {
		return v, fmt.Errorf("metadata %s is a %T, want %s: %w", key, have, want, tensor.ErrFormat)
	}
	return v, nil
}

// String reads a string.
func (f *File) String(key string) (string, error) { return get[string](f, key, "a string") }

// Int reads an integer of any width.
func (f *File) Int(key string) (int64, error) { return get[int64](f, key, "an integer") }

// Float reads a number: a float, or an integer.
func (f *File) Float(key string) (float64, error) {
	if n, ok := f.keys[key].(int64); ok {
		return float64(n), nil
	}
	return get[float64](f, key, "a number")
}

// Bool reads a bool.
func (f *File) Bool(key string) (bool, error) { return get[bool](f, key, "a bool") }

// Strings reads an array of strings.
func (f *File) Strings(key string) ([]string, error) {
	return get[[]string](f, key, "an array of strings")
}

// Ints reads an array of integers of any width.
func (f *File) Ints(key string) ([]int64, error) { return get[[]int64](f, key, "an array of integers") }

// Floats reads an array of floats.
func (f *File) Floats(key string) ([]float64, error) {
	return get[[]float64](f, key, "an array of floats")
}

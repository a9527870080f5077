package peft

import "errors"

var (
	// ErrConfig: settings that make no sense, or that gpupeft doesn't know.
	ErrConfig = errors.New("unusable configuration")
	// ErrMismatch: an adapter that doesn't belong to the model.
	ErrMismatch = errors.New("adapter and model don't match")
	// ErrFormat: an adapter directory that breaks PEFT's format.
	ErrFormat = errors.New("malformed adapter")
	// ErrDiverged: a loss or gradient that is no number.
	ErrDiverged = errors.New("training diverged")
)

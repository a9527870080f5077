package transformer

import "errors"

var (
	// ErrCheckpoint: a model directory that is incomplete or contradicts itself.
	ErrCheckpoint = errors.New("unusable checkpoint")
	// ErrUnsupported: a model or option that gpupeft doesn't know.
	ErrUnsupported = errors.New("not supported")
	// ErrInput: token ids or sequences that don't fit the model or the run.
	ErrInput = errors.New("unusable input")
)

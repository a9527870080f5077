//go:build !cgo || nogpu || !((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && (amd64 || arm64)))

package gpu

import "fmt"

func findAdapters() (adapters, error) {
	return nil, fmt.Errorf("%w: this program was built without GPU support, which needs cgo and no build tag nogpu", ErrUnavailable)
}

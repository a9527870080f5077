//go:build !linux || !(amd64 || arm64)

package faults

import (
	"os/exec"
	"testing"
)

// Calls are a process, and the calls that it makes.
type Calls struct{}

// StartCalls skips the test.
func StartCalls(t testing.TB, _ *exec.Cmd, _ string, _ CallRule) *Calls {
	t.Helper()
	t.Skip("system calls can be made to fail on Linux only")
	return nil
}

// Wait is never reached.
func (*Calls) Wait(testing.TB) ([]Called, error) { return nil, nil }

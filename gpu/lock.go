package gpu

import "context"

// lock is a mutex that a goroutine can stop waiting for: while another one compiles a kernel
// or hands over a long list of dispatches, a call whose context ends must return.
type lock chan struct{}

func newLock() lock { return make(lock, 1) }

// Lock implements sync.Locker.
func (l lock) Lock() { l <- struct{}{} }

// Unlock implements sync.Locker.
func (l lock) Unlock() { <-l }

// LockUntil is Lock, or the context's error if that ends before.
func (l lock) LockUntil(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case l <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

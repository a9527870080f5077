// Package selftest compares what a GPU computes with the CPU. Drivers have mistakes, and a
// wrong kernel trains a wrong model without any error.
//
//	result, err := selftest.Run(ctx, backend, selftest.Limit, 0)
//	if wrong := (*selftest.WrongError)(nil); errors.As(err, &wrong) { … } // leave wrong.Operations to the CPU
//
// The cases are those of tensor/optest's conformance suite that use, together, each kernel
// that this kind of adapter with these limits uses in the whole suite.
package selftest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gpupeft/gpupeft/gpu"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/optest"
)

// WrongError says that the GPU computes wrong results. Its text names the case and the kernels that were used for the
// first time.
type WrongError struct {
	Operations []string // of the case, as gpu.Config.OnCPU wants them
	Text       string
}

// Error implements error.
func (e *WrongError) Error() string { return e.Text }

// Limit is a time within which a driver gets through most kernels, or all if it has compiled
// them before.
const Limit = 5 * time.Second

// Result says what was tested.
type Result struct {
	Kernels int           // that are right
	Of      int           // that there are
	Cases   int           // that were right, with those that were skipped
	Whole   bool          // no case is left
	Took    time.Duration //
}

// Run tests a backend, for as long as limit (0: to the end), or up to the first wrong result,
// from the case on that an earlier Result's Cases says.
// The error is a [WrongError], or what kept the backend from computing, such as
// tensor.ErrMemory or gpu.ErrLost.
func Run(ctx context.Context, b *gpu.Backend, limit time.Duration, from int) (Result, error) {
	began := time.Now()
	cases, err := choose(ctx, b.Device().Info(), b.Device().Limits())
	if err != nil {
		return Result{}, err
	}
	r := Result{Cases: min(from, len(cases))}
	right, err := test(ctx, b, cases[r.Cases:], func() bool { return limit > 0 && time.Since(began) > limit })
	r.Cases, r.Took = r.Cases+right, time.Since(began)
	r.Whole = r.Cases == len(cases)
	for i, c := range cases {
		r.Of += c.kernels
		if i < r.Cases {
			r.Kernels += c.kernels
		}
	}
	return r, err
}

// subject is what is tested.
type subject interface {
	tensor.Backend
	Kernels() []string
}

// test compares cases until it is late, and counts those that are right.
func test(ctx context.Context, b subject, cases []choice, late func() bool) (right int, err error) {
	oracle := tensor.NewFloat64()
	defer oracle.Close()
	for _, c := range cases {
		if late() {
			break
		}
		if err := compare(ctx, b, oracle, c.Case); err != nil {
			return right, err
		}
		right++
	}
	return right, nil
}

// choice is a case of the self-test.
type choice struct {
	optest.Case
	kernels int // that no case before it uses, in the order of optest
	turn    int // how many cases of its operation come before it
}

// choose picks the cases. A plan of the same adapter tells which kernels a case uses. Every
// operation comes before any comes again.
func choose(ctx context.Context, info gpu.AdapterInfo, limits gpu.Limits) (cases []choice, err error) {
	plan, err := gpu.OpenPlan(info, limits, gpu.Config{})
	if err != nil {
		return nil, err
	}
	defer plan.Close()
	turns, kernels := map[string]int{}, 0
	for _, c := range optest.Cases() {
		ops, free, err := c.Ops(plan)
		if err == nil {
			err = plan.Run(ctx, ops)
		}
		if err = errors.Join(err, free()); err != nil {
			return nil, fmt.Errorf("plan of %s: %w", c.Name, err)
		}
		if n := len(plan.Kernels()); n > kernels {
			operation, _, _ := strings.Cut(c.Name, "/")
			cases = append(cases, choice{c, n - kernels, turns[operation]})
			kernels = n
			turns[operation]++
		}
	}
	slices.SortStableFunc(cases, func(x, y choice) int { return x.turn - y.turn })
	return cases, nil
}

// compare runs one case.
func compare(ctx context.Context, b subject, oracle tensor.Backend, c optest.Case) error {
	want, err := c.Run(ctx, oracle)
	if err != nil {
		return fmt.Errorf("oracle of %s: %w", c.Name, err)
	}
	before := b.Kernels()
	got, err := c.Run(ctx, b)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	if err := optest.Compare(got, want, c.Tolerance); err != nil {
		used := slices.DeleteFunc(b.Kernels(), func(k string) bool { return slices.Contains(before, k) })
		operations, e := operationsOf(c, b)
		if e != nil {
			return e
		}
		return &WrongError{operations, fmt.Sprintf("%s: kernel %s: wrong results: %v", c.Name, strings.Join(used, ", "), err)}
	}
	return nil
}

// operationsOf names the operations of a case.
func operationsOf(c optest.Case, b tensor.Backend) ([]string, error) {
	ops, free, err := c.Ops(b)
	var names []string
	for _, o := range ops {
		if !slices.Contains(names, o.Name()) {
			names = append(names, o.Name())
		}
	}
	return names, errors.Join(err, free())
}

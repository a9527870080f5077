// Package selftest compares what a GPU computes with the CPU. Drivers have mistakes, and a
// wrong kernel trains a wrong model without any error.
//
//	result, err := selftest.Run(ctx, backend, selftest.Limit)
//	if errors.Is(err, selftest.ErrWrong) { … } // names the kernel: take the CPU
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

// ErrWrong: the GPU computes wrong results.
var ErrWrong = errors.New("wrong results")

// Limit is a time within which a driver gets through most kernels, or all if it has compiled
// them before.
const Limit = 5 * time.Second

// Result says what was tested.
type Result struct {
	Kernels int           // that were tested
	Of      int           // that there are
	Took    time.Duration //
}

// Run tests a backend, for as long as limit (0: to the end). The error wraps ErrWrong and
// names the operation, its case and the kernels that were used for the first time; or it is
// what kept the backend from computing, such as tensor.ErrMemory or gpu.ErrLost.
func Run(ctx context.Context, b *gpu.Backend, limit time.Duration) (Result, error) {
	began := time.Now()
	cases, kernels, err := choose(ctx, b.Device().Info(), b.Device().Limits())
	if err != nil {
		return Result{}, err
	}
	before := len(b.Kernels())
	err = test(ctx, b, cases, func() bool { return limit > 0 && time.Since(began) > limit })
	return Result{len(b.Kernels()) - before, kernels, time.Since(began)}, err
}

// subject is what is tested.
type subject interface {
	tensor.Backend
	Kernels() []string
}

// test compares cases until it is late.
func test(ctx context.Context, b subject, cases []optest.Case, late func() bool) error {
	oracle := tensor.NewFloat64()
	defer oracle.Close()
	for _, c := range cases {
		if late() {
			break
		}
		if err := compare(ctx, b, oracle, c); err != nil {
			return err
		}
	}
	return nil
}

// choose picks the cases, and counts their kernels. A plan of the same adapter tells which
// kernels a case uses. Every operation comes before any comes again.
func choose(ctx context.Context, info gpu.AdapterInfo, limits gpu.Limits) (cases []optest.Case, kernels int, err error) {
	plan, err := gpu.OpenPlan(info, limits, gpu.Config{})
	if err != nil {
		return nil, 0, err
	}
	defer plan.Close()
	turns := map[string]int{} // cases of an operation so far
	turn := map[string]int{}  // of a case
	for _, c := range optest.Cases() {
		ops, free, err := c.Ops(plan)
		if err == nil {
			err = plan.Run(ctx, ops)
		}
		if err = errors.Join(err, free()); err != nil {
			return nil, 0, fmt.Errorf("plan of %s: %w", c.Name, err)
		}
		if n := len(plan.Kernels()); n > kernels {
			operation, _, _ := strings.Cut(c.Name, "/")
			cases, kernels, turn[c.Name] = append(cases, c), n, turns[operation]
			turns[operation]++
		}
	}
	slices.SortStableFunc(cases, func(x, y optest.Case) int { return turn[x.Name] - turn[y.Name] })
	return cases, kernels, nil
}

// compare runs one case.
func compare(ctx context.Context, b subject, oracle tensor.Backend, c optest.Case) error {
	want, err := c.Run(ctx, oracle)
	if err != nil {
		return fmt.Errorf("oracle of %s: %w", c.Name, err)
	}
	before := b.Kernels()
	got, err := c.Run(ctx, b)
	if err == nil {
		if err = optest.Compare(got, want, c.Tolerance); err == nil {
			return nil
		}
		err = fmt.Errorf("%w: %w", ErrWrong, err)
	}
	used := slices.DeleteFunc(b.Kernels(), func(k string) bool { return slices.Contains(before, k) })
	if len(used) > 0 {
		err = fmt.Errorf("kernel %s: %w", strings.Join(used, ", "), err)
	}
	return fmt.Errorf("%s: %w", c.Name, err)
}

package optest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gpupeft/gpupeft/tensor"
)

// Cases returns the whole grid, always the same, sorted by operation.
func Cases() []Case {
	var g grid
	g.matMul()
	g.quantized()
	g.embed()
	g.gather()
	g.rmsNorm()
	g.normSteps()
	g.rope()
	g.attention()
	g.pattern()
	g.features()
	g.softmax()
	g.gated()
	g.elementwise()
	g.edit()
	g.columns()
	g.lstm()
	g.copies()
	g.crossEntropy()
	g.adamW()
	g.adamW8()
	g.adafactor()
	g.lionAndSGD()
	g.norm()
	slices.SortStableFunc(g.cases, func(a, b Case) int { return strings.Compare(a.operation(), b.operation()) })
	return g.cases
}

// grid collects cases.
type grid struct{ cases []Case }

// add appends a case whose name is given as to fmt.Sprintf.
func (g *grid) add(build func(*inputs) []tensor.Op, format string, args ...any) {
	g.cases = append(g.cases, Case{fmt.Sprintf(format, args...), Tolerance, negligible, build})
}

// exact appends a case whose results only move values.
func (g *grid) exact(build func(*inputs) []tensor.Op, format string, args ...any) {
	g.cases = append(g.cases, Case{fmt.Sprintf(format, args...), 0, negligible, build})
}

// scores appends a case that attends to keys.
func (g *grid) scores(build func(*inputs) []tensor.Op, format string, args ...any) {
	g.cases = append(g.cases, Case{fmt.Sprintf(format, args...), Tolerance, negligibleScores, build})
}

// one makes a list of a single operation.
func one(o tensor.Op) []tensor.Op { return []tensor.Op{o} }

// lengths are sizes around the powers of two that kernels are tiled by.
var lengths = []int{1, 2, 3, 5, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 255, 256, 257}

var weightTypes = []tensor.DType{tensor.F32, tensor.F16, tensor.BF16}

var quantizedTypes = []tensor.DType{
	tensor.Q8_0, tensor.Q4_0, tensor.Q4_1, tensor.Q5_0, tensor.Q5_1, tensor.Q4_K, tensor.Q5_K, tensor.Q6_K, tensor.NF4, tensor.FP4,
}

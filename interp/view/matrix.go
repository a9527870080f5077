package view

import (
	"errors"
	"fmt"
	"math"
	"strconv"
)

// ErrInput is wrapped by every error about data that can't be drawn.
var ErrInput = errors.New("cannot be drawn")

// Matrix is a heat map.
type Matrix struct {
	Title string
	// RowName and ColumnName say what rows and columns are: "layer", "head".
	RowName, ColumnName string
	// Rows and Columns are their labels; without them they are numbered from 0. Spaces
	// stay spaces: use Label for tokens.
	Rows, Columns []string
	Values        [][]float32 // [row][column]; NaN is a cell without a value
	// Min and Max are where the colours begin and end. If both are 0, they are taken
	// from the values: 0 to the largest, or symmetric about 0 if any is negative.
	Min, Max float64
	// Baseline, if not 0, is marked on the scale: what chance would give.
	Baseline float64
	// Group, if not 0, sets a gap after every so many columns: heads that share keys.
	Group int
}

// check reports what is wrong with the matrix.
func (m Matrix) check() error {
	if err := rectangle(m.Values); err != nil {
		return err
	}
	if n := len(m.Rows); n != 0 && n != len(m.Values) {
		return fmt.Errorf("%d labels for %d rows: %w", n, len(m.Values), ErrInput)
	}
	if n := len(m.Columns); n != 0 && n != len(m.Values[0]) {
		return fmt.Errorf("%d labels for %d columns: %w", n, len(m.Values[0]), ErrInput)
	}
	if m.Min > m.Max || !finite(m.Min) || !finite(m.Max) || !finite(m.Baseline) || m.Group < 0 {
		return fmt.Errorf("colours from %v to %v, baseline %v, groups of %d: %w", m.Min, m.Max, m.Baseline, m.Group, ErrInput)
	}
	return nil
}

// rectangle reports rows of different lengths, none at all, and infinite values.
func rectangle(values [][]float32) error {
	if len(values) == 0 || len(values[0]) == 0 {
		return fmt.Errorf("no values: %w", ErrInput)
	}
	for i, row := range values {
		if len(row) != len(values[0]) {
			return fmt.Errorf("row %d has %d values, the first %d: %w", i, len(row), len(values[0]), ErrInput)
		}
		if err := noneInfinite(row); err != nil {
			return fmt.Errorf("row %d: %w", i, err)
		}
	}
	return nil
}

func noneInfinite(values []float32) error {
	for i, v := range values {
		if math.IsInf(float64(v), 0) {
			return fmt.Errorf("value %d is infinite: %w", i, ErrInput)
		}
	}
	return nil
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// bounds are where a scale of colours begins and ends; it begins below zero if and only
// if values are signed, and is symmetric then.
type bounds struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// scale returns the bounds of values, or those given.
func scale(low, high float64, values ...[]float32) bounds {
	if low == 0 && high == 0 {
		for _, row := range values {
			for _, v := range row {
				if v := float64(v); v == v {
					low, high = min(low, v), max(high, v)
				}
			}
		}
	}
	if low < 0 {
		high = max(-low, high)
		low = -high
	}
	if low == high {
		high = low + 1
	}
	return bounds{low, high}
}

// scale returns the matrix's bounds.
func (m Matrix) scale() bounds { return scale(m.Min, m.Max, m.Values...) }

func (b bounds) signed() bool { return b.Low < 0 }

// at is where a value lies between the ends, 0 to 1.
func (b bounds) at(v float64) float64 {
	return max(0, min(1, (v-b.Low)/(b.High-b.Low)))
}

// axis returns labels, numbered from 0 if there are none.
func axis(labels []string, n int) []string {
	if len(labels) > 0 {
		return names(labels)
	}
	labels = make([]string, n)
	for i := range labels {
		labels[i] = strconv.Itoa(i)
	}
	return labels
}

// number writes a value with three significant digits.
func number(v float64) string {
	a := math.Abs(v)
	if a == 0 {
		return "0"
	} else if a < 0.001 || a >= 1e5 {
		return strconv.FormatFloat(v, 'g', 3, 64)
	} else if a >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	} else if a >= 10 {
		return strconv.FormatFloat(v, 'f', 1, 64)
	} else if a >= 1 {
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'f', 3, 64)
}

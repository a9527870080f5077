package view

import "strconv"

// floats are values in a page's JSON: four significant digits, null for NaN.
type floats []float32

// MarshalJSON writes an array of numbers.
func (f floats) MarshalJSON() ([]byte, error) {
	b := []byte{'['}
	for i, v := range f {
		if i > 0 {
			b = append(b, ',')
		}
		switch {
		case v != v:
			b = append(b, "null"...)
		case v == 0: // also −0
			b = append(b, '0')
		default:
			b = strconv.AppendFloat(b, float64(v), 'g', 4, 32)
		}
	}
	return append(b, ']'), nil
}

// grid is floats by row.
func grid(values [][]float32) []floats {
	rows := make([]floats, len(values))
	for i, row := range values {
		rows[i] = row
	}
	return rows
}

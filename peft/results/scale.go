package results

import (
	"math"
	"strconv"
	"strings"
)

// scale maps values to pixels.
type scale struct {
	axis     Axis
	values   span
	from, to float64 // pixels of values.low and values.high
}

// newScale makes a scale over values, of which a share is added at both ends.
func newScale(a Axis, values span, from, to, margin float64) scale {
	if values.low > values.high { // there are none
		values = span{1, 2}
	}
	a.Log = a.Log && values.low > 0
	s := scale{axis: a, from: from, to: to}
	low, high := s.bend(values.low), s.bend(values.high)
	if high-low <= 1e-9*max(math.Abs(low), math.Abs(high)) { // too near for ticks between them
		room := 1.0
		if !a.Log && low != 0 {
			room = math.Abs(low) / 2
		}
		low, high = low-room, high+room
	}
	add := margin * (high - low)
	s.values = span{s.unbend(low - add), s.unbend(high + add)}
	return s
}

// bend makes the scale a straight one.
func (s scale) bend(x float64) float64 {
	if s.axis.Log {
		return math.Log10(x)
	}
	return x
}

func (s scale) unbend(x float64) float64 {
	if s.axis.Log {
		return math.Pow(10, x)
	}
	return x
}

// pixel returns where a value lies.
func (s scale) pixel(x float64) float64 {
	low, high := s.bend(s.values.low), s.bend(s.values.high)
	return s.from + (s.bend(x)-low)/(high-low)*(s.to-s.from)
}

// ticks returns about n round values within the scale.
func (s scale) ticks(n int) []float64 {
	if s.axis.Log {
		if t := s.logTicks(n); len(t) >= 2 {
			return t
		}
	}
	step := roundStep((s.values.high - s.values.low) / float64(n))
	var ticks []float64
	for i := math.Ceil(s.values.low/step - 1e-9); i*step <= s.values.high+1e-9*step; i++ {
		ticks = append(ticks, i*step)
	}
	return ticks
}

// logTicks returns 1, 2 and 5 of each power of ten where that isn't too many, and
// otherwise powers alone.
func (s scale) logTicks(n int) []float64 {
	first, last := math.Floor(math.Log10(s.values.low)), math.Ceil(math.Log10(s.values.high))
	digits, every := []float64{1, 2, 5}, 1.0
	if last-first > float64(n)/2 {
		digits, every = []float64{1}, math.Ceil((last-first)/float64(n))
	}
	var ticks []float64
	for power := first; power <= last; power += every {
		for _, digit := range digits {
			x, err := strconv.ParseFloat(strconv.FormatFloat(digit, 'f', 0, 64)+"e"+strconv.FormatFloat(power, 'f', 0, 64), 64)
			if err == nil && x >= s.values.low*(1-1e-9) && x <= s.values.high*(1+1e-9) {
				ticks = append(ticks, x)
			}
		}
	}
	return ticks
}

// roundStep returns the next of 1, 2 and 5 times a power of ten.
func roundStep(x float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(x)))
	for _, digit := range []float64{1, 2, 5} {
		if digit*power >= x*(1-1e-9) {
			return digit * power
		}
	}
	return 10 * power
}

// label is the text of a tick.
func (s scale) label(x float64) string {
	if s.axis.Format != nil {
		return s.axis.Format(x)
	}
	return short(x)
}

// short writes a number with up to six digits: 0.005, 2e-5, 12,000.
func short(x float64) string {
	switch size := math.Abs(x); {
	case size < 1e-12:
		return "0"
	case size >= 1e4 && size < 1e9 && x == math.Trunc(x):
		return thousands(int64(x))
	}
	text := strconv.FormatFloat(x, 'g', 6, 64)
	text = strings.Replace(text, "e-0", "e-", 1)
	return strings.Replace(text, "e+0", "e", 1)
}

// thousands groups digits: 1,058,176.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// units writes a number in three digits with a unit out of names, each 1000 times
// the one before.
func units(x float64, names ...string) string {
	i := 0
	for ; math.Abs(x) >= 999.5 && i < len(names)-1; i++ {
		x /= 1000
	}
	digits := 0
	if i > 0 && math.Abs(x) < 99.95 && x != math.Trunc(x) {
		digits = 1
	}
	return strconv.FormatFloat(x, 'f', digits, 64) + names[i]
}

// counted writes a number of values: 512, 46.2k, 8M.
func counted(x float64) string { return units(x, "", "k", "M", "G") }

// byteSize writes a number of bytes: 34 MB.
func byteSize(x float64) string { return units(x, " bytes", " kB", " MB", " GB") }

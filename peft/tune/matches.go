package tune

import (
	"slices"

	"github.com/gpupeft/gpupeft/peft/data"
)

// Matches counts the rows whose answer a model would generate word for word by taking
// the likeliest token each time: that is so where each target is the likeliest, given
// those before it. Whether the model then stops isn't asked, as an untuned one can't
// know the format.
type Matches struct{ Rows, Right int }

// Add counts a row, given which of its targets are the likeliest tokens, and the ids that
// end a text. A row without an answer doesn't count.
func (m *Matches) Add(e data.Example, right []bool, stop []int32) {
	if last := len(e.Labels) - 1; last >= 0 && len(right) > 0 && slices.Contains(stop, e.Labels[last]) {
		right = right[:len(right)-1]
	}
	if len(right) == 0 {
		return
	}
	m.Rows++
	if !slices.Contains(right, false) {
		m.Right++
	}
}

// Share returns how many of the rows are right, 0 to 1; nil if there are none.
func (m Matches) Share() *float64 {
	if m.Rows == 0 {
		return nil
	}
	share := float64(m.Right) / float64(m.Rows)
	return &share
}

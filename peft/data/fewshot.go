package data

import (
	"slices"

	"github.com/gpupeft/gpupeft/transformer"
)

// FewShot is a Source whose examples have solved ones in front, in the same sequence, to
// show a model that wasn't tuned what is asked of it. Only the targets of the example
// itself stay targets.
type FewShot struct {
	Source
	Shots   []Example
	Between []int32 // tokens between two examples, such as those of a blank line
	BOS     int32   // what begins a text, and may do so only once; negative: nothing
	Stop    []int32 // what ends a text, and is left out behind shots
}

// Example implements Source.
func (f FewShot) Example(i int) (Example, error) {
	e, err := f.Source.Example(i)
	if err != nil {
		return e, err
	}
	var ids []int32
	for _, s := range f.Shots {
		ids = append(ids, f.inside(s.IDs, len(ids) > 0)...)
		if last := len(ids) - 1; last >= 0 && slices.Contains(f.Stop, ids[last]) {
			ids = ids[:last]
		}
		ids = append(ids, f.Between...)
	}
	own := f.inside(e.IDs, len(ids) > 0)
	labels := append(slices.Repeat([]int32{transformer.Masked}, len(ids)), e.Labels[len(e.Labels)-len(own):]...)
	e.IDs, e.Labels = append(ids, own...), labels
	return e, nil
}

// inside drops the BOS of a text that isn't the first.
func (f FewShot) inside(ids []int32, later bool) []int32 {
	if later && len(ids) > 0 && f.BOS >= 0 && ids[0] == f.BOS {
		return ids[1:]
	}
	return ids
}

// Length implements Source. It may count the tokens that Example leaves out.
func (f FewShot) Length(i int) int {
	n := f.Source.Length(i)
	for _, s := range f.Shots {
		n += len(s.IDs) + len(f.Between)
	}
	return n
}

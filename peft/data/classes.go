package data

import (
	"fmt"
	"slices"
)

const (
	// maxAnswers is how many different answers still look like classes.
	maxAnswers = 20
	// mostlyOne is the share of the answers from which there is a warning.
	mostlyOne = 0.8
)

// tally counts answers, as long as there are few different ones.
type tally struct {
	counts map[string]int
	ids    map[string][]int32
	total  int
}

func (t *tally) add(f Format, e Example) {
	if !f.Answers() || t.total > 0 && t.counts == nil {
		return
	}
	if t.counts == nil {
		t.counts, t.ids = map[string]int{}, map[string][]int32{}
	}
	t.total++
	answer := e.Completion()
	key := fmt.Sprint(answer)
	t.counts[key]++
	t.ids[key] = answer
	if len(t.counts) > maxAnswers {
		t.counts, t.ids = nil, nil
	}
}

// majority reports the most frequent answer, if the answers look like classes.
func (x *examiner) majority() {
	t := x.answers
	if len(t.counts) == 0 || len(t.counts) > t.total/2 {
		return
	}
	best := ""
	for key, n := range t.counts {
		if n > t.counts[best] || n == t.counts[best] && key < best {
			best = key
		}
	}
	m := &Majority{Answer: slices.Clone(t.ids[best]), Share: float64(t.counts[best]) / float64(t.total), Classes: len(t.counts)}
	x.Majority = m
	if m.Share < mostlyOne {
		return
	}
	for _, p := range x.Parts {
		if p.Part == "train" {
			x.Warnings = append(x.Warnings, Warning{
				OneAnswer, p.Part, p.File, t.counts[best], nil,
				fmt.Sprintf("%.0f %% of the answers are the same: always giving it is right that often", 100*m.Share),
			})
		}
	}
}

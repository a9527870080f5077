package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// typeReport counts the weights of one type.
type typeReport struct {
	Type    string `json:"type"`
	Tensors int    `json:"tensors"`
	Bytes   int64  `json:"bytes"`
}

// typeCounts collects reports, in the order in which types first appear.
type typeCounts struct{ list []typeReport }

func (c *typeCounts) add(dt tensor.DType, bytes int64) {
	i := slices.IndexFunc(c.list, func(r typeReport) bool { return r.Type == dt.String() })
	if i < 0 {
		i = len(c.list)
		c.list = append(c.list, typeReport{Type: dt.String()})
	}
	c.list[i].Tensors++
	c.list[i].Bytes += bytes
}

// typesOf counts a model's weights by type.
func typesOf(m *transformer.Model) []typeReport {
	var counts typeCounts
	for t := range m.Tensors() {
		counts.add(t.DType, t.Bytes())
	}
	return counts.list
}

// typeList spells reports out for people.
func typeList(types []typeReport) string {
	var parts []string
	for _, t := range types {
		parts = append(parts, fmt.Sprintf("%s %s", byteSize(t.Bytes), t.Type))
	}
	return strings.Join(parts, ", ")
}

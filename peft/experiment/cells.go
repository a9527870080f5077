package experiment

import (
	"fmt"
	"maps"
	"path"
)

// Cell is one thing to run: a training, or a baseline.
type Cell struct {
	Model, Dataset string // names of choices; "" where the plan has none
	Method         string // name of a choice, or the baseline
	Baseline       bool
	Seed           uint64 // 0 for a baseline
	// Settings are all that apply, the seed among them; a choice's own go before those of
	// all.
	Settings Settings
}

// Dir is the directory of a cell below the experiment's.
func (c Cell) Dir() string {
	last := fmt.Sprintf("seed-%d", c.Seed)
	if c.Baseline {
		last = "baseline"
	}
	dir := path.Join(fileName(c.Method), last)
	for _, name := range []string{c.Dataset, c.Model} {
		if name != "" {
			dir = path.Join(fileName(name), dir)
		}
	}
	return dir
}

// String names a cell for people.
func (c Cell) String() string {
	name := c.Method
	for _, part := range []string{c.Dataset, c.Model} {
		if part != "" {
			name = part + ", " + name
		}
	}
	if !c.Baseline {
		name += fmt.Sprintf(", seed %d", c.Seed)
	}
	return name
}

// Cells lists what is to be run: for each model and dataset the baselines first, then
// each method with all seeds.
func (p *Plan) Cells() []Cell {
	var cells []Cell
	for _, model := range orNone(p.Models) {
		for _, dataset := range orNone(p.Datasets) {
			common := Cell{Model: model.Name, Dataset: dataset.Name}
			for _, b := range p.Baselines {
				c := common
				c.Method, c.Baseline, c.Settings = b, true, merged(p.Settings, model.Settings, dataset.Settings)
				cells = append(cells, c)
			}
			for _, method := range p.Methods {
				for _, seed := range p.Seeds {
					c := common
					c.Method, c.Seed = method.Name, seed
					c.Settings = merged(p.Settings, model.Settings, dataset.Settings, method.Settings, Settings{"seed": fmt.Sprint(seed)})
					cells = append(cells, c)
				}
			}
		}
	}
	return cells
}

// orNone is an axis with one nameless choice if it has none.
func orNone(axis []Choice) []Choice {
	if len(axis) == 0 {
		return []Choice{{}}
	}
	return axis
}

// merged joins settings; the later ones win.
func merged(all ...Settings) Settings {
	s := Settings{}
	for _, more := range all {
		maps.Copy(s, more)
	}
	return s
}

package interp

import (
	"fmt"
	"path"
	"strings"

	"github.com/bits-and-blooms/bitset"
	"github.com/xrash/smetrics"

	"github.com/gpupeft/gpupeft/transformer"
)

// siteIndex numbers the sites of a model, so that a set of them is a bit set.
func siteIndex(s transformer.Site) uint {
	return uint(s.Layer*len(transformer.Points()) + int(s.Point))
}

// allSites returns the sites of a model's first layers, and with all layers those
// behind, in the order of the forward pass.
func allSites(c *transformer.Config, layers int) []transformer.Site {
	var all []transformer.Site
	add := func(l int, layered bool, lo, hi transformer.Point) {
		for _, p := range transformer.Points() {
			if p >= lo && p <= hi && p.Layered() == layered && offered(c, p) {
				all = append(all, transformer.Site{Layer: l, Point: p})
			}
		}
	}
	add(0, false, transformer.Embed, transformer.PosEmbed)
	for l := range layers {
		add(l, true, transformer.Embed, transformer.ResidPost)
	}
	if layers == len(c.Layers) {
		add(0, false, transformer.FinalScale, transformer.UnembedOut)
	}
	return all
}

// offered says whether a model has a point. The log-sum-exp exists only where the
// pattern doesn't, and AttnZ is Z but for some adapters: both aren't offered.
func offered(c *transformer.Config, p transformer.Point) bool {
	return p.Exists(c) && p != transformer.AttnStats && p != transformer.AttnZ
}

// Hooks returns the names of all activations of a model, in the order of the forward
// pass: TransformerLens' own, and those that TransformerBridge has besides.
func Hooks(c *transformer.Config) []string {
	var names []string
	for _, s := range allSites(c, len(c.Layers)) {
		names = append(names, s.String())
	}
	return names
}

// matching returns the sites whose names match a pattern with the wildcards of
// path.Match, or an error that names the nearest if there is none.
func matching(c *transformer.Config, layers int, glob string) ([]transformer.Site, error) {
	var found []transformer.Site
	nearest, distance := "", 0
	for _, s := range allSites(c, layers) {
		name := s.String()
		match, err := path.Match(glob, name)
		if err != nil {
			return nil, fmt.Errorf("hook pattern %q: %v: %w", glob, err, transformer.ErrInput)
		}
		if match {
			found = append(found, s)
		}
		if d := editDistance(glob, name); nearest == "" || d < distance {
			nearest, distance = name, d
		}
	}
	if found == nil {
		return nil, fmt.Errorf("hook pattern %q matches no hook of the model's %d layers; the nearest name is %s: %w",
			glob, layers, nearest, transformer.ErrInput)
	}
	return found, nil
}

// editDistance is between a name and a pattern, which may begin or end anywhere in it if
// it does so with a star.
func editDistance(glob, name string) int {
	core := strings.Trim(glob, "*")
	if over := len(name) - len(core); over > 0 && strings.HasPrefix(glob, "*") {
		name = name[over:]
	} else if over > 0 && strings.HasSuffix(glob, "*") {
		name = name[:len(core)]
	}
	return smetrics.WagnerFischer(core, name, 1, 1, 1)
}

// wanted returns the set of sites that any of the patterns matches.
func wanted(c *transformer.Config, layers int, globs []string) (*bitset.BitSet, error) {
	set := bitset.New(0)
	for _, glob := range globs {
		sites, err := matching(c, layers, glob)
		if err != nil {
			return nil, err
		}
		for _, s := range sites {
			set.Set(siteIndex(s))
		}
	}
	return set, nil
}

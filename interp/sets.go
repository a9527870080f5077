package interp

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/bits-and-blooms/bitset"

	"github.com/gpupeft/gpupeft/transformer"
)

// Of makes a set: of heads, layers or positions.
func Of(members ...uint) *bitset.BitSet {
	set := bitset.New(0)
	for _, m := range members {
		set.Set(m)
	}
	return set
}

// maxMember bounds what ParseSet takes.
const maxMember = 1 << 24

// ParseSet reads numbers and ranges, "0,3-5". "" is nil, the set of all.
func ParseSet(list string) (*bitset.BitSet, error) {
	if list == "" {
		return nil, nil
	}
	set := bitset.New(0)
	for word := range strings.SplitSeq(list, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(word), "-")
		lo, err := strconv.ParseUint(from, 10, 32)
		hi := lo
		if err == nil && isRange {
			hi, err = strconv.ParseUint(to, 10, 32)
		}
		if err != nil || hi < lo || hi > maxMember {
			return nil, fmt.Errorf("%q is no number and no range, as in 0,3-5: %w", word, transformer.ErrInput)
		}
		for i := lo; i <= hi; i++ {
			set.Set(uint(i))
		}
	}
	return set, nil
}

// has says whether a set has a member; nil is the set of all.
func has(set *bitset.BitSet, i int) bool { return set == nil || set.Test(uint(i)) }

// textPositions are those of a text's tokens, behind a soft prompt's.
func textPositions(adapters []transformer.Adapter, tokens int) *bitset.BitSet {
	set := bitset.New(0)
	for t := range tokens {
		set.Set(uint(virtualTokens(adapters) + t))
	}
	return set
}

package tokenizer

import "math/bits"

// pairTable maps a pair of ids to the rank of its merge and the merged id. It is
// an open-addressing hash table: encoding spends most of its time here, and this
// is about twice as fast as a map with a struct key.
type pairTable struct {
	slots []pairSlot
	shift uint // 64 - log2(len(slots))
}

// pairSlot is empty while rank is noRank.
type pairSlot struct {
	left, right int32
	rank        uint32
	merged      int32
}

// newPairTable makes room for n pairs, at most three quarters full.
func newPairTable(n int) pairTable {
	log := uint(bits.Len(uint(n + n/3 + 1)))
	t := pairTable{slots: make([]pairSlot, 1<<log), shift: 64 - log}
	for i := range t.slots {
		t.slots[i].rank = noRank
	}
	return t
}

// find returns the index of the pair's slot, or of the free slot where it would
// go. The table is never full, so the search ends.
func (t *pairTable) find(left, right int32) int {
	const golden = 0x9E3779B97F4A7C15 // 2^64 / golden ratio: Fibonacci hashing
	key := uint64(uint32(left))<<32 | uint64(uint32(right))
	i := int(((key ^ key>>29) * golden) >> t.shift)
	for {
		s := &t.slots[i]
		if s.rank == noRank || (s.left == left && s.right == right) {
			return i
		}
		i = (i + 1) & (len(t.slots) - 1)
	}
}

// put sets the merge of a pair; of a pair given twice the last one counts.
func (t *pairTable) put(left, right int32, rank uint32, merged int32) {
	t.slots[t.find(left, right)] = pairSlot{left: left, right: right, rank: rank, merged: merged}
}

// get returns the rank and result of merging a pair; rank is noRank if none.
func (t *pairTable) get(left, right int32) (rank uint32, merged int32) {
	s := &t.slots[t.find(left, right)]
	return s.rank, s.merged
}

func (t *pairTable) rank(left, right int32) uint32 {
	return t.slots[t.find(left, right)].rank
}

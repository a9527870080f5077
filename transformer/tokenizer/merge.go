package tokenizer

// shortWord is the number of symbols up to which looking through all pairs is
// faster than keeping a heap of them.
const shortWord = 40

// noRank stands for a pair that does not merge; real ranks are smaller.
const noRank = ^uint32(0)

// mergeScratch holds the symbols of one word while they are merged.
type mergeScratch struct {
	ids  []int32 // in: the starting symbols; merged in place
	rank []uint32
	next []int32
	prev []int32
	heap []uint64 // rank<<32 | position, smallest first
}

// merge applies merges to s.ids until none is left and returns the result,
// which stays valid until the next call.
func (s *mergeScratch) merge(pairs *pairTable) []int32 {
	switch {
	case len(s.ids) < 2:
		return s.ids
	case len(s.ids) <= shortWord:
		return s.mergeShort(pairs)
	default:
		return s.mergeLong(pairs)
	}
}

// mergeShort takes the best pair, removes it from the slice and repeats.
func (s *mergeScratch) mergeShort(pairs *pairTable) []int32 {
	ids := s.ids
	rank := s.rank[:0] // rank[i] belongs to the pair ids[i], ids[i+1]
	for i := range len(ids) - 1 {
		rank = append(rank, pairs.rank(ids[i], ids[i+1]))
	}
	s.rank = rank
	for {
		best, at := noRank, 0
		for i, r := range rank {
			if r < best {
				best, at = r, i
			}
		}
		if best == noRank {
			return ids
		}
		_, ids[at] = pairs.get(ids[at], ids[at+1])
		ids = append(ids[:at+1], ids[at+2:]...)
		rank = append(rank[:at], rank[at+1:]...)
		if at < len(rank) {
			rank[at] = pairs.rank(ids[at], ids[at+1])
		}
		if at > 0 {
			rank[at-1] = pairs.rank(ids[at-1], ids[at])
		}
	}
}

// mergeLong keeps the symbols in a linked list and the candidate pairs in a
// heap. A heap entry is stale when the pair at its position no longer has its
// rank; it is then skipped.
func (s *mergeScratch) mergeLong(pairs *pairTable) []int32 {
	n := len(s.ids)
	s.next, s.prev, s.heap = s.next[:0], s.prev[:0], s.heap[:0]
	for i := range int32(n) {
		s.next = append(s.next, i+1)
		s.prev = append(s.prev, i-1)
	}
	for i := range int32(n) {
		s.offer(pairs, i)
	}
	for len(s.heap) > 0 {
		top := s.pop()
		at, want := int32(uint32(top)), uint32(top>>32)
		if s.ids[at] == noID || s.next[at] == int32(n) {
			continue
		}
		right := s.next[at]
		rank, merged := pairs.get(s.ids[at], s.ids[right])
		if rank != want {
			continue
		}
		s.ids[at], s.ids[right] = merged, noID
		s.next[at] = s.next[right]
		if s.next[at] < int32(n) {
			s.prev[s.next[at]] = at
		}
		s.offer(pairs, s.prev[at])
		s.offer(pairs, at)
	}
	out := s.ids[:0]
	for i := int32(0); i < int32(n); i = s.next[i] {
		out = append(out, s.ids[i])
	}
	return out
}

// offer puts the pair that starts at position at on the heap, if it merges.
func (s *mergeScratch) offer(pairs *pairTable, at int32) {
	if at < 0 || s.next[at] == int32(len(s.ids)) {
		return
	}
	if rank := pairs.rank(s.ids[at], s.ids[s.next[at]]); rank != noRank {
		s.push(uint64(rank)<<32 | uint64(uint32(at)))
	}
}

func (s *mergeScratch) push(v uint64) {
	h := append(s.heap, v)
	i := len(h) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if h[parent] <= v {
			break
		}
		h[i] = h[parent]
		i = parent
	}
	h[i] = v
	s.heap = h
}

func (s *mergeScratch) pop() uint64 {
	h := s.heap
	top, v := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	s.heap = h
	i := 0
	for {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if child+1 < len(h) && h[child+1] < h[child] {
			child++
		}
		if v <= h[child] {
			break
		}
		h[i] = h[child]
		i = child
	}
	if len(h) > 0 {
		h[i] = v
	}
	return top
}

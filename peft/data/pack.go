package data

import (
	"cmp"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
)

// pack divides the examples into rows of at most Pack tokens, virtual ones included.
// In order, a row takes examples until one doesn't fit. Else rows are filled by best
// fit, longest examples first, as in TRL ("bfd"): each goes where it leaves the least
// room, and a new row begins where none has enough. Which of several equally long
// examples come together only the seed decides.
func (l Loader) pack(s Source) ([][]int, error) {
	size := func(i int) int { return s.Length(i) + max(0, l.Virtual) }
	for i := range s.Len() {
		if size(i) > l.Pack {
			return nil, fmt.Errorf("example %d of %d tokens in packed rows of %d: %w", i, size(i), l.Pack, ErrOptions)
		}
	}
	if l.InOrder {
		return packInOrder(s.Len(), size, l.Pack), nil
	}
	order := rand.New(rand.NewPCG(l.Seed, packStream)).Perm(s.Len())
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(size(b), size(a)) })
	var rows [][]int
	free := newRooms(l.Pack)
	for _, i := range order {
		n := size(i)
		row, room, ok := free.take(n)
		if !ok {
			row, room = len(rows), l.Pack
			rows = append(rows, nil)
		}
		rows[row] = append(rows[row], i)
		free.put(row, room-n)
	}
	return rows, nil
}

// packStream tells the generator of packs from those of epochs and splits.
const packStream = splitStream - 1

func packInOrder(n int, size func(i int) int, capacity int) [][]int {
	var rows [][]int
	room := 0
	for i := range n {
		if size(i) > room {
			rows, room = append(rows, nil), capacity
		}
		rows[len(rows)-1] = append(rows[len(rows)-1], i)
		room -= size(i)
	}
	return rows
}

// rooms finds the row with the least room that is enough.
type rooms struct {
	rows [][]int  // by room
	some []uint64 // a bit for each room that has rows
}

func newRooms(capacity int) *rooms {
	return &rooms{make([][]int, capacity+1), make([]uint64, capacity/64+1)}
}

func (r *rooms) put(row, room int) {
	r.rows[room] = append(r.rows[room], row)
	r.some[room/64] |= 1 << (room % 64)
}

// take removes and returns a row with room for n.
func (r *rooms) take(n int) (row, room int, ok bool) {
	for word := n / 64; word < len(r.some); word++ {
		set := r.some[word]
		if word == n/64 {
			set &= ^uint64(0) << (n % 64)
		}
		if set == 0 {
			continue
		}
		room = word*64 + bits.TrailingZeros64(set)
		list := r.rows[room]
		last := len(list) - 1
		row, r.rows[room] = list[last], list[:last]
		if last == 0 {
			r.some[word] &^= 1 << (room % 64)
		}
		return row, room, true
	}
	return 0, 0, false
}

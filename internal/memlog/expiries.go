package memlog

import "container/heap"

// expiries are all chunks, the next to expire first. An entry that is appended
// makes its chunk expire later. Only first puts that in order, when it matters:
// a write need not.
type expiries []*chunk

func (h *expiries) add(c *chunk) {
	c.due = c.until
	heap.Push(h, c)
}

func (h *expiries) remove(c *chunk) { heap.Remove(h, c.index) }

// first returns a chunk whose last entry has expired, nil if there is none.
func (h expiries) first(now int64) *chunk {
	for len(h) > 0 && h[0].due <= now {
		c := h[0]
		if c.until == c.due {
			return c
		}
		c.due = c.until
		heap.Fix(&h, 0)
	}
	return nil
}

// Len, Less, Swap, Push and Pop are those of a heap.Interface.
func (h expiries) Len() int           { return len(h) }
func (h expiries) Less(i, j int) bool { return h[i].due < h[j].due }
func (h expiries) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *expiries) Push(x any) {
	c := x.(*chunk)
	c.index = len(*h)
	*h = append(*h, c)
}

func (h *expiries) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return c
}

package memlog

// An index tells where the entry of a key is. It is made of small tables of
// which each grows, splits and shrinks for itself, so that no write waits until
// a million others were moved, and so that what was taken comes back; a map of
// Go's takes three times as much for a slot and never gives it back.
//
// The first bits of a key's first half choose the table (extendible hashing).
// In it stand tag and place of each entry, at the slot that the tag asks for or
// the next free one after it. The key itself is in the entry alone.
type index struct {
	tables []*table // by the first bits of a key; several may be one
	bits   int      // how many of them
	count  int      // of entries
	bytes  int64
}

type table struct {
	slots []uint64 // tag and place, 0 if free; never all in use
	used  int
	bits  int // how many first bits its keys share
}

const (
	minSlots = 8
	maxSlots = 1024 // 8 KiB: it splits in 0.1 ms

	tableOverhead = 64 // the struct, its place among the tables, and some

	tagBits = 64 - placeBits
)

func tagOf(key Key) uint64 { return key.low >> placeBits }

func slotOf(key Key, at place) uint64 { return tagOf(key)<<placeBits | uint64(at) }

func (t *table) takes() int64 { return 8*int64(cap(t.slots)) + tableOverhead }

// full: one more would make the way to a free slot long.
func (t *table) full() bool { return 8*(t.used+1) > 7*len(t.slots) }

// home returns where a slot's tag wants to be.
func (t *table) home(slot uint64) int {
	return int(slot >> placeBits * uint64(len(t.slots)) >> tagBits)
}

func (t *table) next(i int) int {
	if i++; i < len(t.slots) {
		return i
	}
	return 0
}

func (t *table) add(slot uint64) {
	i := t.home(slot)
	for t.slots[i] != 0 {
		i = t.next(i)
	}
	t.slots[i] = slot
	t.used++
}

// seek returns where that very slot is, -1 if nowhere.
func (t *table) seek(slot uint64) int {
	for i := t.home(slot); t.slots[i] != 0; i = t.next(i) {
		if t.slots[i] == slot {
			return i
		}
	}
	return -1
}

// clear frees a slot. Those after it move up, as far as their homes allow: a
// mark in its place would stay for ever.
func (t *table) clear(i int) {
	n := len(t.slots)
	for j := t.next(i); t.slots[j] != 0; j = t.next(j) {
		if home := t.home(t.slots[j]); (j-home+n)%n >= (j-i+n)%n {
			t.slots[i] = t.slots[j]
			i = j
		}
	}
	t.slots[i] = 0
	t.used--
}

func (x *index) table(key Key) *table { return x.tables[key.high>>(64-x.bits)] }

func (x *index) find(key Key, keyAt func(place) Key) (place, bool) {
	if x.count == 0 {
		return 0, false
	}
	t, tag := x.table(key), slotOf(key, 0)
	for i := t.home(tag); t.slots[i] != 0; i = t.next(i) {
		at := place(t.slots[i] ^ tag)
		if at>>placeBits == 0 && keyAt(at) == key {
			return at, true
		}
	}
	return 0, false
}

// has reports whether the entry of key is at that place.
func (x *index) has(key Key, at place) bool {
	return x.count > 0 && x.table(key).seek(slotOf(key, at)) >= 0
}

// move notes that the entry of key is at another place.
func (x *index) move(key Key, from, to place) {
	t := x.table(key)
	t.slots[t.seek(slotOf(key, from))] = slotOf(key, to)
}

func (x *index) remove(key Key, at place) {
	t := x.table(key)
	t.clear(t.seek(slotOf(key, at)))
	if x.count--; x.count == 0 {
		*x = index{}
		return
	}
	if n := len(t.slots); n > minSlots && 4*t.used < n {
		x.resize(t, n/2)
	}
}

// insert notes where the entry of a key is that has none yet.
func (x *index) insert(key Key, at place, keyAt func(place) Key) {
	if x.count == 0 {
		x.tables = []*table{x.newTable(0, minSlots)}
		x.bytes += 8
	}
	t := x.table(key)
	for t.full() {
		if n := len(t.slots); n < maxSlots {
			x.resize(t, min(n+n/4, maxSlots))
		} else {
			x.split(key, keyAt)
			t = x.table(key)
		}
	}
	t.add(slotOf(key, at))
	x.count++
}

// growth bounds what one more entry takes.
func (x *index) growth(key Key) int64 {
	if x.count == 0 {
		return 8*minSlots + tableOverhead + 8
	}
	t := x.table(key)
	if !t.full() {
		return 0
	}
	if len(t.slots) == maxSlots && t.bits == x.bits {
		return t.takes() + 8*int64(len(x.tables))
	}
	return t.takes()
}

func (x *index) newTable(bits, slots int) *table {
	t := &table{bits: bits, slots: newSlots(slots)}
	x.bytes += t.takes()
	return t
}

// newSlots returns at least n: what Go gives on top is used.
func newSlots(n int) []uint64 {
	s := append([]uint64(nil), make([]uint64, n)...)
	return s[:cap(s)]
}

func (x *index) resize(t *table, slots int) {
	x.bytes -= t.takes()
	old := t.slots
	t.slots, t.used = newSlots(slots), 0
	for _, slot := range old {
		if slot != 0 {
			t.add(slot)
		}
	}
	x.bytes += t.takes()
}

// split makes two tables of the one of a key, by one more bit of their keys.
func (x *index) split(key Key, keyAt func(place) Key) {
	t := x.table(key)
	if t.bits == x.bits {
		x.double()
	}
	x.bytes -= t.takes()
	var half [2]*table
	for i := range half {
		half[i] = x.newTable(t.bits+1, t.used*5/8)
	}
	for _, slot := range t.slots {
		if slot == 0 {
			continue
		}
		to := half[keyAt(place(slot&(1<<placeBits-1))).high>>(63-t.bits)&1]
		if to.full() {
			x.resize(to, len(to.slots)*5/4)
		}
		to.add(slot)
	}
	n := 1 << (x.bits - t.bits) // so many places among the tables are of this one
	from := int(key.high>>(64-x.bits)) &^ (n - 1)
	for i := range n {
		x.tables[from+i] = half[2*i/n]
	}
}

// double tells tables by one more bit.
func (x *index) double() {
	tables := make([]*table, 0, 2*len(x.tables))
	for _, t := range x.tables {
		tables = append(tables, t, t)
	}
	x.bytes += 8 * int64(len(x.tables))
	x.tables = tables
	x.bits++
}

package memlog

import "encoding/binary"

const (
	maxChunk = 64 << 10 // of more than one entry; an offset fits in 16 bits
	minChunk = 1 << 10

	// chunkOverhead is what a chunk takes beside its data: the struct, and its
	// places in the three slices of a Log, which grow ahead of what they hold.
	chunkOverhead = 144
)

// A chunk is a piece of memory that entries are appended to.
type chunk struct {
	data   []byte
	dead   int    // bytes that are holes
	until  int64  // when the last of its entries expires
	due    int64  // what until was when it was put into order, see expiries
	first  uint64 // version of its first entry
	number uint32
	index  int // in the expiries
	queue  *queue

	older, younger *chunk // in the queue
}

// A queue holds chunks of one class and about one time to live, the oldest
// first. Entries are appended to the newest.
type queue struct {
	class          Class
	span           int
	oldest, newest *chunk
	bytes          int64
}

// An entry in a chunk is
//
//	key (16 bytes) | version (6) and length (2) | expires (8) | value
//
// 2⁴⁸ versions last for nine years of a million writes a second. The length of
// an entry that has its chunk for itself is that of the chunk.
const (
	headerSize = 32
	lengthBits = 16
)

// place tells where an entry is: the number of its chunk, and its offset there.
// 2²⁸ chunks need 36 GB for their overhead alone.
type place uint64

const placeBits = 44

func placeOf(c *chunk, offset int) place { return place(c.number)<<16 | place(offset) }

func (p place) chunk() uint32 { return uint32(p >> 16) }
func (p place) offset() int   { return int(p & (1<<16 - 1)) }

func (l *Log) keyAt(at place) Key { return l.chunks[at.chunk()].key(at.offset()) }

func (l *Log) entry(at place) Entry { return l.chunks[at.chunk()].entry(at.offset()) }

func (c *chunk) key(offset int) Key {
	b := c.data[offset : offset+16]
	return Key{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
}

// size returns that of the entry there, with its header.
func (c *chunk) size(offset int) int {
	if cap(c.data) > maxChunk {
		return len(c.data)
	}
	return headerSize + int(binary.LittleEndian.Uint16(c.data[offset+16:]))
}

func (c *chunk) entry(offset int) Entry {
	b := c.data[offset : offset+c.size(offset) : offset+c.size(offset)]
	return Entry{
		Value:   b[headerSize:],
		Version: binary.LittleEndian.Uint64(b[16:]) >> lengthBits,
		Expires: int64(binary.LittleEndian.Uint64(b[24:])),
	}
}

func (c *chunk) live() int { return len(c.data) - c.dead }

// fits: an entry that is too long for offsets has its chunk for itself.
func (c *chunk) fits(size int) bool {
	return cap(c.data) <= maxChunk && cap(c.data)-len(c.data) >= size
}

func (c *chunk) takes() int64 { return int64(cap(c.data)) + chunkOverhead }

// add appends an entry that fits.
func (c *chunk) add(key Key, e Entry) place {
	at := placeOf(c, len(c.data))
	if len(c.data) == 0 {
		c.first = e.Version
	}
	b := binary.LittleEndian.AppendUint64(c.data, key.high)
	b = binary.LittleEndian.AppendUint64(b, key.low)
	b = binary.LittleEndian.AppendUint64(b, e.Version<<lengthBits|uint64(len(e.Value))&(1<<lengthBits-1))
	b = binary.LittleEndian.AppendUint64(b, uint64(e.Expires))
	c.data = append(b, e.Value...)
	c.until = max(c.until, e.Expires)
	return at
}

// append writes an entry into the newest chunk of a queue, or a new one.
func (l *Log) append(now int64, q *queue, key Key, e Entry) place {
	size, full := headerSize+len(e.Value), q.newest
	if full != nil && full.fits(size) {
		return full.add(key, e)
	}
	n := l.chunkSize(q, size)
	if l.Held()+l.growth(key, q, size) > l.limit {
		n = size // what is over the limit is not a byte more than it has to be
	}
	c := l.newChunk(q, n)
	at := c.add(key, e)
	l.enqueue(c, full)
	if full != nil {
		l.tidy(now, full)
	}
	return at
}

// chunkSize returns how large the next chunk of a queue is to be, so that one
// which holds little takes little, and none has much of what there may be.
func (l *Log) chunkSize(q *queue, size int) int {
	n := max(minChunk, q.bytes/8)
	return max(size, int(min(n, maxChunk, l.limit/64)))
}

// upper bounds what a chunk of n bytes takes: Go rounds up to its size classes,
// and to whole pages what is larger.
func upper(n int) int64 {
	if n <= 32<<10 {
		return int64(n+n/5+16) + chunkOverhead
	}
	return int64(n+8<<10-1)&^(8<<10-1) + chunkOverhead
}

// newChunk makes one that is in no queue yet, of n bytes and what Go gives on
// top.
func (l *Log) newChunk(q *queue, n int) *chunk {
	c := &chunk{data: append([]byte(nil), make([]byte, n)...)[:0], queue: q}
	if last := len(l.free) - 1; last >= 0 {
		c.number, l.free = l.free[last], l.free[:last]
		l.chunks[c.number] = c
	} else {
		c.number = uint32(len(l.chunks))
		l.chunks = append(l.chunks, c)
	}
	return c
}

// enqueue puts a chunk with its entries behind an older one of its queue.
func (l *Log) enqueue(c, older *chunk) {
	q := c.queue
	c.older = older
	if older == nil {
		c.younger, q.oldest = q.oldest, c
	} else {
		c.younger, older.younger = older.younger, c
	}
	if c.younger == nil {
		q.newest = c
	} else {
		c.younger.older = c
	}
	l.count(c, 1)
	l.ending.add(c)
}

// drop forgets a chunk, of which the index knows nothing any more.
func (l *Log) drop(c *chunk) {
	q := c.queue
	if c.older == nil {
		q.oldest = c.younger
	} else {
		c.older.younger = c.younger
	}
	if c.younger == nil {
		q.newest = c.older
	} else {
		c.younger.older = c.older
	}
	l.count(c, -1)
	l.ending.remove(c)
	l.chunks[c.number] = nil
	l.free = append(l.free, c.number)
}

func (l *Log) count(c *chunk, sign int64) {
	n := sign * c.takes()
	l.bytes += n
	c.queue.bytes += n
	if c.queue.class == Kept {
		l.kept += n
	}
}

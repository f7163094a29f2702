package memlog

import "fmt"

// Audit counts everything again, and returns what is not as it is said to be.
func (l *Log) Audit() error {
	var bytes, kept, entries int64
	chunks := 0
	for _, q := range l.queues {
		var older *chunk
		var version uint64
		of := int64(0)
		for c := q.oldest; c != nil; older, c = c, c.younger {
			chunks++
			of += c.takes()
			if err := l.auditChunk(c, older); err != nil {
				return err
			}
			l.each(c, func(_ Key, _ place, e Entry) {
				entries++
				if e.Version <= version {
					bytes = -1 << 60
				}
				version = e.Version
			})
		}
		if q.newest != older || of != q.bytes {
			return fmt.Errorf("queue of %d: newest, or %d bytes for %d", q.class, q.bytes, of)
		}
		if bytes += of; q.class == Kept {
			kept += of
		}
	}
	if bytes != l.bytes || kept != l.kept || entries != int64(l.index.count) || chunks != len(l.ending) {
		return fmt.Errorf("%d bytes of %d, kept %d of %d, %d entries of %d, %d chunks of %d (or out of order)",
			l.bytes, bytes, l.kept, kept, l.index.count, entries, len(l.ending), chunks)
	}
	return l.auditIndex()
}

func (l *Log) auditChunk(c, older *chunk) error {
	live, until := 0, int64(0)
	l.each(c, func(_ Key, at place, e Entry) {
		live += c.size(at.offset())
		until = max(until, e.Expires)
	})
	switch {
	case c.older != older || l.chunks[c.number] != c || l.ending[c.index] != c:
		return fmt.Errorf("chunk %d is not in its place", c.number)
	case live == 0 || live != c.live():
		return fmt.Errorf("chunk %d: %d bytes live, said to be %d", c.number, live, c.live())
	case 2*c.dead >= cap(c.data), c != c.queue.newest && 2*live <= cap(c.data):
		return fmt.Errorf("chunk %d: %d bytes live of %d", c.number, live, cap(c.data))
	case c.due > c.until || until > c.until:
		return fmt.Errorf("chunk %d ends at %d and not at %d", c.number, c.until, until)
	}
	return nil
}

func (l *Log) auditIndex() error {
	bytes, count := int64(8*len(l.index.tables)), 0
	var last *table
	for i, t := range l.index.tables {
		if t == last {
			continue
		}
		last = t
		bytes += t.takes()
		used := 0
		for _, slot := range t.slots {
			if slot == 0 {
				continue
			}
			used++
			at := place(slot & (1<<placeBits - 1))
			key := l.keyAt(at)
			if found, ok := l.find(key); !ok || found != at || l.index.tables[i] != l.index.table(key) {
				return fmt.Errorf("an entry is not found where it is")
			}
		}
		if n := len(t.slots); used != t.used || used == n || n > minSlots && 4*used < n && n != cap(t.slots) {
			return fmt.Errorf("table: %d of %d slots, said to be %d", used, n, t.used)
		}
		count += used
	}
	if count != l.index.count || bytes != l.index.bytes {
		return fmt.Errorf("index: %d entries, said to be %d; %d bytes, said to be %d", count, l.index.count, bytes, l.index.bytes)
	}
	return nil
}

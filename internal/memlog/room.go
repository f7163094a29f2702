package memlog

// makeRoom drops what has expired, and evicts, until an entry of that size fits.
// For one that replaces another it does what it can and allows it.
func (l *Log) makeRoom(now int64, key Key, q *queue, size int, replaces bool) bool {
	for l.Held()+l.growth(key, q, size) > l.limit {
		switch {
		case l.expire(now):
		case !replaces && l.kept+upper(size) > l.limit:
			return false // and nobody was evicted for nothing
		case !l.evict(now):
			return replaces || l.Held()+l.index.growth(key)+upper(size) <= l.limit
		}
	}
	return true
}

// growth bounds what one more entry takes.
func (l *Log) growth(key Key, q *queue, size int) int64 {
	n := l.index.growth(key)
	if q.newest == nil || !q.newest.fits(size) {
		n += upper(l.chunkSize(q, size))
	}
	return n
}

// expire drops a chunk whose last entry has expired, if there is one.
func (l *Log) expire(now int64) bool {
	c := l.ending.first(now)
	if c == nil {
		return false
	}
	l.discard(now, c)
	return true
}

// evict drops the oldest chunk of the lowest class. A chunk at a time: nothing
// less gives memory back, and it is a small part of all.
func (l *Log) evict(now int64) bool {
	var victim *chunk
	for _, q := range l.queues {
		c := q.oldest
		if c == nil || q.class == Kept {
			continue
		}
		if victim == nil || q.class < victim.queue.class || q.class == victim.queue.class && c.first < victim.first {
			victim = c
		}
	}
	if victim == nil {
		return false
	}
	l.discard(now, victim)
	return true
}

// discard drops a chunk with its entries.
func (l *Log) discard(now int64, c *chunk) {
	l.each(c, func(key Key, at place, e Entry) {
		l.index.remove(key, at)
		if e.Expires > now {
			l.evicted(key, e.Value)
		}
	})
	l.drop(c)
}

// each calls f with the entries of a chunk that are not holes, the oldest first.
func (l *Log) each(c *chunk, f func(Key, place, Entry)) {
	for offset := 0; offset < len(c.data); offset += c.size(offset) {
		key, at := c.key(offset), placeOf(c, offset)
		if l.index.has(key, at) {
			f(key, at, c.entry(offset))
		}
	}
}

// tidy gives back what the holes of a chunk take, if that is half of it: so a
// byte is moved about once for each byte that died. Room at the end is a hole,
// too, but not in the newest of a queue.
func (l *Log) tidy(now int64, c *chunk) {
	switch {
	case c.live() == 0:
		l.drop(c)
	case 2*c.dead >= cap(c.data), c != c.queue.newest && 2*c.live() <= cap(c.data):
		l.compact(now, c)
	}
}

// compact moves what lives in a chunk, and in the one before it if both are
// small enough, to a new one in its place, so that the order stays. What has
// expired is left behind.
func (l *Log) compact(now int64, c *chunk) {
	from := []*chunk{c}
	if p := c.older; p != nil {
		if both := p.live() + c.live(); both <= l.chunkSize(c.queue, 0) && upper(both) <= p.takes()+c.takes() {
			from = []*chunk{p, c}
		}
	}
	live := 0
	for _, old := range from {
		live += l.forget(now, old)
	}
	older := from[0].older
	var into *chunk
	if live > 0 {
		into = l.newChunk(c.queue, live)
	}
	for _, old := range from {
		l.each(old, func(key Key, at place, e Entry) { l.index.move(key, at, into.add(key, e)) })
		l.drop(old)
	}
	if into != nil {
		l.enqueue(into, older)
	}
}

// forget drops what has expired from the index, and returns the size of what has
// not.
func (l *Log) forget(now int64, c *chunk) (live int) {
	l.each(c, func(key Key, at place, e Entry) {
		if e.Expires <= now {
			l.index.remove(key, at)
		} else {
			live += c.size(at.offset())
		}
	})
	return live
}

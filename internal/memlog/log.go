// Package memlog keeps a great many small values in a few large pieces of
// memory: bounded, each until a time of its own, and none of them an object
// that the garbage collector would have to look at.
//
// Entries are appended to chunks and never changed. A queue holds the chunks of
// one class whose entries have about the same time to live, so that what was
// written together ends together, and a chunk goes as a whole when its last
// entry has expired. What is replaced or deleted before leaves a hole; once
// half of a chunk is holes, what is left of it moves into a smaller one. An
// index finds an entry by a hash of its key. So each write pays for itself and
// for a bounded part of what was written before, however much there is.
//
// Time is what the caller says that it is, in nanoseconds since any moment.
package memlog

import (
	"hash/maphash"
	"math"
	"math/bits"
)

// Class is the order of eviction: the lowest first.
type Class uint8

// Kept is never evicted.
const Kept Class = math.MaxUint8

// Key stands for the string that a [Log] hashed it from, with two seeds of its
// own that nobody knows. Two strings among a million share one with a
// probability of 10⁻²⁷, and nobody can look for them.
type Key struct{ high, low uint64 }

// Entry is what is under a Key. Its Value is a view of memory that is never
// written again; it must not be changed.
type Entry struct {
	Value   []byte
	Version uint64 // new with every Put
	Expires int64
}

// Log is a table of entries. It is not safe for concurrent use.
type Log struct {
	limit   int64
	evicted func(Key, []byte)
	seeds   [2]maphash.Seed
	version uint64

	index  index
	chunks []*chunk // by number; the first is none
	free   []uint32 // numbers of chunks that are gone
	queues []*queue
	ending expiries
	bytes  int64 // that all chunks take
	kept   int64 // that those take which are never evicted
}

// New returns an empty Log. It calls evicted with each entry that it drops
// before its time.
func New(evicted func(Key, []byte)) *Log {
	return &Log{
		evicted: evicted, chunks: make([]*chunk, 1),
		seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
	}
}

// Key returns what stands for a string in this Log.
func (l *Log) Key(s string) Key {
	return Key{maphash.String(l.seeds[0], s), maphash.String(l.seeds[1], s)}
}

// Len returns how many entries there are, with those that have expired and were
// not dropped yet.
func (l *Log) Len() int { return l.index.count }

// Held returns the bytes that are held: entries, holes, room for more, and what
// it takes to find them.
func (l *Log) Held() int64 { return l.bytes + l.index.bytes }

// Get returns what is under key.
func (l *Log) Get(now int64, key Key) (Entry, bool) {
	at, ok := l.find(key)
	if !ok {
		return Entry{}, false
	}
	e := l.entry(at)
	if e.Expires <= now {
		l.remove(now, key, at)
		return Entry{}, false
	}
	return e, true
}

// Delete drops what is under key.
func (l *Log) Delete(now int64, key Key) {
	if at, ok := l.find(key); ok {
		l.remove(now, key, at)
	}
}

// Put writes value under key for ttl nanoseconds and evicts, within limit bytes,
// what has to make room for it. It reports whether there was room; there always
// is for what replaces an entry, even beyond the limit.
func (l *Log) Put(now, limit int64, key Key, class Class, value []byte, ttl int64) (version uint64, ok bool) {
	l.limit = limit
	l.expire(now)
	expires := now + min(ttl, math.MaxInt64-now)
	q := l.queue(class, ttl)
	_, replaced := l.Get(now, key)
	if replaced {
		l.Delete(now, key)
	}
	if !l.makeRoom(now, key, q, headerSize+len(value), replaced) {
		return 0, false
	}
	l.version++
	at := l.append(now, q, key, Entry{Value: value, Version: l.version, Expires: expires})
	l.index.insert(key, at, l.keyAt)
	return l.version, true
}

// queue returns the one for a class and a time to live, of which those within an
// eighth are about the same: what has expired waits no longer for the others.
func (l *Log) queue(class Class, ttl int64) *queue {
	span := bits.Len64(uint64(ttl))
	span = span<<3 | int(ttl>>max(0, span-4))&7
	for _, q := range l.queues {
		if q.class == class && q.span == span {
			return q
		}
	}
	q := &queue{class: class, span: span}
	l.queues = append(l.queues, q)
	return q
}

// find returns where the entry of a key is.
func (l *Log) find(key Key) (place, bool) { return l.index.find(key, l.keyAt) }

// remove makes a hole of an entry.
func (l *Log) remove(now int64, key Key, at place) {
	l.index.remove(key, at)
	c := l.chunks[at.chunk()]
	c.dead += c.size(at.offset())
	l.tidy(now, c)
}

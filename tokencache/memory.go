package tokencache

import (
	"bytes"
	"container/heap"
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"
)

// MemoryStore is a [Store] for one process. Its zero value is ready to use. It
// starts no goroutine, and it must not be copied after first use.
//
// When it is full it evicts what costs least to lose: first what has expired,
// then what the browser has received, then successors that still wait for
// their browser. It never evicts an exchange in flight or a session that was
// ended; if nothing else is left, it refuses to store more.
type MemoryStore struct {
	// MaxBytes bounds the memory that is held, in bytes. If zero, 64 MiB.
	MaxBytes int64

	mu      sync.Mutex
	entries map[string]*memoryEntry
	queues  [3]list.List // by class, oldest first
	ending  expiries     // all entries, the next to expire first
	bytes   int64
	version uint64
	evicted uint64
	waiters map[string]*watch
}

// watch is shared by all who wait for one key.
type watch struct {
	changed chan struct{}
	waiters int
}

// class is the order of eviction.
type class int

const (
	cheap  class = iota // losing it costs at most one refused presentation
	parked              // a successor that its browser has not received
	fixed               // never evicted
)

type memoryEntry struct {
	key     string
	value   []byte
	version string
	expires time.Time
	class   class
	place   *list.Element // in its queue
	index   int           // in ending
}

// entryOverhead is what an entry costs beside its key and value, in bytes.
const entryOverhead = 320

// sweep bounds how many expired entries one write removes, so that no write
// pays for all others.
const sweep = 8

var errFull = errors.New("rebearer: the MemoryStore is full of exchanges in flight and ended sessions")

func classOf(value []byte) class {
	switch stateOf(value) {
	case held, over:
		return fixed
	case done:
		return parked
	}
	return cheap
}

func (e *memoryEntry) size() int64 {
	return int64(len(e.key)+len(e.value)) + entryOverhead
}

func (e *memoryEntry) entry() Entry {
	return Entry{Value: bytes.Clone(e.value), Version: e.version}
}

// Evicted returns how many successors were evicted before their time: each may
// cost its user the session.
func (m *MemoryStore) Evicted() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.evicted
}

// Format prints no field: they change while they would be read.
func (m *MemoryStore) Format(f fmt.State, _ rune) { io.WriteString(f, "MemoryStore(…)") }

// Load implements [Store].
func (m *MemoryStore) Load(ctx context.Context, key string) (Entry, error) {
	if err := ctx.Err(); err != nil {
		return Entry{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.load(key), nil
}

func (m *MemoryStore) load(key string) Entry {
	e := m.entries[key]
	if e == nil {
		return Entry{}
	}
	if !time.Now().Before(e.expires) {
		m.remove(e)
		return Entry{}
	}
	return e.entry()
}

// Swap implements [Store].
func (m *MemoryStore) Swap(ctx context.Context, key, old string, value []byte, ttl time.Duration) (Entry, bool, error) {
	if err := ctx.Err(); err != nil {
		return Entry{}, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.load(key)
	if now.Version != old {
		return now, false, nil
	}
	if value == nil || ttl <= 0 {
		if e := m.entries[key]; e != nil {
			m.remove(e)
		}
		return Entry{}, true, nil
	}
	e := &memoryEntry{key: key, value: bytes.Clone(value), expires: time.Now().Add(ttl), class: classOf(value)}
	if err := m.makeRoom(e); err != nil {
		return now, false, err
	}
	m.insert(e)
	return e.entry(), true, nil
}

// Wait implements [Store].
func (m *MemoryStore) Wait(ctx context.Context, key, old string) (Entry, error) {
	for {
		m.mu.Lock()
		now := m.load(key)
		if now.Version != old {
			m.mu.Unlock()
			return now, nil
		}
		w := m.watch(key)
		var expiry <-chan time.Time // nil, that is never, for an absent entry
		if e := m.entries[key]; e != nil {
			expiry = time.After(time.Until(e.expires))
		}
		m.mu.Unlock()
		var err error
		select {
		case <-w.changed:
		case <-expiry:
		case <-ctx.Done():
			err = ctx.Err()
		}
		m.unwatch(key, w)
		if err != nil {
			return Entry{}, err
		}
	}
}

func (m *MemoryStore) watch(key string) *watch {
	w := m.waiters[key]
	if w == nil {
		if m.waiters == nil {
			m.waiters = make(map[string]*watch)
		}
		w = &watch{changed: make(chan struct{})}
		m.waiters[key] = w
	}
	w.waiters++
	return w
}

// unwatch forgets the watch with its last waiter.
func (m *MemoryStore) unwatch(key string, w *watch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if w.waiters--; w.waiters == 0 && m.waiters[key] == w {
		delete(m.waiters, key)
	}
}

// makeRoom evicts until e fits beside what stays. The entry that e replaces
// counts as gone, and e may always take its place: what is in flight must be
// able to end.
func (m *MemoryStore) makeRoom(e *memoryEntry) error {
	limit := m.MaxBytes
	if limit == 0 {
		limit = 64 << 20
	}
	now := time.Now()
	for range sweep {
		if !m.evictExpired(now) {
			break
		}
	}
	need := e.size()
	was := m.entries[e.key]
	if was != nil {
		need -= was.size()
	}
	for m.bytes+need > limit {
		if m.evictExpired(now) || m.evictOldest(e.key) {
			continue
		}
		if was == nil {
			return errFull
		}
		break
	}
	return nil
}

func (m *MemoryStore) evictExpired(now time.Time) bool {
	if len(m.ending) == 0 || now.Before(m.ending[0].expires) {
		return false
	}
	m.remove(m.ending[0])
	return true
}

func (m *MemoryStore) evictOldest(spare string) bool {
	for c := cheap; c < fixed; c++ {
		for place := m.queues[c].Front(); place != nil; place = place.Next() {
			e := place.Value.(*memoryEntry)
			if e.key == spare {
				continue
			}
			if stateOf(e.value).exchanged() {
				m.evicted++
			}
			m.remove(e)
			return true
		}
	}
	return false
}

func (m *MemoryStore) insert(e *memoryEntry) {
	if was := m.entries[e.key]; was != nil {
		m.remove(was)
	}
	if m.entries == nil {
		m.entries = make(map[string]*memoryEntry)
	}
	m.version++
	e.version = strconv.FormatUint(m.version, 36)
	e.place = m.queues[e.class].PushBack(e)
	heap.Push(&m.ending, e)
	m.entries[e.key] = e
	m.bytes += e.size()
	m.wake(e.key)
}

func (m *MemoryStore) remove(e *memoryEntry) {
	delete(m.entries, e.key)
	m.queues[e.class].Remove(e.place)
	heap.Remove(&m.ending, e.index)
	m.bytes -= e.size()
	m.wake(e.key)
}

func (m *MemoryStore) wake(key string) {
	if w := m.waiters[key]; w != nil {
		close(w.changed)
		delete(m.waiters, key)
	}
}

// expiries is a heap.Interface.
type expiries []*memoryEntry

func (h expiries) Len() int           { return len(h) }
func (h expiries) Less(i, j int) bool { return h[i].expires.Before(h[j].expires) }
func (h expiries) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *expiries) Push(x any) {
	e := x.(*memoryEntry)
	e.index = len(*h)
	*h = append(*h, e)
}

func (h *expiries) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}

package tokencache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/rebearer/rebearer/internal/memlog"
	"github.com/rebearer/rebearer/internal/shared"
)

// MemoryStore is a [Store] for one process. Its zero value is ready to use. It
// starts no goroutine, and it must not be copied after first use.
//
// When it is full it evicts what costs least to lose: first what has expired,
// then what the browser has received, then successors that still wait for
// their browser. It never evicts an exchange in flight, a session that was ended,
// or one that a middleware.Sessions keeps here; if nothing else is left, it
// refuses to store more. What was written at
// about the same time is evicted together, 1/64 of MaxBytes or 64 KiB at a time.
//
// An entry takes some 50 bytes beside its value, and is no object of its own: a
// million of them cost the garbage collector next to nothing.
type MemoryStore struct {
	// MaxBytes bounds the memory that is held, in bytes. If zero, 64 MiB. Only
	// what replaces an entry may go beyond: what is in flight must be able to
	// end.
	MaxBytes int64

	mu      sync.Mutex
	log     *memlog.Log // nil at first
	began   time.Time   // when that was made
	evicted uint64
	waiters map[memlog.Key]*watch
}

// watch is shared by all who wait for one key.
type watch struct {
	changed chan struct{}
	waiters int
}

// What is evicted, the first of these first.
const (
	cheap  memlog.Class  = iota // losing it costs at most one refused presentation
	parked                      // a successor that its browser has not received
	fixed  = memlog.Kept        // never evicted
)

var errFull = errors.New("rebearer: the MemoryStore is full of what it must not evict")

func classOf(value []byte) memlog.Class {
	switch stateOf(value) {
	case held, over:
		return fixed
	case done:
		return parked
	}
	if bytes.HasPrefix(value, []byte(shared.Session)) {
		return fixed
	}
	return cheap
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
	id, now := m.open(key)
	e, ok := m.log.Get(now, id)
	m.mu.Unlock()
	return copied(e, ok), nil
}

// open begins what is done under the lock. What stands for a key is a hash of 128
// bits. If those of two keys were ever the same, each would find the other's
// value, which does not open with another's refresh token: an error, and never
// the tokens of somebody else.
func (m *MemoryStore) open(key string) (id memlog.Key, now int64) {
	if m.log == nil {
		m.log, m.began = memlog.New(m.lost), time.Now()
	}
	return m.log.Key(key), int64(time.Since(m.began))
}

// copied returns what the caller may keep. The lock is not needed for it.
func copied(e memlog.Entry, ok bool) Entry {
	if !ok {
		return Entry{}
	}
	return Entry{Value: bytes.Clone(e.Value), Version: version(e.Version)}
}

func version(n uint64) string { return strconv.FormatUint(n, 36) }

// is reports whether e, if ok, is in that version, and if not that there is none.
func is(e memlog.Entry, ok bool, version string) bool {
	if !ok {
		return version == ""
	}
	var b [13]byte
	return string(strconv.AppendUint(b[:0], e.Version, 36)) == version
}

// Swap implements [Store].
func (m *MemoryStore) Swap(ctx context.Context, key, old string, value []byte, ttl time.Duration) (Entry, bool, error) {
	if err := ctx.Err(); err != nil {
		return Entry{}, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	id, now := m.open(key)
	e, ok := m.log.Get(now, id)
	if !is(e, ok, old) {
		return copied(e, ok), false, nil
	}
	if value == nil || ttl <= 0 {
		m.log.Delete(now, id)
		m.wake(id)
		return Entry{}, true, nil
	}
	limit := m.MaxBytes
	if limit == 0 {
		limit = 64 << 20
	}
	v, ok := m.log.Put(now, limit, id, classOf(value), value, int64(ttl))
	if !ok {
		return Entry{}, false, errFull
	}
	m.wake(id)
	return Entry{Value: bytes.Clone(value), Version: version(v)}, true, nil
}

// lost is told of each entry that is evicted.
func (m *MemoryStore) lost(id memlog.Key, value []byte) {
	if stateOf(value).exchanged() {
		m.evicted++
	}
	m.wake(id)
}

// Wait implements [Store].
func (m *MemoryStore) Wait(ctx context.Context, key, old string) (Entry, error) {
	for {
		m.mu.Lock()
		id, now := m.open(key)
		e, ok := m.log.Get(now, id)
		if !is(e, ok, old) {
			m.mu.Unlock()
			return copied(e, ok), nil
		}
		w := m.watch(id)
		m.mu.Unlock()
		var expiry <-chan time.Time // nil, that is never, for an absent entry
		if ok {
			expiry = time.After(time.Duration(e.Expires - now))
		}
		var err error
		select {
		case <-w.changed:
		case <-expiry:
		case <-ctx.Done():
			err = ctx.Err()
		}
		m.unwatch(id, w)
		if err != nil {
			return Entry{}, err
		}
	}
}

func (m *MemoryStore) watch(key memlog.Key) *watch {
	w := m.waiters[key]
	if w == nil {
		if m.waiters == nil {
			m.waiters = make(map[memlog.Key]*watch)
		}
		w = &watch{changed: make(chan struct{})}
		m.waiters[key] = w
	}
	w.waiters++
	return w
}

// unwatch forgets the watch with its last waiter.
func (m *MemoryStore) unwatch(key memlog.Key, w *watch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if w.waiters--; w.waiters == 0 && m.waiters[key] == w {
		delete(m.waiters, key)
	}
}

func (m *MemoryStore) wake(key memlog.Key) {
	if w := m.waiters[key]; w != nil {
		close(w.changed)
		delete(m.waiters, key)
	}
}

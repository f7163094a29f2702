package main

import (
	"container/heap"
	"container/list"
	"hash/maphash"
	"sync"
	"time"
)

// heapMap is what tokencache.MemoryStore was at first: a map of entries, a heap
// by expiry, and a list by age for eviction.
type heapMap struct {
	mu      sync.Mutex
	entries map[string]*heapEntry
	ages    list.List
	ending  expiries
}

type heapEntry struct {
	key     string
	value   []byte
	expires time.Time
	age     *list.Element
	index   int
}

func newHeapMap() contender { return &heapMap{entries: map[string]*heapEntry{}} }

func (m *heapMap) put(key string, value []byte, ttl time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for range 8 {
		if len(m.ending) == 0 || now.Before(m.ending[0].expires) {
			break
		}
		m.remove(m.ending[0])
	}
	if was := m.entries[key]; was != nil {
		m.remove(was)
	}
	e := &heapEntry{key: key, value: value, expires: now.Add(ttl)}
	e.age = m.ages.PushBack(e)
	heap.Push(&m.ending, e)
	m.entries[key] = e
}

func (m *heapMap) remove(e *heapEntry) {
	delete(m.entries, e.key)
	m.ages.Remove(e.age)
	heap.Remove(&m.ending, e.index)
}

func (m *heapMap) has(key string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entries[key]
	return e != nil && time.Now().Before(e.expires)
}

func (m *heapMap) drop(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.entries[key]; e != nil {
		m.remove(e)
	}
}

func (m *heapMap) settle() {}
func (m *heapMap) close()  {}

type expiries []*heapEntry

func (h expiries) Len() int           { return len(h) }
func (h expiries) Less(i, j int) bool { return h[i].expires.Before(h[j].expires) }
func (h expiries) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *expiries) Push(x any) {
	e := x.(*heapEntry)
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

// shards is what many write themselves: maps with a lock each, and a goroutine
// that looks for what has expired, one shard at a time.
type shards struct {
	seed  maphash.Seed
	parts [256]struct {
		sync.RWMutex
		entries map[string]shardEntry
	}
	done chan struct{}
}

type shardEntry struct {
	value   []byte
	expires int64
}

func newShards() contender {
	s := &shards{seed: maphash.MakeSeed(), done: make(chan struct{})}
	for i := range s.parts {
		s.parts[i].entries = map[string]shardEntry{}
	}
	go s.sweep(time.Second)
	return s
}

func (s *shards) sweep(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-s.done:
			return
		case now := <-tick.C:
			for i := range s.parts {
				p := &s.parts[i]
				p.Lock()
				for key, e := range p.entries {
					if e.expires <= now.UnixNano() {
						delete(p.entries, key)
					}
				}
				p.Unlock()
			}
		}
	}
}

func (s *shards) of(key string) int { return int(maphash.String(s.seed, key) % uint64(len(s.parts))) }

func (s *shards) put(key string, value []byte, ttl time.Duration) {
	p := &s.parts[s.of(key)]
	e := shardEntry{value, time.Now().Add(ttl).UnixNano()}
	p.Lock()
	p.entries[key] = e
	p.Unlock()
}

func (s *shards) has(key string) bool {
	p := &s.parts[s.of(key)]
	p.RLock()
	e, ok := p.entries[key]
	p.RUnlock()
	return ok && time.Now().UnixNano() < e.expires
}

func (s *shards) drop(key string) {
	p := &s.parts[s.of(key)]
	p.Lock()
	delete(p.entries, key)
	p.Unlock()
}

func (s *shards) settle() {}
func (s *shards) close()  { close(s.done) }

package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/ristretto/v2"
	"github.com/jellydator/ttlcache/v3"
	"github.com/maypok86/otter/v2"
	"github.com/rebearer/rebearer/tokencache"
)

// A contender keeps values until their time is over, in bounded memory. It may
// keep the value that it is given, which nobody else holds.
type contender interface {
	put(key string, value []byte, ttl time.Duration)
	has(key string) bool
	drop(key string)
	settle() // returns when what was put is there, if it is going to be
	close()
}

const plenty = 1 << 40 // nothing is evicted here

var names = []string{"tokencache.MemoryStore", "map, heap and lists", "sharded map", "otter", "ristretto", "ttlcache", "nothing"}

// open returns a contender that n sessions will come to.
func open(name string, n int) contender {
	switch name {
	case "tokencache.MemoryStore":
		return &memory{store: tokencache.MemoryStore{MaxBytes: plenty}}
	case "map, heap and lists":
		return newHeapMap()
	case "sharded map":
		return newShards()
	case "otter":
		return newOtter(n)
	case "ristretto":
		return newRistretto(n)
	case "ttlcache":
		return newTTLCache()
	case "nothing":
		return nothing{}
	}
	return nil
}

// memory is ours, called as a Coordinator calls it.
type memory struct{ store tokencache.MemoryStore }

func (m *memory) put(key string, value []byte, ttl time.Duration) {
	m.store.Swap(context.Background(), key, "", value, ttl)
}

func (m *memory) load(key string) tokencache.Entry {
	e, _ := m.store.Load(context.Background(), key)
	return e
}

func (m *memory) has(key string) bool { return m.load(key).Version != "" }

func (m *memory) drop(key string) {
	m.store.Swap(context.Background(), key, m.load(key).Version, nil, 0)
}

func (m *memory) settle() {}
func (m *memory) close()  {}

// otterCache knows how many will come, as its documentation recommends.
type otterCache struct {
	cache *otter.Cache[string, []byte]
	ttl   atomic.Int64 // of the puts that are under way, which is the same for all
}

func newOtter(n int) contender {
	o := &otterCache{}
	o.cache = otter.Must(&otter.Options[string, []byte]{
		MaximumSize: 2*n + 1000, InitialCapacity: n,
		ExpiryCalculator: otter.ExpiryWritingFunc(func(otter.Entry[string, []byte]) time.Duration { return time.Duration(o.ttl.Load()) }),
	})
	return o
}

func (o *otterCache) put(key string, value []byte, ttl time.Duration) {
	o.ttl.Store(int64(ttl))
	o.cache.Set(key, value)
}

func (o *otterCache) has(key string) bool { _, ok := o.cache.GetIfPresent(key); return ok }
func (o *otterCache) drop(key string)     { o.cache.Invalidate(key) }
func (o *otterCache) settle()             { o.cache.CleanUp() }
func (o *otterCache) close()              { o.cache.StopAllGoroutines() }

// ristrettoCache has ten counters for each entry, as its documentation says.
type ristrettoCache struct {
	cache *ristretto.Cache[string, []byte]
}

func newRistretto(n int) contender {
	cache, err := ristretto.NewCache(&ristretto.Config[string, []byte]{
		NumCounters: 10 * int64(n), MaxCost: plenty, BufferItems: 64, TtlTickerDurationInSec: 1,
	})
	if err != nil {
		panic(err)
	}
	return ristrettoCache{cache}
}

func (r ristrettoCache) put(key string, value []byte, ttl time.Duration) {
	r.cache.SetWithTTL(key, value, int64(len(value)), ttl)
}

func (r ristrettoCache) has(key string) bool { _, ok := r.cache.Get(key); return ok }
func (r ristrettoCache) drop(key string)     { r.cache.Del(key) }
func (r ristrettoCache) settle()             { r.cache.Wait() }
func (r ristrettoCache) close()              { r.cache.Close() }

type ttlCache struct {
	cache *ttlcache.Cache[string, []byte]
}

func newTTLCache() contender {
	cache := ttlcache.New(ttlcache.WithDisableTouchOnHit[string, []byte]())
	go cache.Start()
	return ttlCache{cache}
}

func (c ttlCache) put(key string, value []byte, ttl time.Duration) { c.cache.Set(key, value, ttl) }
func (c ttlCache) has(key string) bool                             { return c.cache.Get(key) != nil }
func (c ttlCache) drop(key string)                                 { c.cache.Delete(key) }
func (c ttlCache) settle()                                         {}
func (c ttlCache) close()                                          { c.cache.Stop() }

// nothing keeps nothing: what it takes is what the measuring takes.
type nothing struct{}

func (nothing) put(string, []byte, time.Duration) {}
func (nothing) has(string) bool                   { return false }
func (nothing) drop(string)                       {}
func (nothing) settle()                           {}
func (nothing) close()                            {}

package tokencache

import (
	"context"
	"sync"
	"time"
)

// Accompany keeps the Cache of a long request, such as a stream, on the newest
// Token, though its session may move on by way of other replicas: once the access
// token has ended, it looks into the Store, and then at every half of the
// Coordinator's Grace. So the Cache never holds a refresh token whose successor
// has been forgotten. It ends with stop, which has to be called.
//
// Without a Store it does nothing: there [Cache.CatchUp] knows. Nor can it help a Cache
// whose session moves on twice while its own access token has not ended, in a
// process that has not asked for another resource yet.
func (c *Cache) Accompany() (stop func()) {
	if c == nil || c.coordinator == nil || c.coordinator.Store == nil || c.Token().Refresh() == "" {
		return func() {}
	}
	f := &follower{cache: c}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.timer = time.AfterFunc(c.coordinator.grace()/2, f.look)
	return f.stop
}

// follower is a Cache that is accompanied. It has a goroutine only while it
// looks.
type follower struct {
	cache *Cache

	mu    sync.Mutex
	timer *time.Timer
	ended bool
}

// due reports whether there is a need to look: before its access token ends, a
// session has little reason to move on, unless it has those for other resources.
func (f *follower) due() bool {
	return f.cache.coordinator.several.Load() || !time.Now().Before(f.cache.Token().Expiry())
}

func (f *follower) look() {
	defer func() { recover() }() // a Store that panics ends this, not the process
	if f.due() {
		f.cache.catchUp(context.Background(), f.cache.Token())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.ended {
		f.timer.Reset(f.cache.coordinator.grace() / 2)
	}
}

func (f *follower) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	f.timer.Stop()
}

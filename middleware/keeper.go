package middleware

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/event"
)

// keeper has Sessions know of a long request, such as a stream, before it is over:
// that its session is used, and what its tokens have become since the header. It has
// a goroutine only while it writes.
type keeper struct {
	*session
	every time.Duration

	ctx    context.Context // ends with the request's handler
	cancel context.CancelFunc

	busy  sync.Mutex
	timer *time.Timer
	ended bool
}

// attend keeps the session until stop, which has to be called. The RefreshHandler
// looks for another session where one is over, and is short.
func (s *session) attend() (stop func()) {
	if s.auth.Sessions == nil || s.entry == nil || at(s.request) == s.auth.refreshURL() {
		return func() {}
	}
	k := &keeper{session: s, every: min(s.auth.Sessions.idle()/4, 30*time.Second)}
	k.ctx, k.cancel = context.WithCancel(s.request.Context())
	k.busy.Lock()
	defer k.busy.Unlock()
	k.timer = time.AfterFunc(k.every, k.look)
	return k.stop
}

func (k *keeper) look() {
	defer func() { recover() }() // a Store that panics ends this, not the process
	k.busy.Lock()
	defer k.busy.Unlock()
	if !k.ended && !errors.Is(k.write(), errEnded) {
		k.timer.Reset(k.every)
	}
}

// write leaves a session alone that a sign-in or a logout has to do with. Who writes
// the response does not wait for the Store.
func (k *keeper) write() error {
	k.mu.Lock()
	set, handed := k.set != nil, k.handed
	k.mu.Unlock()
	if set || k.cache.CatchUp(k.ctx) != nil {
		return errEnded
	}
	t, changed := k.cache.Changed()
	saved, err := k.store(t, changed && !t.Same(handed))
	if saved {
		k.mu.Lock()
		defer k.mu.Unlock()
		if !t.Same(k.handed) {
			k.handed = t
			k.tell(event.Delivered)
		}
	}
	return err
}

func (k *keeper) store(t tokencache.Token, changed bool) (saved bool, err error) {
	k.keeping.Lock()
	defer k.keeping.Unlock()
	switch {
	case changed:
		err = k.auth.Sessions.save(k.ctx, k.entry, t)
		return err == nil, err
	case time.Since(k.entry.used) >= k.auth.Sessions.idle()/2:
		return false, k.auth.Sessions.touch(k.ctx, k.entry)
	}
	return false, nil
}

func (k *keeper) stop() {
	k.cancel()
	k.busy.Lock()
	defer k.busy.Unlock()
	k.ended = true
	k.timer.Stop()
}

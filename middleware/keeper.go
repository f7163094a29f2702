package middleware

import (
	"errors"
	"sync"
	"time"

	"github.com/rebearer/rebearer/tokencache/event"
)

// keeper has Sessions know of a long request, such as a stream, before it is over:
// that its session is used, and what its tokens have become since the header. It has
// a goroutine only while it writes.
type keeper struct {
	*session
	every time.Duration

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

// write leaves a session alone that a sign-in or a logout has to do with.
func (k *keeper) write() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch t, changed := k.cache.Changed(); {
	case k.set != nil || k.cache.CatchUp(k.request.Context()) != nil:
		return errEnded
	case changed && !t.Same(k.handed):
		_, err := k.hand(t)
		if err == nil {
			k.tell(event.Delivered)
		}
		return err
	case time.Since(k.entry.used) >= k.auth.Sessions.idle()/2:
		return k.auth.Sessions.touch(k.request.Context(), k.entry)
	}
	return nil
}

func (k *keeper) stop() {
	k.busy.Lock()
	defer k.busy.Unlock()
	k.ended = true
	k.timer.Stop()
}

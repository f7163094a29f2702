package redisstore

import (
	"context"
	"sync"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/redis/go-redis/v9"
)

// feed is the one subscription of a process. A message says which version was
// replaced, and by what. Versions are never used again, so that whoever waits
// for one to be replaced needs no other name for it, and cannot take an old
// message for a new one.
type feed struct {
	sub   *redis.PubSub
	ended chan struct{}

	mu      sync.Mutex
	waiting map[string]*watch // by the version that is to be replaced
	recent  [remembered]string
	next    int
	heard   map[string]heard
	live    bool          // Redis has confirmed the subscription
	again   chan struct{} // closed when messages may have been missed
}

// remembered is how many messages are kept for those who are about to wait for
// them: between a look at an entry and Wait there is a gap.
const remembered = 64

// heard is what replaced a version, and when that was said. It is of use for a
// moment only: a Redis that was restarted may have lost it, and be at the older
// version again.
type heard struct {
	tokencache.Entry
	at time.Time
}

type watch struct {
	replaced chan struct{} // closed
	by       tokencache.Entry
	waiters  int
}

// healthy is how long the subscription may be silent before it is tested.
const healthy = 30 * time.Second

func subscribe(client redis.UniversalClient, channel string) *feed {
	f := &feed{
		ended:   make(chan struct{}),
		waiting: make(map[string]*watch),
		heard:   make(map[string]heard),
		again:   make(chan struct{}),
	}
	f.sub = client.Subscribe(context.Background()) // to nothing yet: it does not connect
	go f.run(channel)
	return f
}

// run listens until the feed is closed. The client connects again by itself.
func (f *feed) run(channel string) {
	defer close(f.ended)
	f.sub.Subscribe(context.Background(), channel) // what fails is tried again below
	for m := range f.sub.ChannelWithSubscriptions(redis.WithChannelHealthCheckInterval(healthy)) {
		switch m := m.(type) {
		case *redis.Subscription:
			f.confirm()
		case *redis.Message:
			f.deliver(m.Payload)
		}
	}
}

// close ends the feed. A client that stands still in a connection attempt holds
// up nobody for longer than a second; it ends when that does.
func (f *feed) close() error {
	closed := make(chan error, 1)
	go func() {
		err := f.sub.Close()
		<-f.ended
		closed <- err
	}()
	select {
	case err := <-closed:
		if err != redis.ErrClosed {
			return err
		}
	case <-time.After(time.Second):
	}
	return nil
}

// confirm notes a new subscription. What was said before is lost.
func (f *feed) confirm() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.live = true
	clear(f.heard)
	close(f.again)
	f.again = make(chan struct{})
}

func (f *feed) deliver(message string) {
	if len(message) < versionSize {
		return // nobody of ours has sent that
	}
	old := message[:versionSize]
	by, err := entryOf(message[versionSize:])
	if err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.heard, f.recent[f.next])
	f.recent[f.next] = old
	f.next = (f.next + 1) % remembered
	f.heard[old] = heard{by, time.Now()}
	if w := f.waiting[old]; w != nil {
		w.by = by
		close(w.replaced)
		delete(f.waiting, old)
	}
}

// listen returns what replaced a version, if that was heard already, and else
// the watch for it.
func (f *feed) listen(old string) (by tokencache.Entry, known bool, w *watch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := old
	for range remembered { // whoever may send messages could send a ring of them
		h, ok := f.heard[at]
		if !ok || time.Since(h.at) > longest {
			break
		}
		by, known, at = h.Entry, true, h.Version
	}
	if known {
		return copied(by), true, nil
	}
	w = f.waiting[old]
	if w == nil {
		w = &watch{replaced: make(chan struct{})}
		f.waiting[old] = w
	}
	w.waiters++
	return tokencache.Entry{}, false, w
}

func copied(e tokencache.Entry) tokencache.Entry {
	if e.Version != "" {
		e.Value = append([]byte{}, e.Value...)
	}
	return e
}

// leave forgets the watch with its last waiter.
func (f *feed) leave(old string, w *watch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if w.waiters--; w.waiters == 0 && f.waiting[old] == w {
		delete(f.waiting, old)
	}
}

// state returns whether messages can be expected, and what is closed when some
// may have been missed.
func (f *feed) state() (live bool, missed <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.live, f.again
}

// How long Wait trusts in messages before it reads: a message may be lost. It
// doubles from the first to the last.
const (
	unsure   = 10 * time.Millisecond // no subscription yet
	trusting = 250 * time.Millisecond
	longest  = time.Second
)

// Wait implements [tokencache.Store]. While Redis cannot be reached it waits on.
func (s *Store) Wait(ctx context.Context, key, old string) (tokencache.Entry, error) {
	if err := s.open(); err != nil {
		return tokencache.Entry{}, err
	}
	live, missed := s.feed.state() // before listening, or a new subscription could be overlooked
	by, known, w := s.feed.listen(old)
	if known {
		return by, ctx.Err()
	}
	defer s.feed.leave(old, w)
	pause := unsure
	if live && old != "" { // nobody says that something has appeared
		pause = trusting
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-w.replaced:
			return copied(w.by), nil
		case <-ctx.Done():
			return tokencache.Entry{}, ctx.Err()
		case <-missed:
			_, missed = s.feed.state()
		case <-timer.C:
			pause = min(2*pause, longest)
			timer.Reset(pause)
		}
		if e, err := s.Load(ctx, key); err == nil && e.Version != old {
			return e, nil
		}
	}
}

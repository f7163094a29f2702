package tokencache_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
)

// world is a browser with some tabs, three replicas, a strict server that is
// slow and sometimes unavailable, and a Store that is slow and sometimes loses
// an answer, though all within the bounds of what is promised.
type world struct {
	*testing.T
	server *as

	mu  sync.Mutex
	rnd *rand.Rand
	jar tokencache.Token // what the tabs show
}

func (w *world) chance(percent int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rnd.IntN(100) < percent
}

func (w *world) sleep(atMost time.Duration) {
	w.mu.Lock()
	d := time.Duration(w.rnd.Int64N(int64(atMost)))
	w.mu.Unlock()
	time.Sleep(d)
}

// network is the way to the Store.
func (w *world) network(_ context.Context, op string, when moment) error {
	if op == "wait" {
		return nil
	}
	w.sleep(300 * time.Millisecond)
	if w.chance(3) {
		return errCut
	}
	return nil
}

func (w *world) answer(a *as, ctx context.Context, spent tokencache.Token) (tokencache.Token, error) {
	w.sleep(4 * time.Second)
	if w.chance(20) {
		return tokencache.Token{}, &tokencache.Error{Status: 503, Reason: "unavailable"}
	}
	t, err := a.exchange(ctx, spent)
	w.sleep(4 * time.Second)
	return t, err
}

// tab makes requests, leaves in the midst of some, and loses some responses.
func (w *world) tab(c *tokencache.Coordinator) {
	for range 15 {
		w.sleep(20 * time.Second)
		w.mu.Lock()
		shown := w.jar
		w.mu.Unlock()
		cache := tokencache.New(c, shown)
		ctx, leave := context.WithCancel(w.Context())
		if w.chance(20) {
			time.AfterFunc(time.Second, leave)
		}
		t, err := cache.Fresh(ctx)
		if err == nil && w.chance(30) { // 401
			w.sleep(time.Second)
			_, err = cache.Refresh(ctx, t)
		}
		leave()
		if errors.Is(err, tokencache.ErrLoginRequired) {
			w.Errorf("%s was signed out: %v", shown.Refresh(), err)
		}
		if newest, changed := cache.Changed(); changed && w.chance(70) {
			w.sleep(time.Second) // late cookies may overwrite newer ones
			w.mu.Lock()
			w.jar = newest
			w.mu.Unlock()
		}
	}
}

const seeds = 100

// Invariant 1, B55, B45: whatever the order of events, no refresh token is
// presented twice, and nobody is signed out.
func TestNoOrderOfEventsLosesASession(t *testing.T) {
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{T: t, rnd: rand.New(rand.NewPCG(seed, 1)), jar: alice}
				w.server = &as{lives: 40 * time.Second}
				for range 1000 {
					w.server.next(w.answer)
				}
				store := &tokencache.MemoryStore{}
				together(3, func(int) {
					wire := newWire(store)
					wire.on(w.network)
					c := &tokencache.Coordinator{
						Refresher: w.server, Store: wire, Realm: "r", Grace: 24 * time.Hour,
						Lease: 6 * time.Second, Timeout: 12 * time.Second,
					}
					together(3, func(int) { w.tab(c) })
				})
				if w.server.presentations() < 5 {
					t.Error("nothing happened")
				}
				w.server.saw(t, w.server.presentations())
				time.Sleep(time.Minute)
			})
		})
	}
}

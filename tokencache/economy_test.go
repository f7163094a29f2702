package tokencache_test

import (
	"context"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
)

// meter counts what a Store is asked for.
type meter struct {
	tokencache.Store
	mu   sync.Mutex
	seen map[string]int
}

func metered() *meter {
	m := &meter{seen: map[string]int{}}
	wire := newWire(&tokencache.MemoryStore{})
	wire.on(func(_ context.Context, op string, when moment) error {
		m.mu.Lock()
		defer m.mu.Unlock()
		if when == before && op != "wait" {
			m.seen[op]++
		}
		return nil
	})
	m.Store = wire
	return m
}

// took returns what was asked since the last call.
func (m *meter) took() (ops map[string]int, sum int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ops = maps.Clone(m.seen)
	clear(m.seen)
	for _, n := range ops {
		sum += n
	}
	return ops, sum
}

// B45, B50: eight replicas with 200 callers each, half of them late, ask the
// Store 16 times at most for one refresh.
func TestARefreshAsksTheStoreLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, store := &as{takes: 50 * time.Millisecond, lives: time.Hour}, metered()
		all := make([]*tokencache.Coordinator, 8)
		for i := range all {
			all[i] = &tokencache.Coordinator{Refresher: server, Store: store, Realm: "r"}
		}
		for round := range 5 { // each spends what the last has brought
			together(len(all)*200, func(i int) {
				time.Sleep(time.Duration(i/len(all)) * time.Millisecond) // the last ones are 150 ms late
				_, err := all[i%len(all)].Refresh(t.Context(), generation("alice", round))
				if err != nil {
					t.Error(err)
				}
			})
			time.Sleep(time.Hour)
			if ops, sum := store.took(); sum > 16 {
				t.Errorf("round %d: %d, %v", round, sum, ops)
			}
		}
		server.saw(t, 5)
	})
}

// What a process has just seen it does not ask for again, and not for longer.
func TestHowLongAProcessRestsOnWhatItSaw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, store := &as{lives: time.Hour}, metered()
		c := &tokencache.Coordinator{Refresher: server, Store: store, Realm: "r"}
		grow(t, c, 1)
		store.took()
		time.Sleep(time.Second - time.Millisecond)
		got, err := c.Refresh(t.Context(), alice)
		is(t, "alice-access-1", got, err)
		if ops, sum := store.took(); sum != 0 {
			t.Errorf("it asked for %v", ops)
		}
		time.Sleep(time.Millisecond)
		got, err = c.Refresh(t.Context(), alice)
		is(t, "alice-access-1", got, err)
		if ops, sum := store.took(); sum != 2 { // the link, and whether it is the newest
			t.Errorf("it asked for %v", ops)
		}
		server.saw(t, 1)
	})
}

// B31: it does not rest on that for a session it has ended itself, nor where a
// logout must be heard of.
func TestALogoutIsHeardOfThoughTheSuccessorWasJustSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, store := &as{lives: time.Hour}, &tokencache.MemoryStore{}
		a := &tokencache.Coordinator{Refresher: server, Store: store, Realm: "r"}
		b := &tokencache.Coordinator{Refresher: server, Store: store, Realm: "r"}
		grow(t, a, 1)
		if err := b.Revoke(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
		if err := tokencache.New(a, alice).CatchUp(t.Context()); err == nil {
			t.Error("CatchUp knows nothing of the logout")
		}
		if err := a.Revoke(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
		if got, err := a.Refresh(t.Context(), alice); err == nil {
			t.Errorf("%q is served", got.Access())
		}
	})
}

// MaxInFlight is for presentations: whoever only adopts is not held up by it.
func TestAdoptingNeedsNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, store := &as{lives: time.Hour}, &tokencache.MemoryStore{}
		grow(t, &tokencache.Coordinator{Refresher: server, Store: store, Realm: "r"}, 1)
		c := &tokencache.Coordinator{Refresher: server, Store: store, Realm: "r", MaxInFlight: 1}
		server.next(after(5*time.Second, (*as).exchange))
		go c.Refresh(t.Context(), bob)
		synctest.Wait()
		began := time.Now()
		got, err := c.Refresh(t.Context(), alice)
		is(t, "alice-access-1", got, err)
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v", took)
		}
		c.Wait(t.Context())
	})
}

// B50: where a session has one access token only, catching up asks for nothing:
// what has moved on elsewhere is learned at the next refresh.
func TestCatchingUpAsksForNothingWithoutResources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := metered()
		c := &tokencache.Coordinator{Refresher: &as{lives: time.Hour}, Store: store, Realm: "r"}
		cache := tokencache.New(c, ended(alice))
		cacheFresh(t, cache, "")
		c.Wait(t.Context())
		store.took()
		if err := cache.CatchUp(t.Context()); err != nil {
			t.Error(err)
		}
		if ops, sum := store.took(); sum > 0 {
			t.Errorf("%v", ops)
		}
		if _, changed := cache.Changed(); !changed {
			t.Error("there is nothing to hand over")
		}
	})
}

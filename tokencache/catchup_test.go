package tokencache_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// caught fails the test unless a new Cache that shows the Token catches up with
// an access token, as Changed reports. It returns that Cache.
func caught(t *testing.T, c *tokencache.Coordinator, shown tokencache.Token, want string) *tokencache.Cache {
	t.Helper()
	cache := tokencache.New(c, shown)
	err := cache.CatchUp(t.Context())
	now, changed := cache.Changed()
	is(t, want, now, err)
	if changed != (want != shown.Access()) || cache.Presented() || cache.Err() != nil {
		t.Errorf("changed is %v, presented %v, the failure %v", changed, cache.Presented(), cache.Err())
	}
	return cache
}

// B53, B55, B27: whoever shows a superseded refresh token is given the newest,
// also while the access token works.
func TestACacheCatchesUp(t *testing.T) {
	for name, shared := range map[string]bool{"in this process": false, "in a Store": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{lives: time.Hour}
				c := &tokencache.Coordinator{Refresher: server}
				if shared {
					c.Store, c.Realm = &tokencache.MemoryStore{}, "r"
				}
				shown := lasting(alice, time.Hour)
				caught(t, c, shown, alice.Access())
				tokencache.New(c, shown).Refresh(t.Context(), shown)
				early := caught(t, c, shown, "alice-access-1")
				tokencache.New(c, generation("alice", 1)).Refresh(t.Context(), generation("alice", 1))
				c.Refresh(t.Context(), generation("alice", 2))
				caught(t, c, shown, "alice-access-3") // three generations behind
				caught(t, c, generation("alice", 2), "alice-access-3")
				caught(t, c, generation("alice", 3), "alice-access-3")
				caught(t, c, bob, bob.Access())
				err := early.CatchUp(t.Context())
				is(t, "alice-access-3", early.Token(), err)
				server.saw(t, 3)
			})
		})
	}
}

// T-E14, T-K6: the end of a session beats an access token that works.
func TestACacheHearsOfTheEndOfItsSession(t *testing.T) {
	for name, row := range map[string]struct {
		end  func(t *testing.T, c *tokencache.Coordinator, server *as)
		want reason.Reason
	}{
		"a logout with the newest token": {func(t *testing.T, c *tokencache.Coordinator, _ *as) {
			c.Revoke(t.Context(), generation("alice", 2))
		}, reason.LoggedOut},
		"a logout with the oldest": {func(t *testing.T, c *tokencache.Coordinator, _ *as) {
			c.Revoke(t.Context(), alice)
		}, reason.LoggedOut},
		"a sign-in": {func(t *testing.T, c *tokencache.Coordinator, _ *as) {
			c.Replace(t.Context(), alice, bob)
		}, reason.Replaced},
		"a refusal": {func(t *testing.T, c *tokencache.Coordinator, server *as) {
			server.next(fails(invalidGrant()))
			c.Refresh(t.Context(), generation("alice", 2))
		}, reason.Refused},
		"an answer for somebody else": {func(t *testing.T, c *tokencache.Coordinator, server *as) {
			server.next(fails(&tokencache.Error{Reason: reason.SubjectChanged}))
			c.Refresh(t.Context(), generation("alice", 2))
		}, reason.SubjectChanged},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{}
				c := &tokencache.Coordinator{Refresher: server}
				grow(t, c, 2)
				row.end(t, c, server)
				before := server.presentations()
				for n := 2; n >= 0; n-- { // the newest first: the others lead to it
					cache := tokencache.New(c, lasting(generation("alice", n), time.Hour))
					because(t, row.want, cache.CatchUp(t.Context()))
					if _, changed := cache.Changed(); changed {
						t.Errorf("generation %d: a cookie would be set", n)
					}
				}
				server.saw(t, before)
			})
		})
	}
}

// B31: also if it was this process that met a logout of another one.
func TestALogoutElsewhereIsHeardOfAtTheNextRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, _ := replicas(&as{})
		grow(t, a, 1)
		b.Revoke(t.Context(), alice)
		now := generation("alice", 1)
		caught(t, a, now, now.Access())
		a.Refresh(t.Context(), now)
		because(t, reason.LoggedOut, tokencache.New(a, now).CatchUp(t.Context()))
	})
}

// What other replicas have exchanged is read once the chain leads there.
func TestTheChainOfAnotherReplicaIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		a, b, wire := replicas(server)
		a.Refresh(t.Context(), alice)
		b.Refresh(t.Context(), generation("alice", 1))
		caught(t, a, generation("alice", 1), "alice-access-1") // it has not heard
		caught(t, a, alice, "alice-access-2")
		caught(t, a, generation("alice", 1), "alice-access-2") // now it has
		caught(t, b, alice, alice.Access())
		b.Refresh(t.Context(), alice)
		caught(t, b, alice, "alice-access-2")
		wire.on(down) // the Store's trouble is no end, and no news
		caught(t, a, alice, alice.Access())
		for want, fault := range map[string]fault{alice.Access(): hung, "alice-access-1": slow(2 * time.Second)} {
			wire.on(fault)
			began := time.Now()
			caught(t, a, alice, want)
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("it took %v", took)
			}
		}
		server.saw(t, 2)
	})
}

// B48: nor is what the Store did not take lost.
func TestWhatTheStoreDidNotTakeIsCaughtUpWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		a, b, wire := replicas(server)
		wire.on(during("swap done", readOnly))
		a.Refresh(t.Context(), alice)
		caught(t, a, alice, "alice-access-1")
		wire.on(down)
		caught(t, a, alice, "alice-access-1")
		wire.on(nil)
		b.Revoke(t.Context(), alice) // the end wins
		because(t, reason.LoggedOut, tokencache.New(a, alice).CatchUp(t.Context()))
		server.saw(t, 1)
	})
}

// B77: who catches up waits for nobody.
func TestCatchingUpDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		c := &tokencache.Coordinator{Refresher: server}
		grow(t, c, 1)
		server.next(hangs)
		go c.Refresh(t.Context(), generation("alice", 1))
		synctest.Wait()
		began := time.Now()
		caught(t, c, alice, "alice-access-1")
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v", took)
		}
		c.Wait(t.Context())
	})
}

// B27: under one refresh token only an access token that is newer counts.
func TestCatchingUpWhereTheRefreshTokenStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, loads := &as{rotation: constant, lives: time.Hour}, atomic.Int32{}
		wire := newWire(&tokencache.MemoryStore{})
		c := &tokencache.Coordinator{Refresher: server, Store: wire, Realm: "r"}
		one := func(access string, issued, expiry time.Duration) tokencache.Token {
			return tokencache.NewToken(tokencache.TokenFields{
				Access: access, Refresh: "alice-refresh", Issued: time.Now().Add(issued), Expiry: time.Now().Add(expiry),
			})
		}
		c.Refresh(t.Context(), one("old", -time.Hour, 0))
		caught(t, c, one("old", -time.Hour, 0), "alice-access-1")
		caught(t, c, one("old", time.Minute, 2*time.Hour), "old") // it is not
		caught(t, c, one("old", -time.Minute, 2*time.Hour), "old")
		c.Wait(t.Context()) // what it reads after the refresh
		wire.on(func(context.Context, string, moment) error { loads.Add(1); return nil })
		caught(t, c, one("alice-access-1", 0, time.Hour), "alice-access-1")
		if loads.Load() != 0 { // B50
			t.Error("the Store was asked for what is the newest")
		}
		server.saw(t, 1)
	})
}

// B27: a ring has no newest link, and who shows one of it stays there.
func TestCatchingUpInARing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, store := &as{}, newWire(&tokencache.MemoryStore{})
		store.on(during("swap born", readOnly)) // or the second would undo the first
		c := &tokencache.Coordinator{Refresher: server, Store: store, Realm: "r"}
		server.next(pairs("r0", "r1"), pairs("r0", "r1"))
		first := tokencache.NewToken(tokencache.TokenFields{Access: "first", Refresh: "r0"})
		second, err := c.Refresh(t.Context(), first)
		if err != nil {
			t.Fatal(err)
		}
		c.Refresh(t.Context(), second)
		caught(t, c, first, "first")
		caught(t, c, second, second.Access())
	})
}

func TestALongChainIsCaughtUpWithInSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		c := &tokencache.Coordinator{Refresher: server}
		grow(t, c, 40)
		cache := caught(t, c, alice, "alice-access-16")
		for _, want := range []string{"alice-access-32", "alice-access-40", "alice-access-40"} {
			err := cache.CatchUp(t.Context())
			is(t, want, cache.Token(), err)
		}
	})
}

// Nothing is known of who shows nothing.
func TestNobodyCatchesUp(t *testing.T) {
	server := &as{}
	c := &tokencache.Coordinator{Refresher: server}
	grow(t, c, 1)
	for name, cache := range map[string]*tokencache.Cache{
		"no Cache": nil, "no Coordinator": tokencache.New(nil, alice), "no Token": tokencache.New(c, tokencache.Token{}),
		"no refresh token": tokencache.New(c, tokencache.NewToken(tokencache.TokenFields{Access: "a"})),
	} {
		before := cache.Token()
		if err := cache.CatchUp(t.Context()); err != nil || !cache.Token().Same(before) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// B50: what this process knows nothing of costs no allocation, no key and no
// request to the Store.
func TestCatchingUpCostsNoAllocation(t *testing.T) {
	wire := newWire(&tokencache.MemoryStore{})
	c := &tokencache.Coordinator{Refresher: &as{}, Store: wire, Realm: "r"}
	grow(t, c, 1)
	wire.on(func(_ context.Context, op string, _ moment) error {
		t.Errorf("the Store was asked to %s", op)
		return nil
	})
	long := strings.Repeat("x", 1000)
	cache := tokencache.New(c, tokencache.NewToken(tokencache.TokenFields{Access: "a" + long, Refresh: "r" + long}))
	ctx := t.Context()
	if n := testing.AllocsPerRun(1000, func() { cache.CatchUp(ctx) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCatchUp(b *testing.B) {
	c := &tokencache.Coordinator{Refresher: &as{}}
	c.Refresh(b.Context(), alice)
	long := strings.Repeat("x", 1000)
	for name, shown := range map[string]tokencache.Token{
		"miss": tokencache.NewToken(tokencache.TokenFields{Access: "a" + long, Refresh: "r" + long}), "hit": alice,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				tokencache.New(c, shown).CatchUp(b.Context())
			}
		})
	}
}

// What the traces lose is late, and no more of it is lost than they say.
func TestTracesLoseTheOldestFirst(t *testing.T) {
	c := &tokencache.Coordinator{}
	user := func(n int) tokencache.Token { return generation("user", n) }
	const n = 200_000
	for i := range n {
		c.Trace(user(i))
	}
	for last, atLeast := range map[int]float64{1000: 1, 32_768: 0.99, 65_536: 0.85} {
		known := 0
		for i := range last {
			if c.Traced(user(n - 1 - i)) {
				known++
			}
		}
		if share := float64(known) / float64(last); share < atLeast {
			t.Errorf("of the last %d, %.4f are known", last, share)
		}
	}
	// The seed is another one each time, so that a bucket may by chance have
	// seen few: one in ten thousand keeps a trace for so long.
	old := 0
	for i := range 1000 {
		if c.Traced(user(i)) {
			old++
		}
	}
	if old > 10 {
		t.Errorf("of the first 1000, %d are still known", old)
	}
}

// A reader misses nothing while others write.
func TestATraceIsFoundWhileItMoves(t *testing.T) {
	c := &tokencache.Coordinator{}
	together(4, func(worker int) {
		for n := range 2000 {
			mine := generation(fmt.Sprint("user", worker), n)
			c.Trace(mine)
			for range 3 {
				if !c.Traced(mine) {
					t.Errorf("worker %d: %d was missed", worker, n)
				}
			}
		}
	})
}

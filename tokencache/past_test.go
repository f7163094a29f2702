package tokencache_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// stream is a Cache that was made when its session began, and is not used while
// others move the session n generations on, one every d. Grace is over then.
func stream(t *testing.T, c *tokencache.Coordinator, n int, d time.Duration) *tokencache.Cache {
	t.Helper()
	old := tokencache.New(c, ended(alice))
	for i := range n {
		now := ended(generation("alice", i))
		if _, err := tokencache.New(c, now).Refresh(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		time.Sleep(d)
	}
	time.Sleep(2 * time.Minute)
	return old
}

// B53, T-D15: the session has moved on behind a long stream.
func TestAStreamThatOutlivesGraceFindsItsSession(t *testing.T) {
	for name, shared := range map[string]bool{"in this process": false, "with a Store": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{lives: time.Hour}
				c := &tokencache.Coordinator{Refresher: server}
				if shared {
					c.Store, c.Realm = &tokencache.MemoryStore{}, "r"
				}
				old := stream(t, c, 2, time.Second)
				got, err := old.Refresh(t.Context(), old.Token())
				is(t, "alice-access-2", got, err)
				server.saw(t, 2)
				if old.Presented() {
					t.Error("it says that it presented")
				}
				// A thief's Cache is made later: what it shows is presented.
				thief := tokencache.New(c, ended(alice))
				_, err = thief.Refresh(t.Context(), thief.Token())
				because(t, reason.Refused, err)
				if n := server.presentations(); n != 3 || server.reused != 1 {
					t.Errorf("%d presentations, %d of them a reuse", n, server.reused)
				}
			})
		})
	}
}

// T-D15: nor may a thief's refresh share what a stream of the same moment is
// given, nor the stream the thief's refusal.
func TestAThiefDoesNotJoinAStream(t *testing.T) {
	for name, first := range map[string]int{"when the thief is first": 0, "when the stream is first": 1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{lives: time.Hour}
				wire := newWire(&tokencache.MemoryStore{})
				c := &tokencache.Coordinator{Refresher: server, Store: wire, Realm: "r"}
				old := stream(t, c, 2, time.Second)
				thief := tokencache.New(c, ended(alice))
				wire.on(slow(10 * time.Millisecond))
				server.next(after(time.Second, fails(invalidGrant())))
				together(2, func(i int) {
					time.Sleep(time.Duration((i+first)%2) * time.Millisecond)
					if i == 0 {
						_, err := thief.Refresh(t.Context(), thief.Token())
						because(t, reason.Refused, err)
						return
					}
					got, err := old.Refresh(t.Context(), old.Token())
					is(t, "alice-access-2", got, err)
				})
				if want := []string{"alice-refresh-0", "alice-refresh-1", "alice-refresh-0"}; !slices.Equal(server.presented, want) {
					t.Errorf("presented %v", server.presented)
				}
			})
		})
	}
}

// Only the Caches that were there before Grace was over see what was before.
func TestWhoSeesThePast(t *testing.T) {
	for name, row := range map[string]struct {
		made time.Duration // after the receipt
		sees bool
	}{
		"who came just before Grace was over": {time.Minute - time.Millisecond, true},
		"who came when it was":                {time.Minute, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{rotation: grace, lives: time.Hour}
				c := &tokencache.Coordinator{Refresher: server, Grace: time.Minute}
				grow(t, c, 2)
				time.Sleep(row.made)
				cache := tokencache.New(c, ended(alice))
				time.Sleep(time.Hour - time.Minute)
				_, err := cache.Refresh(t.Context(), cache.Token())
				if saw := server.presentations() == 2; saw != row.sees || err != nil {
					t.Errorf("it sees the past: %v (%v)", saw, err)
				}
			})
		})
	}
	t.Run("no one without a Cache", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			server := &as{rotation: grace, lives: time.Hour}
			c := &tokencache.Coordinator{Refresher: server}
			stream(t, c, 2, time.Second)
			c.Refresh(t.Context(), ended(alice))
			server.saw(t, 3)
		})
	})
}

// T-D15: the past is kept for Hold.
func TestHowLongThePastIsKept(t *testing.T) {
	for name, row := range map[string]struct {
		after         time.Duration
		presentations int
	}{
		"before Hold is over": {time.Hour - time.Second, 2},
		"then no longer":      {time.Hour, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{rotation: grace, lives: 2 * time.Hour}
				c := &tokencache.Coordinator{Refresher: server, Hold: time.Hour}
				old := tokencache.New(c, ended(alice))
				grow(t, c, 2)
				time.Sleep(row.after)
				old.Refresh(t.Context(), old.Token())
				server.saw(t, row.presentations)
			})
		})
	}
}

// B27: an hour of a session whose access tokens live five minutes.
func TestAStreamOfAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{lives: 5 * time.Minute}
		c := &tokencache.Coordinator{Refresher: server}
		old := stream(t, c, 12, 5*time.Minute)
		got, err := old.Refresh(t.Context(), old.Token())
		is(t, "alice-access-13", got, err) // the last one had died, too
		if !old.Presented() {
			t.Error("it does not say that it presented")
		}
		server.saw(t, 13)
		got, err = tokencache.New(c, ended(generation("alice", 12))).Refresh(t.Context(), ended(generation("alice", 12)))
		is(t, "alice-access-13", got, err)
		server.saw(t, 13)
	})
}

// B53, B27: a stream may be further behind than a browser in one call. It is
// never left halfway: a browser that was given a link that had been cut would
// be a thief at its next request.
func TestAStreamIsNeverLeftHalfway(t *testing.T) {
	for name, move := range map[string]func(*tokencache.Cache, context.Context) error{
		"by Refresh": func(c *tokencache.Cache, ctx context.Context) error {
			_, err := c.Refresh(ctx, c.Token())
			return err
		},
		"by CatchUp": (*tokencache.Cache).CatchUp,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{lives: 5 * time.Minute}
				wire := newWire(&tokencache.MemoryStore{})
				c := &tokencache.Coordinator{Refresher: server, Store: wire, Realm: "r"}
				old := stream(t, c, 40, 2*time.Minute)
				for n := 1; n < 40; n += 13 { // the Store fails there
					wire.on(during("load", nth(n, down)))
					if err := move(old, t.Context()); errors.Is(err, tokencache.ErrLoginRequired) {
						t.Error(err)
					}
					if now, changed := old.Changed(); changed {
						t.Errorf("a browser would be given %s", now.Refresh())
					}
				}
				wire.on(nil)
				err := move(old, t.Context())
				is(t, "alice-access-40", old.Token(), err)
				server.saw(t, 40)
			})
		})
	}
}

// B53: the newest link is delivered also if it cannot be exchanged now.
func TestAStreamWhoseServerFailsIsGivenTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{lives: time.Minute}
		c := &tokencache.Coordinator{Refresher: server}
		old := stream(t, c, 3, time.Minute)
		server.next(fails(unavailable()))
		_, err := old.Refresh(t.Context(), old.Token())
		because(t, reason.Unavailable, err)
		if now, _ := old.Changed(); now.Refresh() != "alice-refresh-3" {
			t.Errorf("a browser would be given %s", now.Refresh())
		}
		server.saw(t, 4)
	})
}

// B53: it need not refresh for that.
func TestAStreamCatchesUpWithThePast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		c := &tokencache.Coordinator{Refresher: server}
		old := stream(t, c, 3, time.Minute)
		caught(t, c, alice, alice.Access()) // it came later
		err := old.CatchUp(t.Context())
		is(t, "alice-access-3", old.Token(), err)
		if _, changed := old.Changed(); !changed {
			t.Error("nothing is delivered")
		}
		server.saw(t, 3)
	})
}

// B33: that an old token is refused again says nothing of the newest one.
func TestAThiefsRefusalDoesNotEndAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{lives: time.Hour}
		c := &tokencache.Coordinator{Refresher: server}
		old := stream(t, c, 2, time.Second)
		server.next(fails(invalidGrant())) // of a server that ends nothing
		_, err := c.Refresh(t.Context(), ended(alice))
		because(t, reason.Refused, err)
		got, err := old.Refresh(t.Context(), old.Token())
		is(t, "alice-access-2", got, err)
		server.saw(t, 3)
	})
}

// B31, T-E14: the past leads to the end of the session, where there is one.
func TestALogoutReachesAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		c := &tokencache.Coordinator{Refresher: server, Revoker: server}
		old := stream(t, c, 2, time.Second)
		c.Revoke(t.Context(), generation("alice", 2))
		because(t, reason.LoggedOut, old.CatchUp(t.Context()))
		_, err := old.Refresh(t.Context(), old.Token())
		because(t, reason.LoggedOut, err)
		server.saw(t, 2)
	})
}

// B28: the past is what costs least to lose.
func TestThePastIsEvictedBeforeWhatIsParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &tokencache.MemoryStore{MaxBytes: 1400}
		receipt := append(make([]byte, 8), parkedValue...)
		put := func(key string, value []byte) {
			if _, ok, err := m.Swap(t.Context(), key, "", value, time.Hour); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}
		put("parked", parkedValue)
		put("past parked", receipt)
		for _, key := range []string{"a", "b", "c", "d"} {
			put(key, parkedValue)
		}
		if e, _ := m.Load(t.Context(), "past parked"); e.Version != "" {
			t.Error("the past is still there")
		}
		if e, _ := m.Load(t.Context(), "parked"); e.Version == "" || m.Evicted() != 0 {
			t.Error("what is parked is not")
		}
	})
}

// parkedValue looks like a successor that its browser has not received.
var parkedValue = append([]byte{2, 'd'}, make([]byte, 40)...)

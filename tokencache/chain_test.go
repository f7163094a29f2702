package tokencache_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// grow presents n generations of Alice's tokens, one after the other.
func grow(t *testing.T, c *tokencache.Coordinator, n int) {
	t.Helper()
	for i := range n {
		if _, err := c.Refresh(t.Context(), generation("alice", i)); err != nil {
			t.Fatal(err)
		}
	}
	c.Wait(t.Context())
}

// B27
func TestABrowserThreeGenerationsBehindGetsTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		c := &tokencache.Coordinator{Refresher: server}
		grow(t, c, 3)
		for i := range 3 {
			got, err := c.Refresh(t.Context(), generation("alice", i))
			is(t, "alice-access-3", got, err)
		}
		server.saw(t, 3)
	})
}

// B27
func TestTheNewestLinkIsPresentedInTheSameCallIfItsAccessTokenHasDied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{lives: 30 * time.Second}
		c := &tokencache.Coordinator{Refresher: server}
		grow(t, c, 2)
		time.Sleep(30 * time.Second)
		got, err := c.Refresh(t.Context(), alice)
		is(t, "alice-access-3", got, err)
		server.saw(t, 3)
	})
}

// B27
func TestTwoThatShowDifferentLinksShareOnePresentation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{lives: 30 * time.Second, takes: time.Second}
		c := &tokencache.Coordinator{Refresher: server}
		grow(t, c, 2)
		time.Sleep(30 * time.Second)
		together(3, func(i int) {
			got, err := c.Refresh(t.Context(), generation("alice", i))
			is(t, "alice-access-3", got, err)
		})
		server.saw(t, 3)
	})
}

// B27
func TestAServerThatDoesNotRotate(t *testing.T) {
	one := func(access string) tokencache.Token {
		return tokencache.NewToken(tokencache.TokenFields{Access: access, Refresh: "alice-refresh"})
	}
	synctest.Test(t, func(t *testing.T) {
		server := &as{rotation: constant}
		c := &tokencache.Coordinator{Refresher: server}
		for _, row := range []struct {
			sentence      string
			spent, want   string
			presentations int
		}{
			{"the first is presented", "old", "alice-access-1", 1},
			{"who still has the first gets the second", "old", "alice-access-1", 1},
			{"the second is presented with the same refresh token", "alice-access-1", "alice-access-2", 2},
			{"who still has the first gets the third", "old", "alice-access-2", 2},
			{"and so does who has the second", "alice-access-1", "alice-access-2", 2},
		} {
			got, err := c.Refresh(t.Context(), one(row.spent))
			if err != nil || got.Access() != row.want || server.presentations() != row.presentations {
				t.Errorf("%s: %q, %v, %d presentations", row.sentence, got.Access(), err, server.presentations())
			}
		}
	})
}

// B27, B34: the last known access token is not lost with an exchange that fails.
func TestAFailureLeavesWhatAConstantRefreshTokenHasBroughtBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{rotation: constant, lives: time.Hour}
		c := &tokencache.Coordinator{Refresher: server}
		one := func(access string) tokencache.Token {
			return tokencache.NewToken(tokencache.TokenFields{Access: access, Refresh: "alice-refresh"})
		}
		c.Refresh(t.Context(), one("old"))
		for range 3 {
			server.next(fails(unavailable()))
			_, err := c.Refresh(t.Context(), one("alice-access-1"))
			because(t, reason.Unavailable, err)
			got, err := c.Refresh(t.Context(), one("old"))
			is(t, "alice-access-1", got, err)
			time.Sleep(10 * time.Second)
		}
		got, err := c.Refresh(t.Context(), one("alice-access-1"))
		is(t, "alice-access-2", got, err)
	})
}

// B27: two callers of one flight need not have spent the same access token.
func TestAFollowerWhoseTokenIsTheAnswerGetsTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{rotation: constant, takes: time.Second}
		wire := newWire(&tokencache.MemoryStore{})
		c := &tokencache.Coordinator{Refresher: server, Store: wire, Realm: "r"}
		one := func(access string) tokencache.Token {
			return tokencache.NewToken(tokencache.TokenFields{Access: access, Refresh: "alice-refresh"})
		}
		c.Refresh(t.Context(), one("old"))
		wire.on(slow(100 * time.Millisecond)) // the first flight is still reading when the second caller joins
		together(2, func(i int) {
			time.Sleep(time.Duration(i) * time.Millisecond)
			spent, want := "old", "alice-access-1"
			if i == 1 {
				spent, want = "alice-access-1", "alice-access-2"
			}
			got, err := c.Refresh(t.Context(), one(spent))
			is(t, want, got, err)
		})
		c.Wait(t.Context())
		server.saw(t, 2)
	})
}

// pairs answers each refresh token with the next of the list.
func pairs(refresh ...string) answer {
	return func(a *as, _ context.Context, spent tokencache.Token) (tokencache.Token, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		for i := range refresh {
			if refresh[i] == spent.Refresh() {
				return tokencache.NewToken(tokencache.TokenFields{
					Access: a.issue("x").Access(), Refresh: refresh[(i+1)%len(refresh)], Expiry: time.Now().Add(time.Minute),
				}), nil
			}
		}
		return tokencache.Token{}, invalidGrant()
	}
}

// B27
func TestRefreshTokensThatAreIssuedAgainMakeNoLoop(t *testing.T) {
	for name, ring := range map[string][]string{
		"in turns of two":   {"r0", "r1"},
		"in turns of three": {"r0", "r1", "r2"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{}
				c := &tokencache.Coordinator{Refresher: server}
				now := tokencache.NewToken(tokencache.TokenFields{Access: "first", Refresh: "r0"})
				for range 3 * len(ring) {
					server.next(pairs(ring...))
					next, err := c.Refresh(t.Context(), now)
					if err != nil {
						var e *tokencache.Error
						if !errors.As(err, &e) || e.Reason.Ends() {
							t.Fatal(err)
						}
						return // an end, and no proof of anything
					}
					now = next
					time.Sleep(time.Minute)
				}
				if n := server.presentations(); n != 3*len(ring) {
					t.Errorf("%d presentations", n)
				}
			})
		})
	}
}

// B27
func TestALongChainIsFollowedInSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		c := &tokencache.Coordinator{Refresher: server}
		grow(t, c, 40)
		cache, calls := tokencache.New(c, alice), 0
		for cache.Token().Access() != "alice-access-40" {
			if _, err := cache.Refresh(t.Context(), cache.Token()); err != nil || calls > 3 {
				t.Fatalf("call %d: %v, at %q", calls, err, cache.Token().Access())
			}
			calls++
		}
		server.saw(t, 40)
	})
}

// B27: both tokens were spent, since the Store did not take the note that one of
// them was issued again.
func TestARingOfSpentTokensIsNoLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, store := &as{}, newWire(&tokencache.MemoryStore{})
		store.on(func(_ context.Context, op string, when moment) error {
			if op == "swap born" && when == before {
				return errCut
			}
			return nil
		})
		c := &tokencache.Coordinator{Refresher: server, Store: store, Realm: "r"}
		server.next(pairs("r0", "r1"), pairs("r0", "r1"))
		first := tokencache.NewToken(tokencache.TokenFields{Access: "first", Refresh: "r0"})
		second, err := c.Refresh(t.Context(), first)
		if err != nil {
			t.Fatal(err)
		}
		// Both links lead to each other now, and time kills what they hold.
		if _, err := tokencache.New(c, second).Refresh(t.Context(), second); err != nil {
			because(t, reason.Store, err)
		}
		time.Sleep(time.Hour)
		loads := 0
		store.on(func(_ context.Context, op string, when moment) error {
			if (op == "load" || op == "swap held") && when == before {
				if loads++; loads > 10 {
					panic("a loop")
				}
			}
			return nil
		})
		_, err = c.Refresh(t.Context(), first)
		because(t, reason.Store, err)
	})
}

// B27: one call follows sixteen links and no more.
func TestHowFarOneCallFollowsAChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, store := &as{}, newWire(&tokencache.MemoryStore{})
		c := &tokencache.Coordinator{Refresher: server, Store: store, Realm: "r"}
		grow(t, c, 40)
		time.Sleep(time.Second) // until then what was exchanged here is not read again
		var loads atomic.Int32
		store.on(func(_ context.Context, op string, when moment) error {
			if op == "load" && when == before {
				loads.Add(1)
			}
			return nil
		})
		if _, err := c.Refresh(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
		if n := loads.Load(); n < 15 || n > 17 {
			t.Errorf("%d entries were read", n)
		}
	})
}

// B27: the 17th link is no reason to end a session, or to loop.
func TestAChainOfDeadLinksEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{lives: 30 * time.Second}
		c := &tokencache.Coordinator{Refresher: server}
		grow(t, c, 40)
		time.Sleep(30 * time.Second)
		cache := tokencache.New(c, alice)
		var err error
		for range 4 {
			if _, err = cache.Refresh(t.Context(), cache.Token()); err == nil {
				break
			}
			because(t, reason.Store, err)
		}
		is(t, "alice-access-41", cache.Token(), err)
		server.saw(t, 41)
	})
}

// T-D15: the successor waits for Hold to be received, and for Grace after that.
func TestHowLongASuccessorIsKept(t *testing.T) {
	for name, row := range map[string]struct {
		received      bool // the browser shows the successor
		failing       bool // and the first exchange of that fails
		wait          time.Duration
		presentations int // of the first refresh token
	}{
		"not received, for Hold":                {false, false, time.Hour - time.Second, 1},
		"not received, no longer than Hold":     {false, false, time.Hour, 2},
		"received, for Grace":                   {true, false, time.Minute - time.Second, 1},
		"received, no longer than Grace":        {true, false, time.Minute, 2},
		"received by one whose exchange failed": {true, true, time.Minute, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{rotation: grace, lives: time.Hour}
				c := &tokencache.Coordinator{Refresher: server, Hold: time.Hour, Grace: time.Minute}
				grow(t, c, 1)
				if row.failing {
					server.next(fails(unavailable()))
					c.Refresh(t.Context(), generation("alice", 1))
					time.Sleep(time.Second)
				}
				if row.received {
					c.Refresh(t.Context(), generation("alice", 1))
				}
				time.Sleep(row.wait)
				c.Refresh(t.Context(), ended(alice))
				n := 0
				for _, refresh := range server.presented {
					if refresh == alice.Refresh() {
						n++
					}
				}
				if n != row.presentations {
					t.Errorf("%d presentations, want %d", n, row.presentations)
				}
			})
		})
	}
}

// B27: a successor that was adopted has not been received.
func TestFollowingAChainIsNoReceipt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{lives: time.Minute}
		c := &tokencache.Coordinator{Refresher: server, Grace: time.Minute}
		grow(t, c, 1)
		time.Sleep(time.Minute)
		c.Refresh(t.Context(), alice) // leads the exchange of the second link
		time.Sleep(time.Hour)
		got, err := c.Refresh(t.Context(), alice)
		is(t, "alice-access-3", got, err)
		server.saw(t, 3)
	})
}

// An exchange may take longer than a successor is held.
func TestAShortHoldCostsNoSecondPresentation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{lives: 10 * time.Millisecond}
		c := &tokencache.Coordinator{Refresher: server, Hold: 100 * time.Millisecond}
		grow(t, c, 1)
		time.Sleep(10 * time.Millisecond)
		server.takes = 5 * time.Second
		together(2, func(i int) { // both present the second link's refresh token
			time.Sleep(time.Duration(i) * time.Second)
			c.Refresh(t.Context(), ended(generation("alice", i)))
		})
		server.saw(t, 2)
	})
}

// Invariant 1: between the publication of a link and the note that it was issued,
// it may have been exchanged itself.
func TestABirthThatIsNotedLateHidesNoSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		a, b, wire := replicas(server)
		wire.on(during("swap born", func(context.Context, string, moment) error {
			wire.on(nil)
			got, err := b.Refresh(t.Context(), generation("alice", 1))
			is(t, "alice-access-2", got, err)
			return nil
		}))
		a.Refresh(t.Context(), alice)
		a.Wait(t.Context())
		got, err := a.Refresh(t.Context(), generation("alice", 1))
		is(t, "alice-access-2", got, err)
		server.saw(t, 2)
	})
}

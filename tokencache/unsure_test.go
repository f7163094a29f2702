package tokencache_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/event"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// What the simulation has found of who cannot know all (internal/sim).

// B33: whoever refreshes without the Store cannot know who else has.
func TestARefusalOfWhoIsAloneIsNoProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		server.end("alice")
		a, _, wire := replicas(server)
		a.AloneWhenStoreFails = true
		wire.on(down)
		_, err := a.Refresh(t.Context(), alice)
		because(t, reason.Ambiguous, err)
	})
}

// B37: the session was ended at a link whose successor was never stored. Whoever
// comes from there is told why, not that its token was refused.
func TestARefusalIsExplainedByTheWayThatLedToIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		a, b, wire := replicas(server)
		a.Observe = func(_ context.Context, e event.Event) {
			if e.Kind == event.Ended {
				t.Errorf("told once more that the session has ended, for %q", e.Reason)
			}
		}
		wire.on(during("swap done", func(context.Context, string, moment) error { return errCut }))
		first, err := a.Refresh(t.Context(), alice)
		is(t, "alice-access-1", first, err)
		if err := b.Revoke(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
		server.end("alice")
		reads := 0
		wire.on(func(_ context.Context, op string, when moment) error {
			if op != "load" || when == behind {
				return nil
			}
			if reads++; reads == 1 { // or it would hear of it at once
				return errCut
			}
			return nil
		})
		_, err = a.Refresh(t.Context(), tokencache.NewToken(tokencache.TokenFields{Access: first.Access(), Refresh: alice.Refresh()}))
		because(t, reason.LoggedOut, err)
	})
}

// B31, T-D6: the process stands still while it looks whether the session has ended
// meanwhile.
func TestWhoStoodStillWhileItLookedLooksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		a, b, wire := replicas(server)
		loads := nth(1, func(ctx context.Context, _ string, when moment) error {
			if when == before {
				time.Sleep(time.Minute)
				return ctx.Err()
			}
			return nil
		})
		wire.on(func(ctx context.Context, op string, when moment) error {
			switch op {
			case "swap done":
				if when == before {
					wire.on(during("load", loads))
					return errCut
				}
			}
			return nil
		})
		told := make(chan error)
		go func() {
			_, err := a.Refresh(t.Context(), alice)
			told <- err
		}()
		time.Sleep(time.Second)
		if err := b.Revoke(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(50*time.Second, func() { wire.on(nil) })
		because(t, reason.LoggedOut, <-told)
	})
}

// B48: at a server that does not rotate, what the Store did not take has ended, too.
// The Store is told of it before all else, and nobody waits for the one who held the
// entry: that was this process.
func TestWhatTheStoreDidNotTakeIsBroughtThoughItHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{rotation: constant, lives: time.Hour}
		a, b, wire := replicas(server)
		server.next(func(as *as, ctx context.Context, spent tokencache.Token) (tokencache.Token, error) {
			wire.on(down)
			return as.exchange(ctx, spent)
		})
		first, err := a.Refresh(t.Context(), alice)
		is(t, "alice-access-1", first, err)
		wire.on(nil)
		began := time.Now()
		second, err := a.Refresh(t.Context(), first)
		is(t, "alice-access-2", second, err)
		if took := time.Since(began); took > 0 {
			t.Errorf("it took %v", took)
		}
		got, err := b.Refresh(t.Context(), first)
		is(t, "alice-access-2", got, err)
		server.saw2(t, 2, constant)
	})
}

// B46: the entry was taken, the process stood still, and it cannot be written again.
// How long it will still be ours counts from the write that made it so.
func TestAnEntryThatCannotBeWrittenAgainIsAsOldAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		a, _, wire := replicas(server)
		writes := 0
		wire.on(during("swap held", func(ctx context.Context, _ string, when moment) error {
			switch {
			case when == before:
				if writes++; writes > 1 {
					return errCut
				}
				return nil
			case writes == 1:
				time.Sleep(1600 * time.Millisecond) // more than half a lease
			}
			return ctx.Err()
		}))
		_, err := a.Refresh(t.Context(), alice)
		because(t, reason.Store, err)
		server.saw(t, 0)
	})
}

// B36: a failure for one resource does not overwrite somebody else's word that the
// token may have been spent without an answer: a refusal after it proves nothing.
func TestAFailureForgetsNoUnansweredPresentation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{lives: time.Hour}
		a, b, wire := replicas(server)
		server.next(after(8*time.Second, func(as *as, ctx context.Context, spent tokencache.Token) (tokencache.Token, error) {
			wire.on(nil) // and no renewal comes between
			return as.exchange(ctx, spent)
		}), func(as *as, ctx context.Context, spent tokencache.Token) (tokencache.Token, error) {
			as.exchange(ctx, spent)
			return tokencache.Token{}, &tokencache.Error{Reason: reason.Network}
		})
		wire.on(withoutRenewal())
		go func() {
			time.Sleep(time.Millisecond)
			_, err := b.Refresh(t.Context(), alice)
			because(t, reason.Network, err)
		}()
		if _, err := a.Refresh(t.Context(), alice.For(files)); err == nil {
			t.Error("it was refused")
		}
		time.Sleep(time.Minute)
		_, err := b.Refresh(t.Context(), alice)
		because(t, reason.Ambiguous, err)
	})
}

// belated is a Store whose second write of a held entry arrives with the third.
type belated struct {
	*tokencache.MemoryStore
	writes int
	late   func()
}

func (s *belated) Swap(ctx context.Context, key, old string, value []byte, ttl time.Duration) (tokencache.Entry, bool, error) {
	write := func() (tokencache.Entry, bool, error) {
		return s.MemoryStore.Swap(context.WithoutCancel(ctx), key, old, value, ttl)
	}
	if len(value) < 2 || states[value[1]] != " held" {
		return write()
	}
	switch s.writes++; s.writes {
	case 1:
		defer time.Sleep(2 * time.Second) // longer than half a lease
	case 2:
		s.late = func() { write() }
		<-ctx.Done()
		return tokencache.Entry{}, false, ctx.Err()
	case 3:
		s.late()
	}
	return write()
}

// B46: whoever finds that the entry is held by a late write of its own does not wait
// for itself, and does not take itself for dead.
func TestAWriteOfOursThatComesLateIsNobodyElses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		c := &tokencache.Coordinator{Refresher: server, Store: &belated{MemoryStore: &tokencache.MemoryStore{}}, Realm: "r"}
		began := time.Now()
		_, err := c.Refresh(t.Context(), alice)
		because(t, reason.Store, err) // it takes too long
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("told after %v", took)
		}
		time.Sleep(time.Second)
		server.next(fails(invalidGrant()))
		_, err = c.Refresh(t.Context(), alice)
		because(t, reason.Refused, err) // and not ambiguous
		server.saw(t, 1)
	})
}

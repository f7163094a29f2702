package tokencache_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// What the model in docs/model has found is kept here.

// B33, B47: a holder that was cut off, and whose refusal comes with the network,
// has not noticed that somebody else presented the token meanwhile, either.
func TestARefusalIsNoProofForWhoHasLostTheEntryUnnoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		a, b, wire := replicas(server)
		server.next(func(as *as, _ context.Context, _ tokencache.Token) (tokencache.Token, error) {
			wire.on(down)
			time.Sleep(5 * time.Second)
			wire.on(nil) // no renewal comes between this and the refusal
			return tokencache.Token{}, invalidGrant()
		}, func(as *as, ctx context.Context, spent tokencache.Token) (tokencache.Token, error) {
			as.exchange(ctx, spent)
			return tokencache.Token{}, &tokencache.Error{Reason: reason.Network}
		})
		go func() {
			time.Sleep(time.Millisecond)
			_, err := b.Refresh(t.Context(), alice)
			because(t, reason.Network, err)
		}()
		_, err := a.Refresh(t.Context(), alice)
		because(t, reason.Ambiguous, err)
		b.Wait(t.Context())
	})
}

// B33, T-D12: the Store has lost the note of the exchange in flight.
func TestARefusalIsNoProofIfTheEntryHasVanished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		a, _, wire := replicas(server)
		server.next(func(*as, context.Context, tokencache.Token) (tokencache.Token, error) {
			wire.mu.Lock()
			wire.Store = &tokencache.MemoryStore{}
			wire.mu.Unlock()
			return tokencache.Token{}, invalidGrant()
		})
		_, err := a.Refresh(t.Context(), alice)
		because(t, reason.Ambiguous, err)
	})
}

// B37: a failure that will pass does not overwrite the end of a session that
// somebody else has proved.
func TestATransientFailureOverwritesNoEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		server.end("alice")
		a, b, wire := replicas(server)
		server.next(fails(unavailable()))
		a.Lease = time.Minute // so that it has the time
		wire.on(during("swap failed", func(_ context.Context, _ string, when moment) error {
			if when == before {
				time.Sleep(25 * time.Second) // within half a lease, or nothing is written
			}
			return nil
		}))
		go a.Refresh(t.Context(), alice)
		synctest.Wait()
		_, err := b.Refresh(t.Context(), alice) // takes over, and is refused
		because(t, reason.Ambiguous, err)
		a.Wait(t.Context())
		time.Sleep(time.Minute)
		_, err = b.Refresh(t.Context(), alice)
		because(t, reason.Ambiguous, err)
		if n := server.presentations(); n != 2 {
			t.Errorf("%d presentations", n)
		}
	})
}

// B46: nor the entry of whoever has taken it over meanwhile. A third replica waits
// for that one.
func TestATransientFailureOverwritesNoOtherHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		server.next(fails(unavailable()), answers(8*time.Second))
		a, b, wire := replicas(server)
		a.Lease = time.Minute // so that it has the time
		wire.on(during("swap failed", func(_ context.Context, _ string, when moment) error {
			if when == before {
				time.Sleep(5 * time.Second)
			}
			return nil
		}))
		go a.Refresh(t.Context(), alice)
		synctest.Wait()
		go b.Refresh(t.Context(), alice) // takes over
		time.Sleep(6 * time.Second)
		third := &tokencache.Coordinator{Refresher: server, Store: wire.Store, Realm: b.Realm}
		got, err := third.Refresh(t.Context(), alice)
		is(t, "alice-access-1", got, err)
		a.Wait(t.Context())
		b.Wait(t.Context())
		if n := server.presentations(); n != 2 {
			t.Errorf("%d presentations", n)
		}
	})
}

// B31, T-D6: the exchange in flight at a logout stands still for as long as one
// likes.
func TestALogoutOutlivesAnExchangeThatStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		a, b, wire := replicas(server)
		b.Revoker = server
		awake := make(chan struct{})
		wire.on(during("swap done", until(awake)))
		told := make(chan error)
		go func() {
			_, err := a.Refresh(t.Context(), alice)
			told <- err
		}()
		synctest.Wait()
		for range 2 { // somebody clicks twice
			if err := b.Revoke(t.Context(), alice); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Hour)
		wire.on(nil)
		close(awake)
		because(t, reason.LoggedOut, <-told)
		_, err := b.Refresh(t.Context(), generation("alice", 0))
		because(t, reason.LoggedOut, err)
	})
}

// B46, B48: a Redis that takes no writes lets nobody renew. Whoever has seen that
// takes nobody for dead.
func TestNobodyIsTakenForDeadWhileWritesFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{takes: 8 * time.Second}
		a, b, wire := replicas(server)
		other := newWire(wire.Store)
		b.Store = other
		go a.Refresh(t.Context(), alice)
		synctest.Wait()
		wire.on(readOnly)
		other.on(readOnly)
		time.AfterFunc(2900*time.Millisecond, func() { other.on(nil) }) // just before it would be taken for dead
		time.AfterFunc(3050*time.Millisecond, func() { wire.on(nil) })
		_, err := b.Refresh(t.Context(), alice)
		because(t, reason.Store, err)
		got, err := b.Refresh(t.Context(), alice)
		is(t, "alice-access-1", got, err)
		a.Wait(t.Context())
		server.saw(t, 1)
	})
}

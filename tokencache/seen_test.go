package tokencache_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
)

// B31, T-E14: a logout in this process is heard of at once, whichever generation
// it was shown.
func TestALogoutOfTheNewestEndsTheOlderOnesHere(t *testing.T) {
	for _, shared := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			server := &as{lives: time.Hour}
			c := &tokencache.Coordinator{Refresher: server, Revoker: server, Realm: "r"}
			if shared {
				c.Store = &tokencache.MemoryStore{}
			}
			got, err := c.Refresh(t.Context(), alice) // R0 -> S1
			is(t, "alice-access-1", got, err)
			if err := c.Revoke(t.Context(), got); err != nil { // logout shows S1
				t.Fatal(err)
			}
			got, err = c.Refresh(t.Context(), alice) // a late tab, R0
			if !errors.Is(err, tokencache.ErrLoginRequired) {
				t.Errorf("shared %v: after the logout returned, the same process serves %q, %v", shared, got.Access(), err)
			}
			cache := tokencache.New(c, alice)
			cache.Refresh(t.Context(), alice)
			if n, ch := cache.Changed(); ch {
				t.Errorf("shared %v: Changed gives the cookie %q (CatchUp: %v)", shared, n.Refresh(), cache.CatchUp(t.Context()))
			}
		})
	}
}

// B31: a leader that has stored, and has not yet noted that, when the logout comes.
func TestALogoutBeforeALeaderHasNotedItsSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{lives: time.Hour}
		a, _, wire := replicas(server)
		a.Revoker = server
		awake := make(chan struct{})
		wire.on(during("swap done", func(_ context.Context, _ string, when moment) error {
			if when == behind {
				<-awake
			}
			return nil
		}))
		go a.Refresh(t.Context(), alice)
		synctest.Wait()
		if err := a.Revoke(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
		close(awake)
		a.Wait(t.Context())
		got, err := a.Refresh(t.Context(), alice) // a new call, after everything
		if !errors.Is(err, tokencache.ErrLoginRequired) {
			t.Errorf("served %q, %v after a logout of the same token in the same process", got.Access(), err)
		}
	})
}

// B55: what was just seen may have been replaced since.
func TestWhoComesLateGetsTheNewest(t *testing.T) {
	for _, shared := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			server := &as{lives: time.Hour}
			c := &tokencache.Coordinator{Refresher: server, Realm: "r"}
			if shared {
				c.Store = &tokencache.MemoryStore{}
			}
			s1, err := c.Refresh(t.Context(), alice) // R0 -> S1
			is(t, "alice-access-1", s1, err)
			s2, err := c.Refresh(t.Context(), s1) // the API rejected S1: -> S2
			is(t, "alice-access-2", s2, err)
			got, err := c.Refresh(t.Context(), alice) // a late tab with R0
			is(t, "alice-access-2", got, err)
		})
	}
}

// B46: one command that hangs, as on a connection that a firewall has forgotten,
// does not cost the lease.
func TestAWriteThatHangsCostsNoLease(t *testing.T) {
	for name, row := range map[string]struct {
		op    string
		nth   int
		takes time.Duration
	}{
		"a renewal":       {"swap held", 2, 9 * time.Second},
		"the publication": {"swap done", 1, 900 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{}
				a, b, wire := replicas(server)
				server.next(answers(row.takes))
				n := 0
				wire.on(during(row.op, func(ctx context.Context, op string, when moment) error {
					if when == before {
						if n++; n == row.nth { // this one, and no other
							return hung(ctx, op, when)
						}
					}
					return nil
				}))
				go a.Refresh(t.Context(), alice)
				synctest.Wait()
				got, err := b.Refresh(t.Context(), alice)
				is(t, "alice-access-1", got, err)
				a.Wait(t.Context())
				server.saw(t, 1)
			})
		})
	}
}

// B31: a logout ends what the Store has, too, if this process has kept another
// successor.
func TestALogoutEndsBothSuccessors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{lives: time.Hour, rotation: grace}
		a, b, wire := replicas(server)
		a.Timeout = 2 * time.Second
		server.next(func(as *as, ctx context.Context, spent tokencache.Token) (tokencache.Token, error) {
			wire.on(down)
			return as.exchange(ctx, spent)
		})
		got, err := a.Refresh(t.Context(), alice) // kept: alice-1
		is(t, "alice-access-1", got, err)
		other, err := b.Refresh(t.Context(), alice) // steals: alice-2 in the Store
		is(t, "alice-access-2", other, err)
		wire.on(nil)
		a.Revoke(t.Context(), alice) // no Revoker
		time.Sleep(time.Minute)
		if got, err := b.Refresh(t.Context(), other); err == nil {
			t.Errorf("after the logout of alice the Store's own chain goes on: %q", got.Access())
		}
	})
}

package tokencache_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

func TestARevokedSessionIsOverForEveryGeneration(t *testing.T) {
	for name, shown := range map[string]int{"whoever shows the newest": 3, "whoever shows the first": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{}
				c := &tokencache.Coordinator{Refresher: server, Revoker: server}
				grow(t, c, 3)
				if err := c.Revoke(t.Context(), generation("alice", shown)); err != nil {
					t.Fatal(err)
				}
				for i := range 4 {
					_, err := c.Refresh(t.Context(), generation("alice", i))
					because(t, reason.LoggedOut, err)
				}
				server.saw(t, 3)
				if !slices.Equal(server.revoked, []string{"alice-refresh-3"}) {
					t.Errorf("revoked %v", server.revoked)
				}
			})
		})
	}
}

// B31, T-D6
func TestALogoutDuringARefreshWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{takes: time.Second}
		c := &tokencache.Coordinator{Refresher: server, Revoker: server}
		go func() {
			time.Sleep(500 * time.Millisecond)
			if err := c.Revoke(t.Context(), alice); err != nil {
				t.Error(err)
			}
		}()
		// The server answers before it hears of the logout.
		server.next(func(*as, context.Context, tokencache.Token) (tokencache.Token, error) {
			return generation("alice", 1), nil
		})
		together(10, func(int) {
			cache := tokencache.New(c, alice)
			_, err := cache.Refresh(t.Context(), alice)
			because(t, reason.LoggedOut, err)
			if _, changed := cache.Changed(); changed {
				t.Error("a cookie of it would be set")
			}
		})
		c.Wait(t.Context())
		if !slices.Equal(server.revoked, []string{"alice-refresh-0", "alice-refresh-1"}) {
			t.Errorf("revoked %v", server.revoked)
		}
		_, err := c.Refresh(t.Context(), alice)
		because(t, reason.LoggedOut, err)
		server.saw(t, 1)
	})
}

// B31
func TestALogoutWinsAtEveryStepOfAnExchange(t *testing.T) {
	for _, step := range []string{"swap held", "swap done", "swap born"} {
		for when, name := range map[moment]string{before: "before ", behind: "behind "} {
			if name+step == "before swap held" {
				continue // then there is no exchange
			}
			t.Run(name+step, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server, store := &as{}, &tokencache.MemoryStore{}
					wire := newWire(store)
					c := &tokencache.Coordinator{Refresher: server, Revoker: server, Store: wire, Realm: "r"}
					other := &tokencache.Coordinator{Refresher: server, Revoker: server, Store: store, Realm: "r"}
					wire.on(during(step, func(_ context.Context, _ string, now moment) error {
						if now != when {
							return nil
						}
						wire.on(nil)
						return other.Revoke(t.Context(), alice)
					}))
					_, err := c.Refresh(t.Context(), alice)
					if step == "swap born" || step == "swap done" && when == behind {
						is(t, "alice-access-1", generation("alice", 1), err) // it was stored before the logout
					} else if !errors.Is(err, tokencache.ErrLoginRequired) {
						t.Errorf("the waiter was told %v", err)
					}
					c.Wait(t.Context())
					if step != "swap held" && !slices.Contains(server.revoked, "alice-refresh-1") {
						t.Errorf("revoked only %v", server.revoked)
					}
					time.Sleep(time.Second) // until then a process rests on what it has just seen
					for i := range 2 {
						if _, err := c.Refresh(t.Context(), generation("alice", i)); !errors.Is(err, tokencache.ErrLoginRequired) {
							t.Errorf("generation %d afterwards: %v", i, err)
						}
					}
				})
			})
		}
	}
}

// B30
func TestASignInDuringARefreshIsNotTouchedByIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{takes: time.Second}
		c := &tokencache.Coordinator{Refresher: server}
		old := tokencache.New(c, alice)
		go old.Refresh(t.Context(), alice)
		synctest.Wait()
		c.Revoke(t.Context(), alice) // what SignIn does with what the request showed
		got, err := tokencache.New(c, bob).Refresh(t.Context(), bob)
		is(t, "bob-access-1", got, err)
		c.Wait(t.Context())
		if _, changed := old.Changed(); changed {
			t.Error("the late result would be written")
		}
		_, err = c.Refresh(t.Context(), alice)
		because(t, reason.LoggedOut, err)
	})
}

// T-K6: the session is over here although the server does not confirm it.
func TestARevokerThatFailsKeepsNobodySignedIn(t *testing.T) {
	for name, row := range map[string]struct {
		how  revoker
		want reason.Reason
	}{
		"an error":    {func(context.Context, tokencache.Token) error { return unavailable() }, reason.Unavailable},
		"a quotation": {func(_ context.Context, t tokencache.Token) error { return errors.New(t.Refresh()) }, reason.Unrecognised},
		"a panic":     {func(_ context.Context, t tokencache.Token) error { panic(t.Refresh()) }, reason.Panicked},
		"a hang":      {func(ctx context.Context, _ tokencache.Token) error { <-ctx.Done(); return ctx.Err() }, reason.Timeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{}
				c := &tokencache.Coordinator{Refresher: server, Revoker: row.how}
				err := c.Revoke(t.Context(), alice)
				because(t, row.want, err)
				if strings.Contains(err.Error(), alice.Refresh()) {
					t.Error("the error quotes the token")
				}
				_, err = c.Refresh(t.Context(), alice)
				because(t, reason.LoggedOut, err)
				server.saw(t, 0)
			})
		})
	}
}

type revoker func(context.Context, tokencache.Token) error

func (f revoker) Revoke(ctx context.Context, t tokencache.Token) error { return f(ctx, t) }

func TestARevocationOutlivesItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		c := &tokencache.Coordinator{Refresher: server, Revoker: revoker(func(ctx context.Context, tok tokencache.Token) error {
			time.Sleep(time.Second)
			return server.Revoke(ctx, tok)
		})}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := c.Revoke(ctx, alice); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		c.Wait(t.Context())
		if len(server.revoked) != 1 {
			t.Error("it did not")
		}
	})
}

func TestALogoutThatTheStoreInterruptedCanBeRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		wire := newWire(&tokencache.MemoryStore{})
		c := &tokencache.Coordinator{Refresher: server, Store: wire, Realm: "r"}
		grow(t, c, 2)
		wire.on(during("swap over", nth(2, readOnly))) // the first link is marked, the second is not
		because(t, reason.Store, c.Revoke(t.Context(), alice))
		wire.on(nil)
		if err := c.Revoke(t.Context(), alice); err != nil {
			t.Error(err)
		}
		for i := range 3 {
			_, err := c.Refresh(t.Context(), generation("alice", i))
			because(t, reason.LoggedOut, err)
		}
	})
}

func TestALogoutSurvivesLostAnswersOfTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		wire := newWire(&tokencache.MemoryStore{})
		c := &tokencache.Coordinator{Refresher: server, Revoker: server, Store: wire, Realm: "r"}
		grow(t, c, 2)
		wire.on(mute)
		if err := c.Revoke(t.Context(), alice); err != nil {
			t.Error(err)
		}
		wire.on(nil)
		for i := range 3 {
			_, err := c.Refresh(t.Context(), generation("alice", i))
			because(t, reason.LoggedOut, err)
		}
		if !slices.Equal(server.revoked, []string{"alice-refresh-2"}) {
			t.Errorf("revoked %v", server.revoked)
		}
	})
}

func TestNothingIsRevokedForNobody(t *testing.T) {
	server := &as{}
	c := &tokencache.Coordinator{Refresher: server, Revoker: server}
	if err := c.Revoke(t.Context(), tokencache.Token{}); err != nil || len(server.revoked) != 0 {
		t.Errorf("%v, revoked %v", err, server.revoked)
	}
}

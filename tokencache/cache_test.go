package tokencache_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// lasting returns t with an access token that was issued now and ends after d.
func lasting(t tokencache.Token, d time.Duration) tokencache.Token {
	return tokencache.NewToken(tokencache.TokenFields{
		Access: t.Access(), Refresh: t.Refresh(), Issued: time.Now(), Expiry: time.Now().Add(d),
	})
}

func TestANilCacheIsEmpty(t *testing.T) {
	cache := tokencache.FromContext(t.Context())
	if cache != nil {
		t.Fatal("a Cache in an empty context")
	}
	fresh, err := cache.Fresh(t.Context())
	if token, changed := cache.Changed(); changed || !token.IsZero() || !cache.Token().IsZero() || !fresh.IsZero() || err != nil || cache.Err() != nil {
		t.Error("it is not")
	}
	if _, err := cache.Refresh(t.Context(), alice); !errors.Is(err, tokencache.ErrNoRefreshToken) {
		t.Error(err)
	}
	cache.Rejected(alice)
	if tokencache.FromContext(tokencache.NewContext(t.Context(), nil)) != nil {
		t.Error("a nil Cache turned into another")
	}
}

// B14, B15
func TestWhatWasReplacedAlreadyIsReturnedWithoutIO(t *testing.T) {
	server := &as{}
	wire := newWire(&tokencache.MemoryStore{})
	cache := tokencache.New(&tokencache.Coordinator{Refresher: server, Store: wire, Realm: "r"}, alice)
	got, err := cache.Refresh(t.Context(), alice)
	is(t, "alice-access-1", got, err)
	wire.on(down)
	got, err = cache.Refresh(t.Context(), alice)
	is(t, "alice-access-1", got, err)
	if newest, changed := cache.Changed(); !changed || newest.Refresh() != "alice-refresh-1" {
		t.Errorf("changed is %v, to %q", changed, newest.Refresh())
	}
	server.saw(t, 1)
}

// T-D7: what is late does not win.
func TestALateAnswerReplacesNothingNewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		wire := newWire(&tokencache.MemoryStore{})
		c := &tokencache.Coordinator{Refresher: server, Store: wire, Realm: "r"}
		cache := tokencache.New(c, alice)
		server.next(after(time.Second, (*as).exchange))
		together(2, func(i int) {
			if i == 0 {
				cache.Refresh(t.Context(), alice)
				return
			}
			time.Sleep(1500 * time.Millisecond)
			cache.Refresh(t.Context(), cache.Token())
		})
		if got := cache.Token().Access(); got != "alice-access-2" {
			t.Errorf("the Cache holds %q", got)
		}
		cache.Refresh(t.Context(), alice)
		if got := cache.Token().Access(); got != "alice-access-2" {
			t.Errorf("the Cache fell back to %q", got)
		}
		server.saw(t, 2)
	})
}

// B16
func TestTheSameAccessTokenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, refresh := range map[string]string{"with a new refresh token": "alice-refresh-new", "with the old one": ""} {
			server := &as{}
			for range 100 {
				server.next(func(*as, context.Context, tokencache.Token) (tokencache.Token, error) {
					return tokencache.NewToken(tokencache.TokenFields{Access: alice.Access(), Refresh: refresh}), nil
				})
			}
			c := &tokencache.Coordinator{Refresher: server}
			got, err := tokencache.New(c, alice).Refresh(t.Context(), alice)
			is(t, alice.Access(), got, err)
			for range 20 { // their 401s arrive later
				_, err := tokencache.New(c, alice).Refresh(t.Context(), alice)
				because(t, reason.Rejected, err)
			}
			if n := server.presentations(); n != 1 {
				t.Errorf("%s: %d presentations within the cooldown", name, n)
			}
			time.Sleep(time.Second)
			tokencache.New(c, alice).Refresh(t.Context(), alice)
			if n := server.presentations(); n != 2 {
				t.Errorf("%s: %d presentations after the cooldown", name, n)
			}
		}
	})
}

// B17
func TestAnAPIThatRejectsEveryToken(t *testing.T) {
	for name, takes := range map[string]time.Duration{"at once": 0, "slowly": 1500 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{}
				c := &tokencache.Coordinator{Refresher: server, Cooldown: time.Second}
				request := func(shown tokencache.Token) tokencache.Token {
					cache := tokencache.New(c, shown)
					time.Sleep(takes) // the first 401
					if next, err := cache.Refresh(t.Context(), shown); err == nil {
						time.Sleep(takes) // the second one
						cache.Rejected(next)
					}
					return cache.Token()
				}
				now := request(alice)
				for range 20 {
					together(5, func(int) {
						cache := tokencache.New(c, now)
						_, err := cache.Refresh(t.Context(), now)
						because(t, reason.Rejected, err)
						if !errors.Is(cache.Err(), err) {
							t.Errorf("Err is %v", cache.Err())
						}
					})
				}
				server.saw(t, 1)
				time.Sleep(time.Second)
				if next := request(now); next.Access() != "alice-access-2" {
					t.Errorf("after the cooldown: %q", next.Access())
				}
			})
		})
	}
}

// B77
func TestARequestWaitsForTheTokenThatReplacesADoomedOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{takes: time.Second}
		c := &tokencache.Coordinator{Refresher: server}
		now := lasting(alice, time.Hour)
		go tokencache.New(c, now).Refresh(t.Context(), now) // it was rejected
		synctest.Wait()
		began := time.Now()
		got, err := tokencache.New(c, now).Fresh(t.Context())
		is(t, "alice-access-1", got, err)
		if took := time.Since(began); took != time.Second {
			t.Errorf("waited for %v", took)
		}
		got, err = tokencache.New(c, lasting(bob, time.Hour)).Fresh(t.Context()) // Bob has no part in it
		is(t, bob.Access(), got, err)
		server.saw(t, 1)
	})
}

// B77, B34: if that fails, the API may still take the old one.
func TestADoomedTokenIsSentWhenItsExchangeFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{takes: time.Second}
		server.next(fails(unavailable()))
		c := &tokencache.Coordinator{Refresher: server}
		now := lasting(alice, time.Hour)
		go tokencache.New(c, now).Refresh(t.Context(), now)
		synctest.Wait()
		got, err := tokencache.New(c, now).Fresh(t.Context())
		is(t, alice.Access(), got, err)
		server.saw(t, 1)
	})
}

// B21
func TestARequestThatWaitsForADoomedTokenLeavesWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &tokencache.Coordinator{Refresher: &as{takes: time.Second}}
		now := lasting(alice, time.Hour)
		go tokencache.New(c, now).Refresh(t.Context(), now)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		cache := tokencache.New(c, now)
		if _, err := cache.Fresh(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if cache.Err() != nil {
			t.Errorf("a cancellation is remembered: %v", cache.Err())
		}
		c.Wait(t.Context())
	})
}

// T-D10, T-D11: two users share one Coordinator, and nothing else.
func TestUsersDoNotMeet(t *testing.T) {
	server := &as{lives: time.Hour}
	c := &tokencache.Coordinator{Refresher: server}
	together(100, func(i int) {
		user := fmt.Sprint("user", i%10)
		cache := tokencache.New(c, generation(user, 0))
		for n := range 20 {
			got, err := cache.Refresh(t.Context(), generation(user, n))
			if err != nil {
				if errors.Is(err, tokencache.ErrLoginRequired) {
					t.Errorf("%s: %v", user, err)
				}
				return
			}
			if userOf(got) != user {
				t.Errorf("%s was given a token of %s", user, userOf(got))
			}
		}
	})
}

// B81
func TestACacheWithoutARefreshToken(t *testing.T) {
	server := &as{}
	c := &tokencache.Coordinator{Refresher: server}
	shown := tokencache.NewToken(tokencache.TokenFields{Access: "a", Issued: time.Now().Add(-time.Hour), Expiry: time.Now().Add(-time.Second)})
	cache := tokencache.New(c, shown)
	got, err := cache.Fresh(t.Context())
	is(t, "a", got, err)
	if _, err := cache.Refresh(t.Context(), shown); !errors.Is(err, tokencache.ErrNoRefreshToken) {
		t.Error(err)
	}
	if cache.Token().Access() != "a" {
		t.Error("what was there is lost")
	}
	server.saw(t, 0)
}

// A Token of somebody else is never used, nor its successor.
func TestACacheRefreshesOnlyItsOwn(t *testing.T) {
	server := &as{}
	c := &tokencache.Coordinator{Refresher: server}
	cache := tokencache.New(c, ended(alice))
	got, err := cache.Refresh(t.Context(), bob)
	is(t, "alice-access-1", got, err)
	if len(server.presented) != 1 || server.presented[0] != alice.Refresh() {
		t.Errorf("presented %v", server.presented)
	}
}

// B55: a late answer never replaces a newer one.
func TestALateAnswerDoesNotReplaceANewerOne(t *testing.T) {
	cache := tokencache.New(&tokencache.Coordinator{}, alice)
	cache.Advance(alice, generation("alice", 2))
	cache.Advance(alice, generation("alice", 1)) // it was exchanged before, and arrives now
	is(t, "alice-access-2", cache.Token(), nil)
}

// T-K5, B55: the session moved on for one resource while the exchange for another
// ran. The Cache is at the end of both, which is what its owner is given.
func TestACacheMovesOnFromWhereAnotherResourceLedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{takes: 50 * time.Millisecond, lives: time.Hour}
		cache := tokencache.New(&tokencache.Coordinator{Refresher: server}, ended(alice))
		together(2, func(i int) {
			time.Sleep(time.Duration(i) * 10 * time.Millisecond)
			resource := []string{"", files}[i]
			got, err := cache.FreshFor(t.Context(), resource)
			isFor(t, resource, got, err)
		})
		server.saw(t, 2)
		if newest, _ := cache.Changed(); newest.Refresh() != "alice-refresh-2" {
			t.Errorf("the owner is given %q", newest.Refresh())
		}
	})
}

// T-K5: without the Store, what this process was issued is beside the chain that
// the Cache has followed meanwhile. It is returned nevertheless, and not that
// there is none on that chain.
func TestWhatWasIssuedBesideTheChainIsReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{rotation: grace, lives: time.Minute}
		a, b, wire := replicas(server)
		a.AloneWhenStoreFails, a.MaxInFlight = true, 1 // full, so that the Store is read first
		cache := tokencache.New(a, ended(alice))
		spent := cacheFresh(t, cache, files)
		shown := cache.Token()
		a.Wait(t.Context())
		time.Sleep(2 * time.Minute) // both have ended
		server.next(after(time.Second, (*as).exchange))
		wire.on(down)
		done := make(chan struct{})
		go func() {
			defer close(done)
			got, err := cache.Refresh(t.Context(), spent)
			isFor(t, files, got, err)
		}()
		synctest.Wait()
		wire.on(nil)
		elsewhere, err := b.Refresh(t.Context(), cookie(shown))
		isFor(t, "", elsewhere, err)
		found, err := cache.Fresh(t.Context())
		is(t, elsewhere.Access(), found, err)
		<-done
		if !cache.Token().Same(elsewhere) {
			t.Errorf("the Cache is at %q, want %q", cache.Token().Refresh(), elsewhere.Refresh())
		}
	})
}

package tokencache_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

func cookie(t tokencache.Token) tokencache.Token {
	return tokencache.NewToken(tokencache.TokenFields{Access: t.Access(), Refresh: t.Refresh(), Expiry: t.Expiry()})
}

func resource(i int) string { return fmt.Sprintf("https://r%d.example", i) }

func must(t *testing.T, got tokencache.Token, err error) tokencache.Token {
	t.Helper()
	if err != nil {
		t.Fatalf("unexpected: %v", err)
	}
	return got
}

func cacheFresh(t *testing.T, c *tokencache.Cache, r string) tokencache.Token {
	t.Helper()
	got, err := c.FreshFor(t.Context(), r)
	return must(t, got, err)
}

func cacheRefresh(t *testing.T, c *tokencache.Cache, spent tokencache.Token) tokencache.Token {
	t.Helper()
	got, err := c.Refresh(t.Context(), cookie(spent))
	return must(t, got, err)
}

// More resources than a chain is followed: each link was exchanged just now.
func TestTwentyResourcesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{takes: 50 * time.Millisecond, lives: time.Hour}
		c := &tokencache.Coordinator{Refresher: server}
		cache := tokencache.New(c, ended(alice))
		together(20, func(i int) {
			got, err := cache.FreshFor(t.Context(), resource(i))
			isFor(t, resource(i), got, err)
		})
	})
}

// B17: two APIs that reject whatever they get, called in turn.
func TestAPIsThatRejectEverythingGetNoEndlessPresentations(t *testing.T) {
	for _, rot := range []rotation{strict, constant} {
		for n, rs := range map[string][]string{"one": {files}, "two": {files, mail}} {
			t.Run(fmt.Sprint(n, rot), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server := &as{rotation: rot, lives: time.Hour}
					c := &tokencache.Coordinator{Refresher: server}
					cache := tokencache.New(c, alice)
					for i := range 20 {
						r := rs[i%len(rs)]
						got, err := cache.FreshFor(t.Context(), r)
						if err != nil {
							continue
						}
						next, err := cache.Refresh(t.Context(), got) // 401
						if err == nil && next.Access() != got.Access() {
							cache.Rejected(next) // 401 again
						}
					}
					t.Logf("%d presentations in no time", server.presentations())
					if server.presentations() > 2*len(rs) {
						t.Errorf("%d presentations in no time, for 20 calls", server.presentations())
					}
				})
			})
		}
	}
}

// B35 for resources that the client may not have, asked for in turn.
func TestTwoRefusedResourcesCoolDownBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{lives: time.Hour}
		for range 100 {
			server.next(fails(&tokencache.Error{Reason: reason.ClientRefused, Status: 400, Code: "invalid_target"}))
		}
		c := &tokencache.Coordinator{Refresher: server}
		cache := tokencache.New(c, alice)
		for range 10 {
			_, err := cache.FreshFor(t.Context(), files)
			because(t, reason.ClientRefused, err)
			_, err = cache.FreshFor(t.Context(), mail)
			because(t, reason.ClientRefused, err)
		}
		if n := server.presentations(); n > 2 {
			t.Errorf("%d presentations within the cooldown", n)
		}
	})
}

// A resource that is refused in the server's own words.
func TestARefusedResourceDoesNotStarveTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &pick{as: as{lives: time.Hour}}
		c := &tokencache.Coordinator{Refresher: server}
		cache := tokencache.New(c, ended(alice))
		began := time.Now()
		for time.Since(began) < time.Minute {
			cache.FreshFor(t.Context(), files)
			if _, err := cache.Fresh(t.Context()); err == nil {
				t.Logf("after %v", time.Since(began))
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		_, err := cache.Fresh(t.Context())
		t.Errorf("after a minute: %v, %d presentations", err, server.presentations())
	})
}

// B18: some servers answer invalid_grant where consent for a resource is missing.
func TestARefusedResourceIsNoProofOfTheSessionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{lives: time.Hour}
		server.next(fails(invalidGrant()))
		c := &tokencache.Coordinator{Refresher: server}
		cache := tokencache.New(c, alice)
		_, err := cache.FreshFor(t.Context(), files)
		t.Log(err)
		if err := cache.CatchUp(t.Context()); err != nil {
			t.Errorf("CatchUp: %v", err)
		}
		_, err = cache.Refresh(t.Context(), alice)
		if err != nil {
			t.Errorf("own: %v, though the server would renew it", err)
		}
	})
}

// B31: what a browser showed before the logout finds nothing after it.
func TestALogoutEndsTheOtherAccessTokensToo(t *testing.T) {
	for _, shared := range []bool{false, true} {
		t.Run(fmt.Sprint(shared), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{lives: time.Hour}
				a := &tokencache.Coordinator{Refresher: server, Revoker: server}
				b := a
				if shared {
					a, b, _ = replicas(server)
				}
				a.Revoker = server
				cache := tokencache.New(a, ended(alice))
				cacheFresh(t, cache, files)
				a.Wait(t.Context())
				given, _ := cache.Changed()
				if err := a.Revoke(t.Context(), given); err != nil {
					t.Fatal(err)
				}
				for name, c := range map[string]*tokencache.Coordinator{"a": a, "b": b} {
					thief := tokencache.New(c, cookie(given)) // own has ended, the session is over
					if got, err := thief.FreshFor(t.Context(), files); !errors.Is(err, tokencache.ErrLoginRequired) {
						t.Errorf("%s: after the logout an access token for files: %q, %v", name, got.Access(), err)
					}
					if _, err := thief.Fresh(t.Context()); !errors.Is(err, tokencache.ErrLoginRequired) {
						t.Errorf("own: %v", err)
					}
				}
			})
		})
	}
}

// B31: a note that is under way when the logout comes.
func TestANoteThatComesAfterALogoutIsNotLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{lives: time.Hour}
		a, b, wire := replicas(server)
		third := &tokencache.Coordinator{Refresher: server, Store: b.Store, Realm: b.Realm}
		tokencache.New(third, generation("bob", 0)).FreshFor(t.Context(), files)
		release := make(chan struct{})
		var once sync.Once
		wire.on(func(ctx context.Context, op string, when moment) error {
			if when == before && op == "swap" { // the note
				once.Do(func() { <-release })
			}
			return nil
		})
		go func() { tokencache.New(a, alice).FreshFor(context.Background(), files) }()
		synctest.Wait()
		if err := b.Revoke(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
		close(release)
		time.Sleep(time.Second)
		late := tokencache.New(third, tokencache.NewToken(tokencache.TokenFields{Refresh: "alice-refresh-1"}))
		if got, err := late.FreshFor(t.Context(), files); err == nil {
			t.Errorf("after the logout: %q", got.Access())
		}
	})
}

// B53: long after Grace an old refresh token yields nothing here, and is presented.
func TestAThiefWithAnOldRefreshTokenFindsNoAccessToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{lives: time.Hour}
		a, _, _ := replicas(server)
		cache := tokencache.New(a, ended(alice))
		cacheFresh(t, cache, files) // R1, note of R1
		given, _ := cache.Changed()
		a.Wait(t.Context())
		must(t, cacheRefresh(t, tokencache.New(a, cookie(given)), given), nil) // shows R1 -> R2
		cache3 := tokencache.New(a, cookie(given))
		r2, err := cache3.Refresh(t.Context(), given)
		must(t, r2, err)
		a.Wait(t.Context())
		shows := tokencache.New(a, cookie(r2))
		must(t, cacheRefresh(t, shows, r2), nil) // R2 -> R3: R1 is cut to Grace
		time.Sleep(10 * time.Minute)
		n := server.presentations()
		thief := tokencache.New(a, tokencache.NewToken(tokencache.TokenFields{Refresh: given.Refresh()}))
		if got, err := thief.FreshFor(t.Context(), files); err == nil && server.presentations() == n {
			t.Errorf("R1, cut 9 minutes ago, yields %q, and nothing was presented: no reuse detection", got.Access())
		}
	})
}

// B53: a request that led to two exchanges hands over the last; what came before is cut.
func TestTheShownTokenIsCutThoughTwoExchangesFollowed(t *testing.T) {
	for _, two := range []bool{false, true} {
		t.Run(fmt.Sprint(two), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{lives: time.Hour}
				a, _, _ := replicas(server)
				cache := tokencache.New(a, ended(alice))
				must(t, cacheFresh(t, cache, ""), nil)
				if two {
					cacheFresh(t, cache, files)
				}
				given, _ := cache.Changed()
				given = cookie(given)
				a.Wait(t.Context()) // what is noted of them takes less than the way to a browser
				next := tokencache.New(a, given)
				must(t, cacheRefresh(t, next, given), nil)
				a.Wait(t.Context())
				time.Sleep(10 * time.Minute) // Grace is over
				n := server.presentations()
				got, err := a.Refresh(t.Context(), ended(alice))
				if err == nil && server.presentations() == n {
					t.Errorf("R0, which its browser replaced 10 minutes ago, yields %q without a presentation", got.Access())
				}
			})
		})
	}
}

// B15: that a Cache learned of an access token in another way does not make it another.
func TestARejectedTokenIsNotReturnedAsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{lives: time.Hour}
		a, b, _ := replicas(server)
		one := tokencache.New(a, ended(alice))
		own := cacheFresh(t, one, "") // O1, R1
		two := tokencache.New(b, cookie(own))
		sent := cacheFresh(t, two, "") // O1
		cacheFresh(t, one, files)      // R2 on a, with O1
		cacheFresh(t, two, files)      // finds it: two moves on to R2, with O1
		n := server.presentations()
		got, err := two.Refresh(t.Context(), sent) // the API rejected O1
		must(t, got, err)
		if got.Access() == sent.Access() {
			t.Errorf("the rejected token came back as new, %d presentations", server.presentations()-n)
		}
	})
}

// B14, B15: 401s of all resources at once, in ten requests at two replicas.
func TestAllResourcesAreRejectedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{lives: time.Hour, takes: 30 * time.Millisecond}
		a, b, _ := replicas(server)
		first := tokencache.New(a, ended(alice))
		spent := []tokencache.Token{cacheFresh(t, first, "")}
		spent = append(spent, cacheFresh(t, first, files), cacheFresh(t, first, mail))
		given, _ := first.Changed()
		caches := []*tokencache.Cache{first}
		for i := range 9 {
			caches = append(caches, tokencache.New([]*tokencache.Coordinator{a, b}[i%2], cookie(given)))
		}
		a.Wait(t.Context()) // the note has to be written
		n := server.presentations()
		sent := map[[2]int]tokencache.Token{}
		for c := range caches {
			for r, of := range spent {
				sent[[2]int{c, r}] = cacheFresh(t, caches[c], of.Resource())
			}
		}
		together(300, func(i int) {
			time.Sleep(time.Duration(i%11) * 7 * time.Millisecond)
			got, err := caches[i%10].Refresh(t.Context(), sent[[2]int{i % 10, i % 3}])
			isFor(t, spent[i%3].Resource(), got, err)
			if got.Access() == spent[i%3].Access() {
				t.Errorf("the rejected one, of cache %d, for %q", i%10, got.Resource())
			}
		})
		if server.presentations() != n+3 || server.reused > 0 || server.most > 1 {
			t.Errorf("%d presentations, want 3; %d reused; %d at once", server.presentations()-n, server.reused, server.most)
		}
	})
}

// B17: another exchange in between does not hide what was issued.
func TestRejectedIsNotedThoughAnotherExchangeFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{rotation: constant, lives: time.Hour}
		c := &tokencache.Coordinator{Refresher: server}
		cache := tokencache.New(c, ended(alice))
		got := cacheFresh(t, cache, files)
		cacheFresh(t, cache, mail)
		cache.Rejected(got)
		n := server.presentations()
		_, err := cache.Refresh(t.Context(), got)
		if err == nil {
			t.Errorf("presented again within the cooldown (%d)", server.presentations()-n)
		}
	})
}

type pick struct{ as }

func (p *pick) Refresh(ctx context.Context, spent tokencache.Token) (tokencache.Token, error) {
	if spent.Resource() == files {
		p.next(fails(&tokencache.Error{Reason: reason.Unrecognised, Status: 400, Code: "interaction_required"}))
	}
	return p.as.Refresh(ctx, spent)
}

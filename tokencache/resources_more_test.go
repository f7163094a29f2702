package tokencache_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	mrand "math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// RFC 9449: a session without a key gets one, whichever resource is asked for first.
func TestTheKeyThatAResourceBroughtIsTheSessions(t *testing.T) {
	for _, first := range []string{"", files} {
		t.Run("first "+first, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &binding{as: as{lives: time.Minute}}
				c := &tokencache.Coordinator{Refresher: server}
				cache := tokencache.New(c, alice) // a bearer session from before DPoP was switched on
				cacheFresh(t, cache, first)
				time.Sleep(2 * time.Minute)
				got, err := cache.Refresh(t.Context(), cache.Token())
				if err != nil {
					t.Errorf("own: %v (keys made: %d)", err, server.keys)
				}
				_ = got
				got, err = cache.FreshFor(t.Context(), files)
				isFor(t, files, got, err)
				if server.keys > 1 {
					t.Errorf("%d keys for one session", server.keys)
				}
			})
		})
	}
}

// A Store that hangs at the note delays nobody.
func TestNobodyWaitsForTheNote(t *testing.T) {
	for _, several := range []bool{false, true} {
		t.Run(fmt.Sprint(several), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{lives: time.Hour, takes: 50 * time.Millisecond}
				a, _, wire := replicas(server)
				cache := tokencache.New(a, alice)
				if several {
					cacheFresh(t, cache, files)
				}
				a.Wait(t.Context())
				done := false
				wire.on(func(ctx context.Context, op string, when moment) error {
					if when == behind && op == "swap done" {
						done = true
						return nil
					}
					if done && when == before {
						return hung(ctx, op, when)
					}
					return nil
				})
				began := time.Now()
				got, err := cache.Refresh(t.Context(), cache.Token())
				must(t, got, err)
				if d := time.Since(began); d > time.Second {
					t.Errorf("the successor was stored after 50 ms, and delivered after %v", d)
				}
				wire.on(nil)
				time.Sleep(time.Minute)
			})
		})
	}
}

// B36
func TestAStoreThatPanicsAtTheNoteHarmsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{lives: time.Hour}
		a, _, wire := replicas(server)
		wire.on(func(_ context.Context, op string, when moment) error {
			if op == "swap" && when == before {
				panic("note")
			}
			return nil
		})
		got, err := tokencache.New(a, alice).FreshFor(t.Context(), files)
		isFor(t, files, got, err)
	})
}

// B53: a stream whose session moves on by way of resources, elsewhere.
func TestAnAccompaniedStreamOutlivesExchangesForResources(t *testing.T) {
	for _, rs := range [][]string{{}, {files, mail}} {
		t.Run(fmt.Sprint(len(rs)), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{lives: time.Hour}
				a, b, _ := replicas(server)
				first := cookie(cacheFresh(t, tokencache.New(a, ended(alice)), ""))
				stream := tokencache.New(a, first)
				defer stream.Accompany()()
				if len(rs) > 0 { // this process has to know that there are others
					cacheFresh(t, tokencache.New(a, generation("bob", 0)), mail)
				}
				browser := first
				for _, r := range rs {
					time.Sleep(time.Minute)
					tab := tokencache.New(b, browser)
					cacheFresh(t, tab, r)
					given, _ := tab.Changed()
					browser = cookie(given)
					b.Wait(t.Context())
				}
				time.Sleep(5 * time.Minute)
				_, err := stream.FreshFor(t.Context(), files)
				if err != nil {
					t.Errorf("stream: %v, %d reuses", err, server.reused)
				}
				server.mu.Lock()
				if server.reused > 0 {
					t.Errorf("%d reuses: %v", server.reused, server.presented)
				}
				server.mu.Unlock()
			})
		})
	}
}

// B55: a slow response hands over what is the newest when it goes out.
func TestASlowResponseBringsNoBrowserBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{lives: time.Hour}
		a, b, _ := replicas(server)
		first := cookie(cacheFresh(t, tokencache.New(a, ended(alice)), "")) // R1
		slow := tokencache.New(a, first)
		cacheFresh(t, slow, resource(1)) // R2, on a; its handler goes on for 3 s
		tab := tokencache.New(b, first)
		cacheFresh(t, tab, resource(2)) // R3
		given, _ := tab.Changed()
		browser := cookie(given)
		tab = tokencache.New(b, browser)
		cacheFresh(t, tab, resource(3)) // R3 shown -> R4; R2 is cut to Grace
		b.Wait(t.Context())
		time.Sleep(3 * time.Second)
		slow.CatchUp(t.Context()) // as the writer does
		given, _ = slow.Changed()
		browser = cookie(given) // R2: older than what the browser has
		time.Sleep(2 * time.Minute)
		if _, err := tokencache.New(b, browser).FreshFor(t.Context(), resource(4)); err != nil {
			t.Errorf("the session is lost: %v, %d reuses", err, server.reused)
		}
	})
}

// The owner of a session is given the session's own tokens.
func TestACacheOfATokenForAResourceIsOfItsSession(t *testing.T) {
	server := &as{lives: time.Hour}
	c := &tokencache.Coordinator{Refresher: server}
	got, err := c.Refresh(t.Context(), alice.For(files))
	isFor(t, files, got, err)
	cache := tokencache.New(c, got)
	if r := cache.Token().Resource(); r != "" {
		t.Errorf("the Cache's Token, which its owner is given, is for %q", r)
	}
}

// B53
func TestNoBrowserIsGivenALinkThatWasCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{lives: time.Hour}
		a, _, wire := replicas(server)
		stream := tokencache.New(a, ended(alice)) // a long request
		tab := tokencache.New(a, ended(alice))
		cacheFresh(t, tab, "")    // R1
		cacheFresh(t, tab, files) // R2
		given, _ := tab.Changed()
		tab = tokencache.New(a, cookie(given))
		r3 := cacheRefresh(t, tab, given) // R3; R1 is cut
		a.Wait(t.Context())
		time.Sleep(5 * time.Minute)
		loads := 0
		wire.on(func(_ context.Context, op string, when moment) error {
			if op == "load" && when == before {
				if loads++; loads == 2 {
					return errCut
				}
			}
			return nil
		})
		_, err := stream.Fresh(t.Context())
		wire.on(nil)
		newest, changed := stream.Changed()
		t.Logf("%v: the browser is given %q", err, newest.Refresh())
		if !changed || newest.Refresh() == r3.Refresh() {
			return
		}
		time.Sleep(5 * time.Second)
		next := tokencache.New(a, ended(newest))
		if _, err := next.Fresh(t.Context()); err != nil {
			t.Errorf("the session is lost: %v, %d reuses", err, server.reused)
		}
	})
}

// B27 with resources: a server that does not rotate is asked once for each.
func TestAConstantRefreshTokenWithResourcesAndReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{rotation: constant, takes: 30 * time.Millisecond, lives: time.Hour}
		store := &tokencache.MemoryStore{}
		var all []*tokencache.Coordinator
		for range 3 {
			all = append(all, &tokencache.Coordinator{Refresher: server, Store: store, Realm: "r"})
		}
		var mu sync.Mutex
		browser := ended(alice)
		together(12, func(tab int) {
			r := mrand.New(mrand.NewPCG(1, uint64(tab)))
			for range 20 {
				mu.Lock()
				cache := tokencache.New(all[r.IntN(3)], browser)
				mu.Unlock()
				for range 3 {
					res := ""
					if k := r.IntN(5); k > 0 {
						res = resource(k)
					}
					got, err := cache.FreshFor(t.Context(), res)
					isFor(t, res, got, err)
					time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
				}
				if newest, changed := cache.Changed(); changed {
					mu.Lock()
					browser = cookie(newest)
					mu.Unlock()
				}
			}
		})
		t.Logf("%d presentations for 5 access tokens", server.presentations())
		if server.presentations() > 5 {
			t.Errorf("%d presentations for 5 access tokens", server.presentations())
		}
	})
}

type binding struct {
	as
	mu    sync.Mutex
	keys  int
	bound map[string]crypto.Signer // refresh token -> key
}

func (b *binding) Refresh(ctx context.Context, spent tokencache.Token) (tokencache.Token, error) {
	key := spent.Key()
	if key == nil { // as transport.TokenEndpoint does
		key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		b.mu.Lock()
		b.keys++
		b.mu.Unlock()
	}
	b.mu.Lock()
	k, ok := b.bound[spent.Refresh()]
	b.mu.Unlock()
	if ok && k != key {
		return tokencache.Token{}, invalidGrant()
	}
	t, err := b.as.Refresh(ctx, spent)
	if err != nil {
		return t, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bound == nil {
		b.bound = map[string]crypto.Signer{}
	}
	b.bound[t.Refresh()] = key
	return tokencache.NewToken(tokencache.TokenFields{Access: t.Access(), Refresh: t.Refresh(), Expiry: t.Expiry(), Type: "DPoP", Key: key}), nil
}

// T-K5: what has ended is of no use to anybody who follows.
func TestAnAccessTokenThatHasEndedIsNotCarriedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{lives: time.Minute}
		cache := tokencache.New(&tokencache.Coordinator{Refresher: server}, alice)
		cacheFresh(t, cache, files)
		time.Sleep(45 * time.Second)
		forMail := cacheFresh(t, cache, mail)
		time.Sleep(30 * time.Second) // the one for files has ended
		next, err := cache.Refresh(t.Context(), cache.Token())
		isFor(t, "", next, err)
		for resource, want := range map[string]string{files: "", mail: forMail.Access()} {
			if got := next.For(resource).Access(); got != want {
				t.Errorf("for %s %q was carried on, want %q", resource, got, want)
			}
		}
	})
}

// T-K5, B18: whoever takes over from a holder that has died is told which resources
// are not to be had.
func TestARefusedResourceIsRememberedThoughAHolderDied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{lives: time.Hour}
		for range 3 {
			server.next(fails(&tokencache.Error{Reason: reason.ClientRefused, Status: 400, Code: "invalid_target"}))
		}
		a, b, wire := replicas(server)
		a.Cooldown, b.Cooldown = time.Minute, time.Minute
		for _, resource := range []string{files, mail} {
			_, err := a.Refresh(t.Context(), alice.For(resource))
			because(t, reason.ClientRefused, err)
		}
		dead := make(chan struct{})
		wire.on(during("swap held", nth(2, func(_ context.Context, _ string, when moment) error {
			if when == behind { // the first finds what is there
				<-dead
			}
			return nil
		})))
		go a.Refresh(t.Context(), alice) // takes the entry, and presents nothing
		synctest.Wait()
		began := time.Now()
		for _, resource := range []string{resource(1), files, mail} {
			_, err := b.Refresh(t.Context(), alice.For(resource))
			because(t, reason.ClientRefused, err)
		}
		if n := server.presentations(); n != 3 {
			t.Errorf("%d presentations, want 3", n)
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("took %v: the entry was not taken from its holder", took)
		}
		wire.on(down)
		close(dead)
		a.Wait(t.Context())
	})
}

// B46: a replica whose renewals fail is taken for dead each time, and what others
// bring is for another resource. It does not go on with that for ever.
func TestWhoIsBeatenEachTimeIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{rotation: constant, lives: time.Hour}
		asked := 0
		a, b, wire := replicas(server)
		a.Refresher = refresher(func(ctx context.Context, spent tokencache.Token) (tokencache.Token, error) {
			if spent.Resource() == files {
				asked++
				wire.on(during("swap held", func(context.Context, string, moment) error { return errCut }))
				time.Sleep(8 * time.Second)
				wire.on(nil)
			}
			return server.exchange(ctx, spent)
		})
		told := make(chan error)
		go func() {
			_, err := a.Refresh(t.Context(), alice.For(files))
			told <- err
		}()
		for spent := alice; ; time.Sleep(time.Second) {
			select {
			case err := <-told:
				because(t, reason.Store, err)
				if asked != 3 {
					t.Errorf("%d presentations for it", asked)
				}
				return
			case <-time.After(time.Millisecond):
			}
			if next, err := b.Refresh(t.Context(), spent); err == nil {
				spent = next
			}
		}
	})
}

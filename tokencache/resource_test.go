package tokencache_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

const files, mail = "https://files.example.com", "https://mail.example.com"

// isFor fails the test unless a refresh ended with an access token for the
// resource.
func isFor(t *testing.T, resource string, got tokencache.Token, err error) {
	t.Helper()
	_, of, _ := strings.Cut(got.Access(), "@")
	if err != nil || got.Access() == "" || of != resource || got.Resource() != resource {
		t.Errorf("access token %q, for %q, %v: want one for %q", got.Access(), got.Resource(), err, resource)
	}
}

// T-K5, T-D10: one refresh token, an access token for each resource, and never
// one for another.
func TestSeveralResourcesShareARefreshToken(t *testing.T) {
	for name, shared := range map[string]bool{"in memory": false, "through a Store": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{takes: 50 * time.Millisecond, lives: time.Hour}
				a := &tokencache.Coordinator{Refresher: server, Realm: "r"}
				b := a
				if shared {
					a, b, _ = replicas(server)
				}
				shown, caches := ended(alice), make([]*tokencache.Cache, 10)
				for i := range caches {
					caches[i] = tokencache.New([]*tokencache.Coordinator{a, b}[i%2], shown)
				}
				together(300, func(i int) {
					time.Sleep(time.Duration(i%7) * 20 * time.Millisecond)
					resource := []string{"", files, mail}[i%3]
					got, err := caches[i%len(caches)].FreshFor(t.Context(), resource)
					isFor(t, resource, got, err)
				})
				server.saw(t, 3)
				if server.most != 1 {
					t.Errorf("%d presentations at once", server.most)
				}
				for i, cache := range caches {
					if newest, changed := cache.Changed(); !changed || newest.Resource() != "" {
						t.Errorf("cache %d: changed %t, for %q", i, changed, newest.Resource())
					}
				}
			})
		})
	}
}

// The browser holds the session's own tokens only. What else there is, is found
// by the refresh token that it was given.
func TestOtherAccessTokensAreFoundAgain(t *testing.T) {
	for name, rotates := range map[string]rotation{"rotating": strict, "constant": constant} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{rotation: rotates, lives: time.Hour}
				a, b, _ := replicas(server)
				cache := tokencache.New(a, ended(alice))
				own, err := cache.Fresh(t.Context())
				isFor(t, "", own, err)
				got, err := cache.FreshFor(t.Context(), files)
				isFor(t, files, got, err)
				server.saw2(t, 2, rotates)
				a.Wait(t.Context()) // the note is written while nobody waits
				given, _ := cache.Changed()
				if given.Access() != own.Access() {
					t.Errorf("the browser is given %q", given.Access())
				}
				for _, c := range []*tokencache.Coordinator{a, b, a} {
					given := tokencache.NewToken(tokencache.TokenFields{
						Access: given.Access(), Refresh: given.Refresh(), Expiry: given.Expiry(),
					})
					cache := tokencache.New(c, given)
					for range 2 {
						again, err := cache.FreshFor(t.Context(), files)
						isFor(t, files, again, err)
						if again.Access() != got.Access() {
							t.Errorf("%q, not %q", again.Access(), got.Access())
						}
					}
					if _, changed := cache.Changed(); changed {
						t.Error("nothing has changed for the browser")
					}
				}
				// A tab that is behind finds it, too.
				again, err := tokencache.New(b, ended(alice)).FreshFor(t.Context(), files)
				isFor(t, files, again, err)
				server.saw2(t, 2, rotates)
			})
		})
	}
}

// saw2 is saw for a server that may take a refresh token as often as it comes.
func (a *as) saw2(t *testing.T, presentations int, r rotation) {
	t.Helper()
	if n := a.presentations(); n != presentations {
		t.Errorf("%d presentations, want %d", n, presentations)
	}
	if r == strict {
		a.saw(t, presentations)
	}
}

// An exchange for one resource leaves the access tokens for the others.
func TestAnExchangeCarriesTheOthersOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{lives: time.Hour}
		c := &tokencache.Coordinator{Refresher: server}
		cache := tokencache.New(c, alice)
		forFiles, err := cache.FreshFor(t.Context(), files)
		isFor(t, files, forFiles, err)
		forMail, err := cache.FreshFor(t.Context(), mail)
		isFor(t, mail, forMail, err)
		if own, err := cache.Fresh(t.Context()); err != nil || own.Access() != alice.Access() {
			t.Errorf("the session's own access token is %q, %v", own.Access(), err)
		}
		// Another request, which knows of nothing but the cookies, has the own one renewed.
		given, _ := cache.Changed()
		other := tokencache.New(c, tokencache.NewToken(tokencache.TokenFields{Access: given.Access(), Refresh: given.Refresh()}))
		own, err := other.Refresh(t.Context(), other.Token())
		isFor(t, "", own, err)
		for resource, want := range map[string]tokencache.Token{files: forFiles, mail: forMail} {
			got, err := other.FreshFor(t.Context(), resource)
			isFor(t, resource, got, err)
			if got.Access() != want.Access() {
				t.Errorf("for %s %q, not %q", resource, got.Access(), want.Access())
			}
		}
		server.saw(t, 3)
	})
}

// B22: that the refresh token moved on, because of another resource, does not
// make an access token new.
func TestAnAccessTokenThatMovedOnWasNotIssuedAgain(t *testing.T) {
	for name, shared := range map[string]bool{"in memory": false, "through a Store": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{lives: time.Hour}
				a := &tokencache.Coordinator{Refresher: server, Realm: "r"}
				if shared {
					a, _, _ = replicas(server)
				}
				cache := tokencache.New(a, ended(alice))
				own, err := cache.Fresh(t.Context())
				isFor(t, "", own, err)
				forFiles, err := cache.FreshFor(t.Context(), files) // now own has another refresh token
				isFor(t, files, forFiles, err)
				// Both are rejected by their APIs, though they have not ended.
				next, err := cache.Refresh(t.Context(), own)
				isFor(t, "", next, err)
				if next.Access() == own.Access() {
					t.Error("the rejected access token was returned")
				}
				nextForFiles, err := cache.Refresh(t.Context(), forFiles)
				isFor(t, files, nextForFiles, err)
				if nextForFiles.Access() == forFiles.Access() {
					t.Error("the rejected access token for files was returned")
				}
				server.saw(t, 4)
				// And who comes late with a rejected one is given its successor.
				for _, late := range []tokencache.Token{own, forFiles} {
					got, err := cache.Refresh(t.Context(), late)
					isFor(t, late.Resource(), got, err)
				}
				server.saw(t, 4)
			})
		})
	}
}

// A resource that the client may not have is its own trouble only.
func TestARefusedResourceStopsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{lives: time.Hour}
		server.next(fails(&tokencache.Error{Reason: reason.ClientRefused, Status: 400, Code: "invalid_target"}))
		c := &tokencache.Coordinator{Refresher: server}
		cache := tokencache.New(c, ended(alice))
		_, err := cache.FreshFor(t.Context(), files)
		because(t, reason.ClientRefused, err)
		_, err = cache.FreshFor(t.Context(), files) // within the cooldown
		because(t, reason.ClientRefused, err)
		if n := server.presentations(); n != 1 {
			t.Errorf("%d presentations", n)
		}
		own, err := cache.Fresh(t.Context())
		isFor(t, "", own, err)
		got, err := cache.FreshFor(t.Context(), mail)
		isFor(t, mail, got, err)
	})
}

// B22 for a resource: an API that rejects what was just issued gets no more.
func TestARejectedResourceRestsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{rotation: constant, lives: time.Hour}
		c := &tokencache.Coordinator{Refresher: server}
		cache := tokencache.New(c, ended(alice))
		got, err := cache.FreshFor(t.Context(), files)
		isFor(t, files, got, err)
		cache.Rejected(got)
		_, err = cache.Refresh(t.Context(), got)
		because(t, reason.Rejected, err)
		own, err := cache.Fresh(t.Context())
		isFor(t, "", own, err)
		time.Sleep(2 * time.Second)
		next, err := cache.Refresh(t.Context(), got)
		isFor(t, files, next, err)
	})
}

func TestAnEndedAccessTokenForAResourceIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{lives: time.Minute}
		a, b, _ := replicas(server)
		cache := tokencache.New(a, alice)
		first, err := cache.FreshFor(t.Context(), files)
		isFor(t, files, first, err)
		given, _ := cache.Changed()
		time.Sleep(2 * time.Minute)
		for i, c := range []*tokencache.Coordinator{b, a} {
			got, err := tokencache.New(c, given.For("")).FreshFor(t.Context(), files)
			isFor(t, files, got, err)
			if got.Access() == first.Access() {
				t.Errorf("%d: the one that has ended", i)
			}
		}
		server.saw(t, 2)
	})
}

// B31: the end of the session is that of all its access tokens.
func TestALogoutEndsAllResources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{lives: time.Minute}
		c := &tokencache.Coordinator{Refresher: server, Revoker: server}
		cache := tokencache.New(c, alice)
		got, err := cache.FreshFor(t.Context(), files)
		isFor(t, files, got, err)
		if err := c.Revoke(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
		if _, err := cache.Refresh(t.Context(), got); !errors.Is(err, tokencache.ErrLoginRequired) {
			t.Errorf("after the logout: %v", err)
		}
		server.saw(t, 1)
	})
}

// Without a refresh token there is nothing for another resource, and above all
// not what is for this one.
func TestATokenIsForItsResourceOnly(t *testing.T) {
	cache := tokencache.New(&tokencache.Coordinator{}, tokencache.NewToken(tokencache.TokenFields{Access: "a"}))
	if got, err := cache.FreshFor(t.Context(), files); err != nil || got.Access() != "" {
		t.Errorf("%q, %v", got.Access(), err)
	}
	for _, none := range []tokencache.Token{{}, alice.For(files).For(mail)} {
		if got := none.For(files); got.Access() != "" {
			t.Errorf("%q", got.Access())
		}
	}
	if !alice.For(files).For("").Same(alice) {
		t.Error("there is no way back")
	}
	var nobody *tokencache.Cache
	if got, err := nobody.FreshFor(t.Context(), files); err != nil || !got.IsZero() {
		t.Errorf("%v, %v", got, err)
	}
}

// A key goes where its tokens go, sealed with them.
func TestAKeyTravelsThroughTheStore(t *testing.T) {
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	other, _ := rsa.GenerateKey(rand.Reader, 2048)
	for name, test := range map[string]struct {
		key     crypto.Signer
		travels bool
	}{
		"ECDSA on P-256":            {p256, true},
		"Ed25519":                   {ed, true},
		"ECDSA on P-384":            {p384, false},
		"RSA":                       {other, false},
		"an Ed25519 key of nothing": {ed25519.PrivateKey{}, false},
		"a P-256 key of nothing":    {(*ecdsa.PrivateKey)(nil), false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &bound{as{lives: time.Hour}}
				a, b, _ := replicas(server)
				shown := tokencache.NewToken(tokencache.TokenFields{Access: "alice-a", Refresh: "alice-r", Key: test.key})
				if shown.Type() != "DPoP" {
					t.Errorf("the type is %s", shown.Type())
				}
				first, err := a.Refresh(t.Context(), shown)
				if err != nil || first.Key() == nil || first.Type() != "DPoP" {
					t.Fatalf("%v, a key: %t, %s", err, first.Key() != nil, first.Type())
				}
				// The other replica is shown what cookies hold, and finds the key with the successor.
				second, err := b.Refresh(t.Context(), tokencache.NewToken(tokencache.TokenFields{
					Access: "alice-a", Refresh: "alice-r", Type: "dpop",
				}))
				if !test.travels {
					if second.Key() != nil {
						t.Error("a key came along that cannot")
					}
					return
				}
				public := test.key.Public().(interface{ Equal(crypto.PublicKey) bool })
				if err != nil || second.Access() != first.Access() || second.Key() == nil || !public.Equal(second.Key().Public()) {
					t.Errorf("%v, the same tokens: %t, a key: %t", err, second.Access() == first.Access(), second.Key() != nil)
				}
				server.saw(t, 1)
			})
		})
	}
}

// bound is a server whose tokens are bound to the key that they came with.
type bound struct{ as }

func (b *bound) Refresh(ctx context.Context, spent tokencache.Token) (tokencache.Token, error) {
	t, err := b.as.Refresh(ctx, spent)
	if err != nil {
		return t, err
	}
	return tokencache.NewToken(tokencache.TokenFields{
		Access: t.Access(), Refresh: t.Refresh(), Expiry: t.Expiry(), Type: "DPoP", Key: spent.Key(),
	}), nil
}

// A DPoP token without its key is no use (RFC 9449 section 7.1), so that a
// refresh is due.
func TestABoundTokenWithoutItsKeyIsRefreshed(t *testing.T) {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	synctest.Test(t, func(t *testing.T) {
		server := &rekeyed{as{lives: time.Hour}, key}
		c := &tokencache.Coordinator{Refresher: server}
		shown := tokencache.NewToken(tokencache.TokenFields{Access: "alice-a", Refresh: "alice-r", Type: "DPoP"})
		if err := shown.SetHeader(map[string][]string{}); err == nil {
			t.Error("it was set in a header")
		}
		got, err := tokencache.New(c, shown).Fresh(t.Context())
		if err != nil || got.Key() != crypto.Signer(key) || got.Access() != "alice-access-1" {
			t.Errorf("%v, %q", err, got.Access())
		}
	})
}

type rekeyed struct {
	as
	key crypto.Signer
}

func (b *rekeyed) Refresh(ctx context.Context, spent tokencache.Token) (tokencache.Token, error) {
	t, err := b.as.Refresh(ctx, spent)
	return tokencache.NewToken(tokencache.TokenFields{Access: t.Access(), Refresh: t.Refresh(), Key: b.key}), err
}

package tokencache_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// numbered is an authorization server that counts its tokens, and knows when it
// issued them.
type numbered struct {
	mu      sync.Mutex
	n       int
	rotates bool
	dead    bool
}

func (s *numbered) token() tokencache.Token {
	refresh := "R"
	if s.rotates {
		refresh = fmt.Sprint("R", s.n)
	}
	return tokencache.NewToken(tokencache.TokenFields{Access: fmt.Sprint("A", s.n), Refresh: refresh, Issued: time.Now(), Expiry: time.Now().Add(time.Hour)})
}

func (s *numbered) Refresh(context.Context, tokencache.Token) (tokencache.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return tokencache.Token{}, &tokencache.Error{Reason: reason.Refused, Status: 400}
	}
	s.n++
	return s.token(), nil
}

func (s *numbered) Revoke(context.Context, tokencache.Token) error { s.dead = true; return nil }

// B27: where refresh tokens do not rotate, all access tokens of a session stand in
// one entry. An older one is not the successor of a newer one, though a replica
// has just seen it.
func TestAnOlderAccessTokenReplacesNoNewerOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, store := &numbered{n: 1}, &tokencache.MemoryStore{}
		one := &tokencache.Coordinator{Refresher: server, Store: store, Realm: "r"}
		two := &tokencache.Coordinator{Refresher: server, Store: store, Realm: "r"}
		first := server.token()
		time.Sleep(time.Second)
		second, err := two.Refresh(t.Context(), first)
		is(t, "A2", second, err)
		time.Sleep(100 * time.Millisecond)
		third, err := one.Refresh(t.Context(), second)
		is(t, "A3", third, err)
		time.Sleep(100 * time.Millisecond)
		got, err := two.Refresh(t.Context(), third)
		is(t, "A4", got, err)
		one.Wait(t.Context())
		two.Wait(t.Context())
	})
}

// B31: a logout holds for all links of the session, as long as they are kept.
func TestALogoutIsNotForgottenBehindAnOlderLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &numbered{n: 1, rotates: true}
		c := &tokencache.Coordinator{Refresher: server, Revoker: server}
		first := server.token()
		time.Sleep(time.Second)
		second, err := c.Refresh(t.Context(), first)
		is(t, "A2", second, err)
		time.Sleep(time.Minute)
		if err := c.Revoke(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			time.Sleep(time.Hour)
			_, err := tokencache.New(c, first).Refresh(t.Context(), first)
			because(t, reason.LoggedOut, err)
		}
	})
}

// B37: nor is what was known of the token before.
func TestALogoutForgetsNoRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &numbered{n: 1, rotates: true, dead: true}
		c := &tokencache.Coordinator{Refresher: server, Revoker: server}
		first := server.token()
		_, err := c.Refresh(t.Context(), first)
		because(t, reason.Refused, err)
		c.Revoke(t.Context(), first)
		time.Sleep(time.Minute)
		_, err = c.Refresh(t.Context(), first)
		because(t, reason.LoggedOut, err)
	})
}

// B27, invariant 1: where they rotate, clocks are not asked. A record keeps
// milliseconds, and the times in two tokens may be of two clocks.
func TestASuccessorThatSeemsOlderIsOne(t *testing.T) {
	for _, ahead := range []time.Duration{100 * time.Microsecond, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			server, store := &numbered{n: 1, rotates: true}, &tokencache.MemoryStore{}
			one := &tokencache.Coordinator{Refresher: server, Store: store, Realm: "r"}
			two := &tokencache.Coordinator{Refresher: server, Store: store, Realm: "r"}
			now := time.Now()
			spent := tokencache.NewToken(tokencache.TokenFields{Access: "A1", Refresh: "R1", Issued: now.Add(ahead), Expiry: now.Add(time.Hour)})
			for range 3 {
				for _, c := range []*tokencache.Coordinator{one, two} {
					got, err := tokencache.New(c, spent).Refresh(t.Context(), spent)
					is(t, "A2", got, err)
				}
				time.Sleep(10 * time.Second)
			}
			one.Wait(t.Context())
			two.Wait(t.Context())
		})
	}
}

// B15: whoever joins an exchange shows an access token that is newer than the
// one it brings, late. It is not given that one.
func TestWhoJoinsAnExchangeIsNotGivenAnOlderAccessToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{rotation: constant, lives: time.Hour}
		a, b, wire := replicas(server)
		server.next(func(as *as, ctx context.Context, spent tokencache.Token) (tokencache.Token, error) {
			wire.on(down) // what it brings is not stored for 15 s
			return as.exchange(ctx, spent)
		})
		go func() {
			got, err := a.Refresh(t.Context(), alice)
			is(t, "alice-access-1", got, err)
		}()
		synctest.Wait()
		newer, err := b.Refresh(t.Context(), alice)
		is(t, "alice-access-2", newer, err)
		_, err = a.Refresh(t.Context(), newer)
		because(t, reason.Store, err)
	})
}

// B27: an answer that was long on its way brings an access token that is older than
// one that overtook it. What both say of themselves tells (iat, RFC 7519 section
// 4.1.6), not when they came.
func TestAnAnswerThatWasOvertakenIsOlder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, wire := replicas(nil)
		a.Refresher = refresher(func(context.Context, tokencache.Token) (tokencache.Token, error) {
			wire.on(down)
			defer time.Sleep(9 * time.Second)
			return issue(), nil
		})
		b.Refresher = refresher(func(context.Context, tokencache.Token) (tokencache.Token, error) { return issue(), nil })
		spent := issue()
		time.Sleep(time.Minute)
		go a.Refresh(t.Context(), spent)
		synctest.Wait()
		newer, err := b.Refresh(t.Context(), spent)
		if err != nil {
			t.Fatal(err)
		}
		a.Wait(t.Context())
		_, err = a.Refresh(t.Context(), newer)
		because(t, reason.Store, err)
	})
}

// issue returns a JWT beside a refresh token that stays.
func issue() tokencache.Token {
	claims := fmt.Sprintf(`{"iat":%d,"exp":%d,"jti":"%d"}`, time.Now().Unix(), time.Now().Add(time.Hour).Unix(), time.Now().UnixNano())
	return tokencache.NewToken(tokencache.TokenFields{Access: "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".x", Refresh: "R"})
}

// B27: nor is it the answer to who shows a newer one. The next call would be signed
// with it.
func TestWhatWasSeenAMomentAgoDoesNotStandForANewerOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, _ := replicas(refresher(func(context.Context, tokencache.Token) (tokencache.Token, error) { return issue(), nil }))
		first := tokencache.New(a, issue())
		time.Sleep(500 * time.Millisecond)
		second, err := first.Refresh(t.Context(), first.Token())
		if err != nil {
			t.Fatal(err)
		}
		first.Rejected(second)
		time.Sleep(500 * time.Millisecond)
		third, err := b.Refresh(t.Context(), second)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		later := tokencache.New(a, third)
		_, err = later.Refresh(t.Context(), third)
		because(t, reason.Rejected, err) // within the Cooldown
		if later.Token().Access() == second.Access() {
			t.Error("the older one is signed with")
		}
		a.Wait(t.Context())
		b.Wait(t.Context())
	})
}

// B27: of an opaque access token that its browser shows nobody knows when it was
// issued. What a replica has seen a moment ago may be older.
func TestWhatWasSeenAMomentAgoIsNotTakenForNewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, store := &numbered{n: 1}, &tokencache.MemoryStore{}
		one := &tokencache.Coordinator{Refresher: server, Store: store, Realm: "r"}
		two := &tokencache.Coordinator{Refresher: server, Store: store, Realm: "r"}
		shown := func(t tokencache.Token) tokencache.Token {
			return tokencache.NewToken(tokencache.TokenFields{Access: t.Access(), Refresh: t.Refresh()})
		}
		second, err := one.Refresh(t.Context(), shown(server.token()))
		is(t, "A2", second, err) // and one has seen it
		time.Sleep(100 * time.Millisecond)
		third, err := two.Refresh(t.Context(), shown(second))
		is(t, "A3", third, err)
		got, err := one.Refresh(t.Context(), shown(third))
		is(t, "A4", got, err)
		one.Wait(t.Context())
		two.Wait(t.Context())
	})
}

// B47, B48: what the Store did not take is brought though somebody holds the entry
// meanwhile. He is about to be refused, and this is what saves the session.
func TestWhatTheStoreDidNotTakeSavesWhoHoldsTheEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		a, b, wire := replicas(server)
		server.next(func(as *as, ctx context.Context, spent tokencache.Token) (tokencache.Token, error) {
			wire.on(down)
			return as.exchange(ctx, spent)
		}, after(2*time.Second, fails(invalidGrant())))
		first, err := a.Refresh(t.Context(), alice)
		is(t, "alice-access-1", first, err)
		wire.on(nil)
		go func() {
			time.Sleep(4 * time.Second) // by now it was taken from us
			got, err := a.Refresh(t.Context(), alice)
			is(t, "alice-access-1", got, err)
		}()
		got, err := b.Refresh(t.Context(), alice)
		is(t, "alice-access-1", got, err)
	})
}

// B48: an access token that works is stored though somebody holds the entry meanwhile
// who has begun with another one. He may fail, and nobody else would have any.
func TestWhatWorksIsNotThrownAwayForWhatAHolderMayGet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{rotation: constant, lives: time.Hour}
		a, b, wire := replicas(server)
		server.next(after(8*time.Second, (*as).exchange), (*as).exchange, after(2*time.Second, fails(unavailable())))
		wire.on(withoutRenewal())
		go func() {
			got, err := a.Refresh(t.Context(), alice)
			is(t, "alice-access-2", got, err)
		}()
		time.Sleep(time.Millisecond)
		spent, err := b.Refresh(t.Context(), alice) // takes a for dead
		is(t, "alice-access-1", spent, err)
		time.Sleep(4 * time.Second)
		got, err := b.Refresh(t.Context(), spent) // fails, after that of a has come
		is(t, "alice-access-2", got, err)
		server.saw2(t, 3, constant)
	})
}

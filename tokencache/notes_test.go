package tokencache_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// T-K5, B48: what the Store did not take of a session with several access tokens
// is found here by the next request, which shows the session's own.
func TestAnUnstoredSuccessorBringsItsOtherAccessTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{lives: time.Hour}
		a, _, wire := replicas(server)
		server.next(func(as *as, ctx context.Context, spent tokencache.Token) (tokencache.Token, error) {
			wire.on(readOnly)
			return as.exchange(ctx, spent)
		})
		cache := tokencache.New(a, lasting(alice, time.Hour))
		got := cacheFresh(t, cache, files)
		given, _ := cache.Changed()
		a.Wait(t.Context())
		again := cacheFresh(t, tokencache.New(a, tokencache.NewToken(tokencache.TokenFields{
			Access: given.For("").Access(), Refresh: given.Refresh(), Expiry: time.Now().Add(time.Hour),
		})), files)
		if server.saw(t, 1); got.Access() != again.Access() {
			t.Errorf("%q, and then %q", got.Access(), again.Access())
		}
	})
}

// T-K5, B48: at a server that does not rotate, what the Store did not take for one
// resource says nothing of another, and is no reason to go round in circles while
// it still takes nothing.
func TestAnUnstoredAccessTokenIsNotThatOfAnotherResource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{rotation: constant, lives: time.Hour}
		a, _, wire := replicas(server)
		spent := cacheFresh(t, tokencache.New(a, lasting(alice, time.Hour)), files)
		server.next(func(as *as, ctx context.Context, spent tokencache.Token) (tokencache.Token, error) {
			wire.on(readOnly)
			return as.exchange(ctx, spent)
		})
		if _, err := a.Refresh(t.Context(), spent.For("")); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := a.Refresh(ctx, spent)
		because(t, reason.Store, err)
		wire.on(nil)
		got, err := a.Refresh(t.Context(), spent)
		isFor(t, files, got, err)
	})
}

// B53: nor does another replica, which has seen nothing, find an access token
// beside a refresh token that was cut long ago.
func TestAThiefFindsNoAccessTokenElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{lives: time.Hour}
		a, b, _ := replicas(server)
		cache := tokencache.New(a, ended(alice))
		cacheFresh(t, cache, files)
		given, _ := cache.Changed()
		a.Wait(t.Context())
		second := cacheRefresh(t, tokencache.New(a, cookie(given)), given) // shows R1
		a.Wait(t.Context())
		cacheRefresh(t, tokencache.New(a, cookie(second)), second) // shows R2: R1 is cut
		a.Wait(t.Context())
		time.Sleep(10 * time.Minute)
		n := server.presentations()
		thief := tokencache.New(b, tokencache.NewToken(tokencache.TokenFields{Refresh: given.Refresh()}))
		if got, err := thief.FreshFor(t.Context(), files); err == nil && server.presentations() == n {
			t.Errorf("%q without a presentation", got.Access())
		}
	})
}

// B28: what is noted of a way does not grow with it.
func TestANoteOfALongWayIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &measured{Store: &tokencache.MemoryStore{}}
		c := &tokencache.Coordinator{Refresher: &as{lives: time.Hour}, Store: store, Realm: "r"}
		cache := tokencache.New(c, ended(alice))
		for i := range 60 {
			cacheFresh(t, cache, resource(i))
			c.Wait(t.Context())
		}
		if store.born == 0 || store.born > 800 {
			t.Errorf("%d bytes", store.born)
		}
	})
}

// measured has the length of the longest note of a birth.
type measured struct {
	tokencache.Store
	mu   sync.Mutex
	born int
}

func (m *measured) Swap(ctx context.Context, key, old string, value []byte, ttl time.Duration) (tokencache.Entry, bool, error) {
	m.mu.Lock()
	if len(value) > 1 && value[1] == 'b' {
		m.born = max(m.born, len(value))
	}
	m.mu.Unlock()
	return m.Store.Swap(ctx, key, old, value, ttl)
}

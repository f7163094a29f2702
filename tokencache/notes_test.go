package tokencache_test

import (
	"context"
	"errors"
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

// otherwise is a session at b that holds an access token for files, too, and what
// its browser shows: the session's own tokens.
func otherwise(t *testing.T, b *tokencache.Coordinator) (forFiles, shown tokencache.Token) {
	t.Helper()
	cache := tokencache.New(b, ended(alice))
	cacheFresh(t, cache, "")
	forFiles = cacheFresh(t, cache, files)
	b.Wait(t.Context())
	return forFiles, cookie(cache.Token())
}

// B45: what another replica has noted is read once here, for all requests that
// show the session.
func TestANoteIsReadOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, wire := replicas(&as{lives: time.Hour})
		forFiles, shown := otherwise(t, b)
		asked := 0
		wire.on(func(_ context.Context, _ string, when moment) error {
			if when == before {
				asked++
			}
			return nil
		})
		for range 3 {
			got := cacheFresh(t, tokencache.New(a, shown), files)
			if got.Access() != forFiles.Access() {
				t.Errorf("%q, not %q", got.Access(), forFiles.Access())
			}
		}
		if asked != 1 {
			t.Errorf("the Store was asked %d times", asked)
		}
	})
}

// B55: the session moves on while the note of its older refresh token is read.
// What was found beside that one takes no Cache back to it.
func TestANoteThatComesLateBringsNoCacheBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, wire := replicas(&as{lives: time.Hour})
		forFiles, shown := otherwise(t, b)
		cache := tokencache.New(a, shown)
		release := make(chan struct{})
		wire.on(until(release))
		read := make(chan tokencache.Token)
		go func() {
			got, err := cache.FreshFor(t.Context(), files)
			isFor(t, files, got, err)
			read <- got
		}()
		synctest.Wait()
		wire.on(nil)
		next, err := cache.Refresh(t.Context(), shown)
		is(t, "alice-access-3", next, err)
		close(release)
		if got := <-read; got.Access() != forFiles.Access() {
			t.Errorf("%q, not %q", got.Access(), forFiles.Access())
		}
		if newest := cache.Token(); newest.Refresh() != next.Refresh() {
			t.Errorf("the Cache went back to %q", newest.Refresh())
		}
	})
}

// T-K5, B15: a request that is behind is given the access token that replaced the
// rejected one, and not what was noted beside the refresh token that it shows.
func TestARejectedAccessTokenIsNotFoundInANote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{lives: time.Hour}
		a := &tokencache.Coordinator{Refresher: server}
		rejected, shown := otherwise(t, a)
		want, err := tokencache.New(a, shown).Refresh(t.Context(), rejected)
		isFor(t, files, want, err)
		late := tokencache.New(a, shown)
		got, err := late.FreshFor(t.Context(), files)
		isFor(t, files, got, err)
		if got.Access() != want.Access() {
			t.Errorf("%q, want %q", got.Access(), want.Access())
		}
	})
}

// B84: a Store that is asked for a note cannot start an exchange.
func TestAStoreThatIsAskedForANoteStartsNoExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, wire := replicas(&as{lives: time.Hour})
		_, shown := otherwise(t, b)
		asked := 0
		wire.on(func(ctx context.Context, _ string, when moment) error {
			if when == before {
				asked++
				wire.on(nil)
				if _, err := a.Refresh(ctx, generation("bob", 0)); !errors.Is(err, tokencache.ErrReentrant) {
					t.Errorf("%v", err)
				}
			}
			return nil
		})
		cacheFresh(t, tokencache.New(a, shown), files)
		if asked != 1 {
			t.Error("the Store was not asked")
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

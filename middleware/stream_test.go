package middleware_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
)

type never struct{}

func (never) Refresh(context.Context, tokencache.Token) (tokencache.Token, error) {
	panic("a refresh")
}

// looks counts how often a Store is read.
type looks struct {
	tokencache.MemoryStore
	n atomic.Int32
}

func (l *looks) Load(ctx context.Context, key string) (tokencache.Entry, error) {
	l.n.Add(1)
	return l.MemoryStore.Load(ctx, key)
}

// B53, B50: a request that takes long is told what other replicas do to its
// session, and one that does not asks for nothing.
func TestALongRequestIsAccompanied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &looks{}
		auth := &middleware.Authenticator{Coordinator: &tokencache.Coordinator{Refresher: never{}, Store: store, Realm: "r"}}
		serve := func(d time.Duration) {
			r := httptest.NewRequest("GET", "https://app.example.com/", nil)
			r.AddCookie(&http.Cookie{Name: "__Host-access", Value: "an-opaque-token"})
			r.AddCookie(&http.Cookie{Name: "__Host-refresh", Value: "another"})
			w := httptest.NewRecorder()
			auth.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(d) })).ServeHTTP(w, r)
			if w.Code != http.StatusOK {
				t.Errorf("status %d", w.Code)
			}
		}
		serve(29 * time.Second)
		time.Sleep(time.Hour)
		if n := store.n.Load(); n != 0 {
			t.Errorf("a short request looked %d times", n)
		}
		serve(5*time.Minute + time.Second)
		n := store.n.Load()
		if n == 0 || n > 10 {
			t.Errorf("a long request looked %d times", n)
		}
		time.Sleep(time.Hour)
		if store.n.Load() != n {
			t.Error("a request that is over still looks")
		}
	})
}

// wrote returns how many writes there were since it was called last.
func (c *counted) wrote() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() { c.writes = 0 }()
	return c.writes
}

// A session that a stream uses is not one that nobody uses; what its tokens become
// meanwhile is kept meanwhile; and a stream that is over, or whose session is, writes
// nothing any more.
func TestAStreamUsesItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &counted{Store: &tokencache.MemoryStore{}}
		a := keeping(new(binding), &middleware.Sessions{Store: store, Idle: time.Hour, Absolute: 20 * time.Hour})
		other := keeping(new(binding), &middleware.Sessions{Store: store, Idle: time.Hour}) // it knows of no exchange
		stream := func(has map[string]string, h func(c *tokencache.Cache)) {
			within(a, has, func(w http.ResponseWriter, r *http.Request) {
				w.(http.Flusher).Flush()
				h(tokencache.FromContext(r.Context()))
			})
		}
		has := signIn(t, a, nil, sized(10))
		store.wrote()
		stream(has, func(c *tokencache.Cache) {
			time.Sleep(5 * time.Hour)
			if _, err := c.Refresh(t.Context(), c.Token()); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Minute)
			if got := opened(t, other, has); got != "A1" {
				t.Errorf("another replica opens %q during the stream", got)
			}
		})
		if n := store.wrote(); n < 5 || n > 15 {
			t.Errorf("%d writes in 5 hours with an Idle of one", n)
		}
		time.Sleep(time.Hour)
		if n := store.wrote(); n > 0 || opened(t, a, has) != "" {
			t.Errorf("%d writes when the stream is over", n)
		}
		has = signIn(t, a, nil, sized(10))
		stream(has, func(*tokencache.Cache) {
			time.Sleep(3 * time.Hour)
			leave(other, has, fetching)
			store.wrote()
			time.Sleep(10 * time.Hour)
			if n := store.wrote(); opened(t, other, has) != "" || n > 1 {
				t.Errorf("it is back after a logout elsewhere, or %d writes are", n)
			}
		})
		has = signIn(t, a, nil, sized(10))
		stream(has, func(*tokencache.Cache) {
			if time.Sleep(20*time.Hour + time.Minute); opened(t, other, has) != "" {
				t.Error("it outlives Absolute")
			}
		})
	})
}

// A Store that fails for a while does not end the session of a stream.
func TestAStreamTriesAgainToUseItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &counted{Store: &tokencache.MemoryStore{}}
		a := keeping(new(binding), &middleware.Sessions{Store: store, Idle: time.Hour})
		has := signIn(t, a, nil, sized(10))
		within(a, has, func(http.ResponseWriter, *http.Request) {
			time.Sleep(29 * time.Minute)
			store.fail(errors.New("connection refused"))
			time.Sleep(20 * time.Minute)
			store.fail(nil)
			time.Sleep(time.Hour)
		})
		if opened(t, a, has) == "" {
			t.Error("it is lost")
		}
	})
}

// stuck is a Store whose writes hang until their context ends.
type stuck struct {
	*tokencache.MemoryStore
	hangs atomic.Bool
}

func (s *stuck) Swap(ctx context.Context, key, old string, value []byte, ttl time.Duration) (tokencache.Entry, bool, error) {
	if s.hangs.Load() {
		<-ctx.Done()
		return tokencache.Entry{}, false, ctx.Err()
	}
	return s.MemoryStore.Swap(ctx, key, old, value, ttl)
}

// A Store that hangs holds up neither what a stream writes nor its end.
func TestAStreamDoesNotWaitForTheStore(t *testing.T) {
	store := &stuck{MemoryStore: &tokencache.MemoryStore{}}
	a := keeping(new(binding), &middleware.Sessions{Store: store, Idle: 800 * time.Millisecond})
	has := signIn(t, a, nil, sized(10))
	began := time.Now()
	within(a, has, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(200)
		store.hangs.Store(true)
		for range 14 {
			time.Sleep(50 * time.Millisecond)
			w.Write([]byte("tick"))
		}
	})
	if took := time.Since(began); took > 2500*time.Millisecond {
		t.Errorf("it took %v", took)
	}
}

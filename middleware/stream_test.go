package middleware_test

import (
	"context"
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

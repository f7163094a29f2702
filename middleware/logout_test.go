package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
)

// unwritable is a Store that can be read.
type unwritable struct {
	tokencache.Store
	away bool
}

func (u *unwritable) Swap(ctx context.Context, key, old string, value []byte, ttl time.Duration) (tokencache.Entry, bool, error) {
	if u.away {
		return tokencache.Entry{}, false, errors.New("read only")
	}
	return u.Store.Swap(ctx, key, old, value, ttl)
}

// leave posts to the LogoutHandler with these cookies.
func leave(a *middleware.Authenticator, has map[string]string, header http.Header) *http.Response {
	in := httptest.NewRequest("POST", "/logout", nil)
	for name, value := range header {
		in.Header[name] = value
	}
	for name, value := range has {
		in.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	rec := httptest.NewRecorder()
	a.LogoutHandler().ServeHTTP(rec, in)
	return rec.Result()
}

// B31, B32: a session that the Store could not be rid of is not said to be over. Its
// name would open it still, and nobody would know.
func TestALogoutThatTheStoreKeepsFromBeingSaysSo(t *testing.T) {
	reads, writes := &counted{Store: &tokencache.MemoryStore{}}, &unwritable{Store: &tokencache.MemoryStore{}}
	for name, row := range map[string]struct {
		store tokencache.Store
		away  func(bool)
	}{
		"it cannot be read": {reads, func(away bool) {
			reads.fail(nil)
			if away {
				reads.fail(errors.New("connection refused"))
			}
		}},
		"it cannot be written": {writes, func(away bool) { writes.away = away }},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			a := keeping(new(binding), &middleware.Sessions{Store: row.store})
			a.Log = slog.New(slog.NewTextHandler(&log, nil))
			for what, header := range map[string]http.Header{"a form": navigating, "a fetch": fetching} {
				has := signIn(t, a, nil, sized(10))
				log.Reset()
				row.away(true)
				got := leave(a, has, header)
				row.away(false)
				if got.StatusCode != 503 || len(got.Cookies()) > 0 || got.Header.Get("Retry-After") == "" {
					t.Errorf("%s: %d %v", what, got.StatusCode, got.Header)
				}
				if n := strings.Count(log.String(), "level=WARN"); n != 1 || strings.Contains(log.String(), has["rebearer-session"]) {
					t.Errorf("%s: %d warnings: %s", what, n, log.String())
				}
				if got := leave(a, has, header); got.StatusCode >= 400 || len(got.Cookies()) != 1 || opened(t, a, has) != "" {
					t.Errorf("%s, again: %d %v", what, got.StatusCode, got.Header)
				}
			}
		})
	}
}

// deaf is an authorization server that is away.
type deaf struct{}

func (deaf) Revoke(context.Context, tokencache.Token) error { return errors.New("no route to host") }

// B31, T-K6: an authorization server that is away keeps nobody signed in here, in no
// place, and an operator hears of it.
func TestALogoutWhileTheAuthorizationServerIsAway(t *testing.T) {
	for name, place := range places {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			a := keeping(new(binding), nil)
			place(t, &tokencache.MemoryStore{})(nil, a)
			a.Coordinator.Revoker, a.Log = deaf{}, slog.New(slog.NewTextHandler(&log, nil))
			has := signIn(t, a, nil, sized(10))
			if got := leave(a, has, fetching); got.StatusCode != 204 || len(got.Cookies()) == 0 {
				t.Errorf("%d %v", got.StatusCode, got.Header)
			}
			if opened(t, a, has) != "" {
				t.Error("the session is not over here")
			}
			if n := strings.Count(log.String(), "level=WARN"); n != 1 {
				t.Errorf("%d warnings: %s", n, log.String())
			}
		})
	}
}

// foreign is a Store whose sessions another version of the program has written.
type foreign struct {
	*tokencache.MemoryStore
	is bool
}

func (f *foreign) Load(ctx context.Context, key string) (tokencache.Entry, error) {
	e, err := f.MemoryStore.Load(ctx, key)
	if f.is && e.Version != "" {
		e.Value = []byte("of another version")
	}
	return e, err
}

// B31: what this version cannot read will not be read a moment later. The browser is
// signed out of it.
func TestALogoutOfWhatAnotherVersionHasWritten(t *testing.T) {
	store := &foreign{MemoryStore: &tokencache.MemoryStore{}}
	a := keeping(new(binding), &middleware.Sessions{Store: store})
	has := signIn(t, a, nil, sized(10))
	store.is = true
	if got := leave(a, has, fetching); got.StatusCode != 204 || len(got.Cookies()) != 1 {
		t.Errorf("%d %v", got.StatusCode, got.Header)
	}
}

package middleware

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/rebearer/rebearer/tokencache"
)

// WriterAllocs returns what wrapping a response and writing it allocates beside
// what the writer underneath does.
func WriterAllocs(t *testing.T) float64 {
	a := &Authenticator{Coordinator: &tokencache.Coordinator{}}
	if err := a.Validate(); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/", nil)
	cache := tokencache.New(a.Coordinator, tokencache.Token{})
	out := &discard{http.Header{}}
	return testing.AllocsPerRun(1000, func() {
		var w http.ResponseWriter = &session{w: out, auth: a, request: r, cache: cache}
		w.WriteHeader(http.StatusOK)
		w.Write(nil)
	})
}

type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }

// Check is what is made of the cookies of a request, once they are read.
func (a *Authenticator) Check(access, refresh, key string) error {
	_, v := a.pair(context.Background(), cookies{access, refresh, key}, time.Now())
	return v.err
}

// Remembered returns what is kept of an access token, if it would not be
// verified again.
func (a *Authenticator) Remembered(access string) (kept string, ok bool) {
	now := time.Now()
	e := a.seen.get(access, a.Verifier.generation(now), now)
	if e == nil {
		return "", false
	}
	return e.access, true
}

// Remembers reports whether the access token would not be verified again.
func (a *Authenticator) Remembers(access string) bool {
	_, ok := a.Remembered(access)
	return ok
}

// Shown returns what is read of a Cookie header, and the header for the handler.
func (a *Authenticator) Shown(lines []string) (access, refresh, key, rest []string) {
	a.must()
	var j jar
	for _, line := range lines {
		if kept, some := a.sort(line, &j); some {
			rest = append(rest, kept)
		}
	}
	return j.access.all[:j.access.n], j.refresh.all[:j.refresh.n], j.key.all[:j.key.n], rest
}

// Decode is what is made of the value of a cookie.
var Decode = decode

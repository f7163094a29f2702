package middleware_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/internal/jws"
	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
)

// B61, B62: a token that ends while its key is looked for is not one that works. The
// clock of the beginning of the request says that it has not ended.
func TestATokenThatEndsWhileItsKeyIsLookedForHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &middleware.Authenticator{Coordinator: &tokencache.Coordinator{}, Cookies: middleware.Cookies{InsecureNoTLS: true},
			Verifier: &middleware.Verifier{Algorithms: []string{"HS256"}, KeyFunc: func(context.Context, string, string) (any, error) {
				time.Sleep(5 * time.Second) // the issuer is slow, once
				return secret, nil
			}}}
		r := httptest.NewRequest("GET", "/", nil)
		end := time.Now().Add(time.Second)
		r.Header.Set("Cookie", "access="+raw(t, `{"alg":"HS256"}`, fmt.Sprintf(`{"exp":%d}`, end.Unix())))
		rec := httptest.NewRecorder()
		a.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			if late := time.Since(end); late > 0 {
				t.Errorf("the handler serves a token that ended %v ago, and nothing was renewed", late)
			}
		})).ServeHTTP(rec, r)
		if rec.Code != 401 {
			t.Errorf("%d, want 401 (there is no refresh token)", rec.Code)
		}
	})
}

// slowStore takes its time for some writes, by their number.
type slowStore struct {
	tokencache.MemoryStore
	writes int
	slow   []int
}

func (s *slowStore) Swap(ctx context.Context, key, old string, value []byte, ttl time.Duration) (tokencache.Entry, bool, error) {
	if s.writes++; slices.Contains(s.slow, s.writes) {
		time.Sleep(40 * time.Second)
	}
	return s.MemoryStore.Swap(ctx, key, old, value, ttl)
}

// B65: a token that ended while it was stored says nothing of the clocks. It is
// refreshed once more, and the next request gets another.
func TestATokenThatEndsWhileItIsStoredIsNoMisconfiguration(t *testing.T) {
	for name, row := range map[string]struct {
		slow []int
		want []int
	}{
		"once":  {slow: []int{2}, want: []int{200, 200}},
		"twice": {slow: []int{2, 5}, want: []int{503, 200}},
	} {
		for _, known := range []bool{true, false} { // how long it lives, beside what it says of itself
			t.Run(fmt.Sprint(name, " known ", known), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { visitSlowly(t, &slowStore{slow: row.slow}, known, row.want) })
			})
		}
	}
}

// visitSlowly makes a request for each status that is wanted.
func visitSlowly(t *testing.T, store *slowStore, known bool, want []int) {
	issue := issuing(func() tokencache.Token {
		now := time.Now()
		f := tokencache.TokenFields{Access: raw(t, `{"alg":"HS256"}`, fmt.Sprintf(`{"iat":%d,"exp":%d}`, now.Unix(), now.Unix()+2)), Refresh: "R"}
		if known {
			f.Expiry = now.Add(2 * time.Second)
		} else {
			time.Sleep(3 * time.Second) // it has ended when it comes
		}
		return tokencache.NewToken(f)
	})
	a := &middleware.Authenticator{
		Coordinator: &tokencache.Coordinator{Refresher: issue, Store: store, Realm: "r", Timeout: time.Minute, Lease: 2 * time.Minute},
		Cookies:     middleware.Cookies{InsecureNoTLS: true},
		Verifier:    &middleware.Verifier{Algorithms: []string{"HS256"}, Key: secret},
	}
	for _, want := range want {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Cookie", "refresh=R")
		rec := httptest.NewRecorder()
		a.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(rec, r)
		if rec.Code != want {
			t.Errorf("%d, want %d: %s", rec.Code, want, rec.Body)
		}
	}
	a.Coordinator.Wait(t.Context())
}

// B65: nor is one that lives for a moment refreshed again and again.
func TestATokenThatLivesForAMomentIsAMisconfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issued := 0
		issue := issuing(func() tokencache.Token {
			issued++
			hours := time.Now().Add(-2 * time.Hour).Unix() // the server's clock is behind
			return tokencache.NewToken(tokencache.TokenFields{
				Access: raw(t, `{"alg":"HS256"}`, fmt.Sprintf(`{"iat":%d,"exp":%d.001}`, hours, hours)), Refresh: "R", Expiry: time.Now().Add(time.Millisecond),
			})
		})
		a := &middleware.Authenticator{
			Coordinator: &tokencache.Coordinator{Refresher: issue, Store: &dragging{}, Realm: "r"},
			Cookies:     middleware.Cookies{InsecureNoTLS: true},
			Verifier:    &middleware.Verifier{Algorithms: []string{"HS256"}, Key: secret},
		}
		for i := range 20 {
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set("Cookie", "refresh=R")
			rec := httptest.NewRecorder()
			a.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(rec, r)
			if i == 0 && rec.Code != 500 || rec.Code < 500 {
				t.Errorf("request %d: %d", i+1, rec.Code)
			}
		}
		if issued != 1 {
			t.Errorf("%d presentations for 20 requests at once", issued)
		}
		a.Coordinator.Wait(t.Context())
	})
}

// dragging takes 2 ms for a write.
type dragging struct{ tokencache.MemoryStore }

func (s *dragging) Swap(ctx context.Context, key, old string, value []byte, ttl time.Duration) (tokencache.Entry, bool, error) {
	time.Sleep(2 * time.Millisecond)
	return s.MemoryStore.Swap(ctx, key, old, value, ttl)
}

type pinned struct {
	sink
	_ [1 << 16]byte
}

// Who keeps the header of a request, as a log or a job may, does not keep
// the response, the session and the request with it.
func TestWhoKeepsTheHeaderKeepsNothingElse(t *testing.T) {
	a, access := verifying(t)
	var kept http.Header
	var gone atomic.Bool
	func() {
		w := &pinned{sink: sink{http.Header{}}}
		runtime.AddCleanup(w, func(int) { gone.Store(true) }, 0)
		a.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { kept = r.Header })).ServeHTTP(w, asked("theme=dark; access="+access+"; refresh=R"))
	}()
	for i := 0; i < 20 && !gone.Load(); i++ {
		runtime.GC()
		time.Sleep(5 * time.Millisecond)
	}
	if !gone.Load() {
		t.Errorf("the header %v keeps the response writer", kept["Cookie"])
	}
	runtime.KeepAlive(kept)
}

// A token in its last seconds of leeway is verified with each request, as is
// said; it should not take the place of one that works each time.
func TestATokenPastItsEndTakesNobodysPlace(t *testing.T) {
	a := &middleware.Authenticator{Coordinator: &tokencache.Coordinator{}, Cookies: middleware.Cookies{InsecureNoTLS: true},
		Verifier: &middleware.Verifier{Algorithms: []string{"HS256"}, Key: secret, Leeway: time.Hour}}
	sign := func(n int, exp time.Time) string {
		token, err := jws.Sign("HS256", secret, nil, map[string]any{"exp": exp.Unix(), "jti": n})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	live := make([]string, 3000)
	for i := range live {
		live[i] = sign(i, time.Now().Add(time.Hour))
		if err := a.Check(live[i], "R", ""); err != nil {
			t.Fatal(err)
		}
	}
	count := func() (n int) {
		for _, token := range live {
			if a.Remembers(token) {
				n++
			}
		}
		return n
	}
	before := count()
	for i := range 20_000 {
		a.Check(sign(i, time.Now().Add(-time.Second)), "R", "")
	}
	if after := count(); after < before*9/10 {
		t.Errorf("%d of %d that work are remembered after tokens that have ended were shown", after, before)
	}
}

// B59: of two pairs, the one that ended while it was looked at gives way to the one
// that works.
func TestAPairThatEndsWhileItIsLookedAtGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &middleware.Authenticator{Coordinator: &tokencache.Coordinator{}, Cookies: middleware.Cookies{InsecureNoTLS: true},
			Verifier: &middleware.Verifier{Algorithms: []string{"HS256"}, KeyFunc: func(context.Context, string, string) (any, error) {
				time.Sleep(5 * time.Second)
				return secret, nil
			}}}
		of := func(sub string, life time.Duration) string {
			return raw(t, `{"alg":"HS256"}`, fmt.Sprintf(`{"sub":%q,"exp":%d}`, sub, time.Now().Add(life).Unix()))
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Cookie", "access="+of("ends", time.Second)+"; access="+of("works", time.Hour))
		rec := httptest.NewRecorder()
		sub := any(nil)
		a.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { sub = middleware.Claims(r.Context())["sub"] })).ServeHTTP(rec, r)
		if rec.Code != 200 || sub != "works" {
			t.Errorf("%d, the claims are those of the one that %v", rec.Code, sub)
		}
	})
}

package middleware_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/rebearer/rebearer/internal/jws"
	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
)

// publishing is a BFF that verifies with the keys of the issuer, without a
// network between them.
func publishing(i *issuer) (a *middleware.Authenticator, get func(access string) int) {
	v := jwksOf("https://as.example.com/jwks")
	v.Base = &direct{i.Config.Handler}
	a = &middleware.Authenticator{Coordinator: &tokencache.Coordinator{}, Verifier: &v, Cookies: middleware.Cookies{InsecureNoTLS: true}}
	h := a.Handler(still)
	return a, func(access string) int {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Cookie", "access="+access)
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		return rec.Code
	}
}

func (i *issuer) withdraw(kid string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.keys, kid)
}

// unknown is a token with a kid that nobody knows, which has the set fetched.
func (i *issuer) unknown(t *testing.T, kid string) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, key := range i.keys {
		token, err := jws.Sign("RS256", key, map[string]any{"kid": kid}, map[string]any{"exp": time.Now().Add(time.Hour).Unix()})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	return ""
}

// A token that verified counts no more once the keys are others, be they more or
// fewer; and still if they are fetched again and are the same.
func TestWhatVerifiedDiesWithTheKeys(t *testing.T) {
	i := newIssuer(t, "1")
	synctest.Test(t, func(t *testing.T) {
		a, get := publishing(i)
		token := i.token(t, "1")
		if get(token); a.Remembers(token) {
			t.Error("a check that began under other keys, or none, counts for these")
		}
		get(token)
		made := 0
		fetched := func() { // a made-up kid has the set fetched
			t.Helper()
			made++
			time.Sleep(11 * time.Second)
			if code := get(i.unknown(t, fmt.Sprint("made up ", made))); code != 401 {
				t.Errorf("a made-up kid: %d", code)
			}
			if n := i.asked.Load(); n != int64(1+made) {
				t.Fatalf("%d fetches, not %d", n, 1+made)
			}
		}
		if !a.Remembers(token) {
			t.Fatal("it is not remembered at all")
		}
		fetched()
		if !a.Remembers(token) {
			t.Error("the same keys again: it is forgotten")
		}
		i.rotate(t, "2")
		fetched()
		if a.Remembers(token) {
			t.Error("one more key: it is remembered")
		}
		if get(token) != 200 || !a.Remembers(token) {
			t.Error("one more key: it is not verified again")
		}
		i.withdraw("1")
		fetched()
		if a.Remembers(token) || get(token) != 401 {
			t.Error("its key is withdrawn: it is accepted")
		}
		if get(i.token(t, "2")) != 200 {
			t.Error("the other key is not accepted")
		}
		token = i.token(t, "2")
		get(token)
		i.rotate(t, "2")
		fetched()
		if a.Remembers(token) || get(token) != 401 {
			t.Error("another key under its kid: it is accepted")
		}
	})
}

// A key that is withdrawn is felt after 15 minutes although every request shows a
// token that was verified before: the first one has the set fetched.
func TestAWithdrawnKeyIsFelt(t *testing.T) {
	i := newIssuer(t, "1", "2")
	synctest.Test(t, func(t *testing.T) {
		_, get := publishing(i)
		token, other := i.token(t, "1"), i.token(t, "2")
		i.mu.Lock()
		one := i.keys["1"]
		i.mu.Unlock()
		i.withdraw("2") // one key, so that their order is always the same
		for range 2 {
			if code := get(token); code != 200 {
				t.Fatal(code)
			}
		}
		i.withdraw("1")
		i.rotate(t, "3")
		for range 15 {
			time.Sleep(time.Minute)
			if code := get(token); code != 200 {
				t.Fatal(code)
			}
		}
		if n := i.asked.Load(); n != 1 {
			t.Errorf("%d fetches within 15 minutes", n)
		}
		time.Sleep(time.Second)
		get(token) // by what was known; it has the set fetched
		synctest.Wait()
		if code := get(token); code != 401 {
			t.Errorf("%d after 15 minutes and a second", code)
		}
		if n := i.asked.Load(); n != 2 {
			t.Errorf("%d fetches", n)
		}
		// And back again: nothing is held against a token.
		i.mu.Lock()
		i.keys["1"] = one
		i.mu.Unlock()
		time.Sleep(11 * time.Second)
		if code := get(token); code != 200 {
			t.Errorf("its key is published again: %d", code)
		}
		if code := get(other); code != 401 {
			t.Errorf("a key that was never published: %d", code)
		}
	})
}

// Through an outage the last good keys are used, however old, and the issuer is
// asked once in 10 s.
func TestAnOutageIsNotFeltByWhatVerified(t *testing.T) {
	i := newIssuer(t, "1")
	synctest.Test(t, func(t *testing.T) {
		a, get := publishing(i)
		token := i.token(t, "1")
		get(token)
		i.down.Store(true)
		time.Sleep(30 * time.Minute)
		for range 100 {
			if code := get(token); code != 200 {
				t.Fatal(code)
			}
			synctest.Wait()
			time.Sleep(time.Second)
		}
		if n := i.asked.Load(); n != 11 {
			t.Errorf("%d fetches, want the first and 10 of 100 s", n)
		}
		if !a.Remembers(token) {
			t.Error("it is verified again with each request")
		}
	})
}

// Checks go on while the keys change, and none of them counts past that: what has
// been verified with the old ones meanwhile is not remembered for the new ones.
func TestChecksWhileTheKeysChange(t *testing.T) {
	i := newIssuer(t, "1", "2")
	synctest.Test(t, func(t *testing.T) {
		a, get := publishing(i)
		one, two := i.token(t, "1"), i.token(t, "2")
		i.mu.Lock()
		keys := maps.Clone(i.keys)
		i.mu.Unlock()
		var all sync.WaitGroup
		stop := make(chan struct{})
		for range 4 {
			all.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						a.Check(one, "R", "")
						if a.Check(two, "R", "") != nil {
							t.Error("a key that was always there is not found")
						}
						time.Sleep(time.Second)
					}
				}
			})
		}
		for round := range 6 {
			gone := round%2 == 1
			i.mu.Lock()
			if delete(i.keys, "1"); !gone {
				i.keys["1"] = keys["1"]
			}
			i.mu.Unlock()
			time.Sleep(11 * time.Second)
			get(i.unknown(t, fmt.Sprint("made up ", round))) // has the set fetched
			if accepted := a.Check(one, "R", "") == nil; accepted == gone {
				t.Errorf("round %d: accepted %t, its key is gone %t", round, accepted, gone)
			}
		}
		close(stop)
		all.Wait()
	})
}

// A token that verified with a key that cannot change counts until its end, and
// no longer.
func TestWhatVerifiedDiesWithItsExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &middleware.Authenticator{Coordinator: &tokencache.Coordinator{}, Cookies: middleware.Cookies{InsecureNoTLS: true},
			Verifier: &middleware.Verifier{Algorithms: []string{"HS256"}, Key: secret}}
		token := raw(t, `{"alg":"HS256"}`, fmt.Sprintf(`{"exp":%d}`, time.Now().Add(time.Hour).Unix()))
		a.Check(token, "", "")
		time.Sleep(time.Hour - time.Second)
		if !a.Remembers(token) || a.Check(token, "", "") != nil {
			t.Error("it is forgotten before its end")
		}
		time.Sleep(time.Second)
		if a.Remembers(token) {
			t.Error("it is remembered past its end")
		}
		time.Sleep(time.Minute)
		if a.Check(token, "", "") == nil {
			t.Error("it is accepted a minute after its end")
		}
	})
}

// The Token of a pair is the same one with every request, also that of a pair
// whose access token was verified before a browser showed it, and is made anew
// when the refresh token or the key is another one.
func TestTheTokenOfAPairIsKept(t *testing.T) {
	key := newKey(t, "ES256")
	as := &binding{}
	a := boundAuth(as, sealer(1))
	access := raw(t, `{"alg":"HS256"}`, fmt.Sprintf(`{"exp":%d}`, time.Now().Add(time.Hour).Unix()))
	a.Verifier = &middleware.Verifier{Algorithms: []string{"HS256"}, Key: secret}
	a.Coordinator.Refresher = issuing(func() tokencache.Token {
		return tokencache.NewToken(tokencache.TokenFields{Access: access, Refresh: "R1", Key: key})
	})
	jar := signInWith(t, a, key)
	jar["access"] = "ended"
	_, set := shows(t, a, jar, false) // verified before it is shown
	jar = jarOf(set)
	if jar["access"] != access || !a.Remembers(access) {
		t.Fatalf("%v, it was not renewed", jar)
	}
	first, _ := shows(t, a, jar, false)
	if again, _ := shows(t, a, jar, false); first != again || first.Key() == nil || first.Refresh() != "R1" {
		t.Error("it is made anew with each request")
	}
	without := map[string]string{"access": access, "refresh": "R1"}
	if got := tokenOf(t, a, without); got.Key() != nil || got == first {
		t.Error("who shows no key is given one")
	}
	other := map[string]string{"access": access, "refresh": "R2", "key": jar["key"]}
	if got := tokenOf(t, a, other); got.Refresh() != "R2" || got.Key() == nil {
		t.Error("who shows another refresh token is given somebody's")
	}
	if got, _ := shows(t, a, jar, false); got.Refresh() != "R1" || got.Key() == nil {
		t.Error("the pair is not what was shown")
	}
}

// What is remembered is no part of the header that it came in, which may be long.
func TestTheHeaderIsNotKept(t *testing.T) {
	a, access := verifying(t)
	line := "access=" + access + "; refresh=R; x=" + strings.Repeat("x", 1<<10)
	within := func(s string) bool {
		at, begin := uintptr(unsafe.Pointer(unsafe.StringData(s))), uintptr(unsafe.Pointer(unsafe.StringData(line)))
		return at >= begin && at < begin+uintptr(len(line))
	}
	if !within(line[7:9]) {
		t.Fatal("this test sees nothing")
	}
	for range 3 {
		a.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			got := tokencache.FromContext(r.Context()).Token()
			if got.Access() != access || within(got.Access()) || within(got.Refresh()) {
				t.Error("the Token is a part of the header")
			}
		})).ServeHTTP(&sink{http.Header{}}, asked(line))
	}
	if key, ok := a.Remembered(access); !ok || within(key) {
		t.Error("what it is known by is a part of the header")
	}
}

// tokenOf returns the Token that a handler begins with.
func tokenOf(t *testing.T, a *middleware.Authenticator, jar map[string]string) (token tokencache.Token) {
	t.Helper()
	in := httptest.NewRequest("GET", "/", nil)
	for name, value := range jar {
		in.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	a.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		token = tokencache.FromContext(r.Context()).Token()
	})).ServeHTTP(httptest.NewRecorder(), in)
	return token
}

// With thousands of tokens remembered, one that nobody signed is not taken for
// any of them: they are compared whole.
func TestAForgedTokenIsNotTakenForOneThatVerified(t *testing.T) {
	a, _ := verifying(t)
	of := func(payload string, i int) string {
		return raw(t, `{"alg":"HS256"}`, fmt.Sprintf(`{"sub":"%s %d","exp":%d}`, payload, i, time.Now().Add(time.Hour).Unix()))
	}
	for i := range 5000 {
		if err := a.Check(of("good", i), "", ""); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 50 {
		forged := of("forged", i)
		forged = forged[:strings.LastIndex(forged, ".")+1] + strings.Repeat("A", 43)
		if a.Check(forged, "", "") == nil {
			t.Fatal("it is accepted")
		}
	}
}

// What does not verify takes nobody's place: who has no good token cannot make the
// checks of others dearer.
func TestWhatDoesNotVerifyIsNotRemembered(t *testing.T) {
	a, good := verifying(t)
	if err := a.Check(good, "", ""); err != nil {
		t.Fatal(err)
	}
	for i := range 40_000 { // ten for each place
		if a.Check(fmt.Sprintf("%d%s", i, good), "", "") == nil {
			t.Fatal("it is accepted")
		}
	}
	if !a.Remembers(good) {
		t.Error("the good one is forgotten")
	}
}

// T-H4: two browsers with one access token and two refresh tokens, all at once: each
// has its own.
func TestPairsAreNotMixedUp(t *testing.T) {
	a, access := verifying(t)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			jar := map[string]string{"access": access, "refresh": fmt.Sprint("R", i%4)}
			for range 50 {
				if got := tokenOf(t, a, jar); got.Refresh() != jar["refresh"] || got.Access() != access {
					t.Error("it is given somebody's tokens")
					return
				}
			}
		})
	}
	all.Wait()
}

// The context of a handler is the request's in all else: what was there is
// there, and it ends with it.
func TestTheContextOfAHandler(t *testing.T) {
	a, access := verifying(t)
	type mark struct{}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), mark{}, "here"))
	defer cancel()
	r := asked("access=" + access).WithContext(ctx)
	a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Context().Value(mark{}) != "here" {
			t.Error("a value is lost")
		}
		child, stop := context.WithCancel(r.Context())
		defer stop()
		cancel()
		<-child.Done()
		if child.Err() != context.Canceled || middleware.Claims(child)["sub"] != "5f0c7a1e" {
			t.Error(child.Err())
		}
	})).ServeHTTP(&sink{http.Header{}}, r)
}

// Few of many tokens take each other's place.
func TestManyTokensAreRemembered(t *testing.T) {
	a := &middleware.Authenticator{
		Coordinator: &tokencache.Coordinator{}, Cookies: middleware.Cookies{InsecureNoTLS: true},
		Verifier: &middleware.Verifier{Algorithms: []string{"HS256"}, Key: secret},
	}
	a.Handler(still)
	const n = 4000
	var tokens []string
	for i := range n {
		token, err := jws.Sign("HS256", secret, nil, map[string]any{"exp": time.Now().Add(time.Hour).Unix(), "jti": i})
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, token)
		if err := a.Check(token, "refresh", ""); err != nil {
			t.Fatal(err)
		}
	}
	forgotten := 0
	for _, token := range tokens {
		if !a.Remembers(token) {
			forgotten++
		}
	}
	t.Logf("%d of %d are forgotten", forgotten, n)
	if forgotten > n/20 {
		t.Error("more than 1 in 20")
	}
}

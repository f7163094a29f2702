package middleware_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport/dpop"
)

// sealing is an Authenticator that seals, and takes any access token.
func sealing(secrets ...[]byte) *middleware.Authenticator {
	return &middleware.Authenticator{
		Coordinator: &tokencache.Coordinator{Refresher: new(binding)},
		Cookies:     middleware.Cookies{InsecureNoTLS: true, Sealed: true, Secrets: secrets},
	}
}

// sized is a Token with an access token of so many bytes.
func sized(n int) tokencache.Token {
	return tokencache.NewToken(tokencache.TokenFields{Access: "!" + strings.Repeat("a", n-1), Refresh: "R0"})
}

// signIn returns what a browser has after a sign-in with what it had before.
func signIn(t *testing.T, a *middleware.Authenticator, had map[string]string, token tokencache.Token) map[string]string {
	t.Helper()
	in := httptest.NewRequest("POST", "/login", nil)
	for name, value := range had {
		in.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	rec := httptest.NewRecorder()
	if err := a.SignIn(rec, in, token); err != nil {
		t.Fatal(err)
	}
	has := map[string]string{}
	for name, value := range had {
		has[name] = value
	}
	for _, line := range rec.Result().Header["Set-Cookie"] {
		if len(line) > 4096 {
			t.Errorf("a cookie of %d bytes", len(line))
		}
	}
	for _, c := range rec.Result().Cookies() {
		if has[c.Name] = c.Value; c.MaxAge < 0 {
			delete(has, c.Name)
		}
	}
	return has
}

// opened returns the access token of a request with these cookies.
func opened(t *testing.T, a *middleware.Authenticator, has map[string]string) string {
	t.Helper()
	got, _ := shows(t, a, has, false)
	return got.Access()
}

// T-F6, T-F9: tokens of any length that fits, and what is left of longer ones.
func TestASealedCookieIsContinued(t *testing.T) {
	a := sealing(sealer(1))
	has := map[string]string{}
	for _, row := range []struct{ size, cookies int }{
		{10, 1}, {3000, 2}, {14000, 5}, {9000, 3}, {2800, 1}, {14000, 5}, {10, 1},
	} {
		if has = signIn(t, a, has, sized(row.size)); len(has) != row.cookies {
			t.Errorf("%d bytes are in %d cookies, want %d", row.size, len(has), row.cookies)
		}
		if got := opened(t, a, has); len(got) != row.size {
			t.Errorf("%d bytes came back as %d", row.size, len(got))
		}
	}
}

// T-F5
func TestWhatIsTooLongToBeSealedIsRefused(t *testing.T) {
	rec := httptest.NewRecorder()
	err := sealing(sealer(1)).SignIn(rec, httptest.NewRequest("POST", "/login", nil), sized(16000))
	if !errors.Is(err, middleware.ErrCookieTooLarge) || len(rec.Result().Cookies()) > 0 {
		t.Errorf("%v, %v", err, rec.Result().Cookies())
	}
}

// T-F6, T-F14: no piece is taken for one of another time, place or session.
func TestSealedCookiesDoNotMix(t *testing.T) {
	a := sealing(sealer(1))
	one, two := signIn(t, a, nil, sized(9000)), signIn(t, a, nil, sized(9001))
	for name := range one {
		mixed := map[string]string{}
		for n, v := range one {
			mixed[n] = v
		}
		mixed[name] = two[name]
		if got := opened(t, a, mixed); got != "" {
			t.Errorf("with %s of another one: %d bytes", name, len(got))
		}
		delete(mixed, name)
		if got := opened(t, a, mixed); got != "" {
			t.Errorf("without %s: %d bytes", name, len(got))
		}
	}
	one["rebearer-session-1"], one["rebearer-session-2"] = one["rebearer-session-2"], one["rebearer-session-1"]
	if opened(t, a, one) != "" {
		t.Error("in another order it opens")
	}
	moved := sealing(sealer(1))
	moved.Cookies.Session = "other"
	if opened(t, moved, map[string]string{"other": signIn(t, a, nil, sized(10))["rebearer-session"]}) != "" {
		t.Error("under another name it opens")
	}
}

// T-F14: each byte counts.
func TestAChangedSealedCookieDoesNotOpen(t *testing.T) {
	a := sealing(sealer(1))
	value := signIn(t, a, nil, sized(40))["rebearer-session"]
	for i := range value {
		for _, c := range []string{"A", "z", "-"} {
			if changed := value[:i] + c + value[i+1:]; changed != value && opened(t, a, map[string]string{"rebearer-session": changed}) != "" {
				t.Errorf("byte %d of %q, as %s", i, value, c)
			}
		}
		if opened(t, a, map[string]string{"rebearer-session": value[:i]}) != "" {
			t.Errorf("the first %d bytes of %q", i, value)
		}
	}
}

// T-F14: a secret is replaced without anybody being signed out.
func TestSecretsAreReplacedOneByOne(t *testing.T) {
	first, second := sealer(1), sealer(2)
	has := signIn(t, sealing(first), nil, sized(40))
	both := sealing(second, first)
	if opened(t, both, has) == "" {
		t.Error("the second of the secrets does not open")
	}
	if opened(t, sealing(second), has) != "" {
		t.Error("another secret opens")
	}
	if opened(t, sealing(second), signIn(t, both, has, sized(40))) == "" {
		t.Error("the first of the secrets does not seal")
	}
}

// T-F14: the key of a session is in there, too, and one without may be beside it.
func TestASealedCookieHoldsTheKey(t *testing.T) {
	a := sealing(sealer(1))
	key, err := new(dpop.Prover).NewKey()
	if err != nil {
		t.Fatal(err)
	}
	bound := tokencache.NewToken(tokencache.TokenFields{Access: "A0", Refresh: "R0", Type: "DPoP", Key: key})
	has := signIn(t, a, nil, bound)
	if got, _ := shows(t, a, has, false); got.Type() != "DPoP" || !got.Same(bound) || got.Key() == nil || len(has) != 1 {
		t.Errorf("%v %v", got.Type(), has)
	}
	if got, _ := shows(t, a, signIn(t, a, nil, sized(10)), false); got.Type() != "Bearer" || got.Key() != nil {
		t.Errorf("%v", got.Type())
	}
}

// What is sealed is not there for the handler, and for what it passes on to.
func TestAHandlerSeesNoSealedCookie(t *testing.T) {
	a := sealing(sealer(1))
	in := httptest.NewRequest("GET", "/", nil)
	for name, value := range signIn(t, a, nil, sized(9000)) {
		in.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	in.AddCookie(&http.Cookie{Name: "rebearer-session-9", Value: "another's"})
	rec := httptest.NewRecorder()
	a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header["Cookie"]; fmt.Sprint(got) != "[rebearer-session-9=another's]" {
			t.Errorf("%.200v", got)
		}
		w.Header().Add("Set-Cookie", "rebearer-session=x")
		w.Header().Add("Set-Cookie", "rebearer-session-1=x")
		w.Header().Add("Set-Cookie", "rebearer-session-9=x")
	})).ServeHTTP(rec, in)
	if got := rec.Result().Header["Set-Cookie"]; fmt.Sprint(got) != "[rebearer-session-9=x]" {
		t.Errorf("%v", got)
	}
}

// T-F7, T-F9: a sealed cookie that was set for the domain, too, goes with all its
// chunks, at the latest with a logout.
func TestSealedCookiesOfTheDomainAreDeleted(t *testing.T) {
	a := sealing(sealer(1))
	has, stray := signIn(t, a, nil, sized(5000)), signIn(t, a, nil, sized(9000))
	in := httptest.NewRequest("GET", "http://app.example.com/", nil)
	for _, shown := range []map[string]string{has, stray} {
		for name, value := range shown {
			in.AddCookie(&http.Cookie{Name: name, Value: value})
		}
	}
	rec := httptest.NewRecorder()
	if err := a.SignOut(rec, in); err != nil {
		t.Fatal(err)
	}
	gone := map[string]bool{}
	for _, c := range rec.Result().Cookies() {
		if c.MaxAge < 0 && c.Domain != "" {
			gone[c.Domain+" "+c.Name] = true
		}
	}
	for _, domain := range []string{"app.example.com", "example.com"} {
		for _, name := range []string{"rebearer-session", "rebearer-session-1", "rebearer-session-2"} {
			if !gone[domain+" "+name] {
				t.Errorf("%s of %s stays: %v", name, domain, gone)
			}
		}
	}
}

// T-F9: a program that has changed the place leaves nothing behind, and passes
// nothing on.
func TestCookiesOfAnotherPlaceAreDeleted(t *testing.T) {
	for name, change := range map[string]func(*middleware.Authenticator){
		"sealed":   func(a *middleware.Authenticator) { a.Cookies.Sealed, a.Cookies.Secrets = true, [][]byte{sealer(1)} },
		"sessions": func(a *middleware.Authenticator) { a.Sessions = &middleware.Sessions{} },
	} {
		t.Run(name, func(t *testing.T) {
			plain := &middleware.Authenticator{Coordinator: &tokencache.Coordinator{}}
			has := signIn(t, plain, nil, sized(10))
			if len(has) != 2 {
				t.Fatal(has)
			}
			a := &middleware.Authenticator{Coordinator: &tokencache.Coordinator{}, Public: []string{"/"}}
			change(a)
			in := httptest.NewRequest("GET", "/", nil)
			for name, value := range has {
				in.AddCookie(&http.Cookie{Name: name, Value: value})
			}
			a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if len(r.Cookies()) > 0 || !tokencache.FromContext(r.Context()).Token().IsZero() {
					t.Errorf("the handler sees %v", r.Cookies())
				}
			})).ServeHTTP(httptest.NewRecorder(), in)
			if has = signIn(t, a, has, sized(20)); len(has) != 1 || has["__Host-rebearer-session"] == "" {
				t.Errorf("%v", has)
			}
		})
	}
}

// FuzzSealed: what a browser shows opens as what was sealed, or as nothing.
func FuzzSealed(f *testing.F) {
	a := sealing(sealer(1), sealer(2))
	t := &testing.T{}
	small, large := signIn(t, a, nil, sized(50)), signIn(t, a, nil, sized(5000))
	f.Add(small["rebearer-session"], "", "")
	f.Add(large["rebearer-session"], large["rebearer-session-1"], "")
	f.Add(large["rebearer-session"], large["rebearer-session"], large["rebearer-session-1"])
	f.Add("AAAAAAAA1", "", "")
	f.Add("AAAAAAAA5AAAA", "AAAAAAAA5", "AAAAAAAA5A")
	f.Fuzz(func(t *testing.T, first, second, third string) {
		in := httptest.NewRequest("GET", "/", nil)
		in.Header["Cookie"] = []string{"rebearer-session=" + first + "; rebearer-session-1=" + second + "; rebearer-session-2=" + third}
		rec := httptest.NewRecorder()
		var got tokencache.Token
		began := time.Now()
		a.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			got = tokencache.FromContext(r.Context()).Token()
		})).ServeHTTP(rec, in)
		if n := len(got.Access()); !got.IsZero() && n != 50 && n != 5000 {
			t.Errorf("%q", got.Access())
		}
		if rec.Code >= 500 || time.Since(began) > time.Minute || bytes.Contains(rec.Body.Bytes(), []byte("panic")) {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
	})
}

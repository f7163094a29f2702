package middleware_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
)

// FuzzCookieSettings: with whatever settings are taken, the cookies of whatever
// tokens are such that a browser keeps them and sends them back, or there is an
// error and nothing is sent (T-F4, T-F5, T-F9, T-F10; RFC 6265bis sections 4.1.3
// and 5.7).
func FuzzCookieSettings(f *testing.F) {
	for _, path := range []string{"", "/", "/auth", "/auth/", "/auth/refresh", "auth", "/a;b", "/\u00e4", "//"} {
		f.Add("", "", path, byte(0), "access", "refresh")
	}
	f.Add("__Host-a", "__Secure-r", "/auth", byte(7), "~x", `a;b,"c\`)
	f.Add("__host-a", "__SECURE-r", "/", byte(1), "A", strings.Repeat("x", 4000))
	f.Add("__host-a", "r", "/", byte(1), "A", "R")
	f.Add("a", "__hOST-r", "/auth", byte(0), "A", "R")
	f.Add("a", "a", "", byte(2), "A", "\u00e4")
	f.Add("a b", "=", "", byte(3), "A", "\r\nSet-Cookie: x=y")
	f.Add("__Host-Http-a", "", "", byte(4), strings.Repeat("\xff", 3100), "")
	f.Fuzz(func(t *testing.T, access, refresh, path string, bits byte, accessToken, refreshToken string) {
		a := &middleware.Authenticator{Coordinator: &tokencache.Coordinator{}, Cookies: middleware.Cookies{
			Access: access, Refresh: refresh, RefreshPath: path, InsecureNoTLS: bits&1 != 0,
			SameSite: []http.SameSite{0, http.SameSiteLaxMode, http.SameSiteStrictMode, http.SameSiteNoneMode}[bits>>1&3],
			MaxAge:   time.Duration(bits>>3) * time.Hour,
		}}
		if a.Validate() != nil {
			return
		}
		rec := httptest.NewRecorder()
		token := tokencache.NewToken(tokencache.TokenFields{Access: accessToken, Refresh: refreshToken})
		if err := a.SignIn(rec, httptest.NewRequest("POST", "/login", nil), token); err != nil {
			if len(rec.Header()["Set-Cookie"]) > 0 {
				t.Errorf("%v, and %q", err, rec.Header()["Set-Cookie"])
			}
			return
		}
		set := kept(t, rec, bits&1 != 0)
		back := httptest.NewRequest("GET", "/", nil)
		back.Header.Set("Cookie", strings.Join(set, "; "))
		got := shownBy(a, back)
		if got.Access() != accessToken || got.Refresh() != refreshToken {
			t.Errorf("%q and %q came back as %q and %q in %q", accessToken, refreshToken, got.Access(), got.Refresh(), set)
		}
		out := httptest.NewRecorder()
		a.SignOut(out, httptest.NewRequest("POST", "/logout", nil))
		if left := kept(t, out, bits&1 != 0); len(left) > 0 {
			t.Errorf("a logout leaves %q", left)
		}
		for i, line := range out.Header()["Set-Cookie"] { // with the same name, path and flags
			if was, is := attributes(rec.Header()["Set-Cookie"][i]), attributes(line); was != is {
				t.Errorf("%q is deleted with %q", was, is)
			}
		}
	})
}

// kept returns what a browser keeps of the response, as it sends it back.
func kept(t *testing.T, rec *httptest.ResponseRecorder, plain bool) (pairs []string) {
	t.Helper()
	lines := rec.Header()["Set-Cookie"]
	if len(lines) != 2 {
		t.Fatalf("%q", lines)
	}
	for _, line := range lines {
		c, err := http.ParseSetCookie(line)
		if err != nil || len(line) > 4096 || strings.ContainsAny(line, "\r\n\x00") {
			t.Fatalf("%.100q, %d bytes: %v", line, len(line), err)
		}
		name := strings.ToLower(c.Name)
		host, secure := strings.HasPrefix(name, "__host-"), strings.HasPrefix(name, "__secure-")
		switch {
		case !c.HttpOnly, c.SameSite == 0, c.Domain != "", c.Secure == plain, c.Path == "" || c.Path[0] != '/',
			host && c.Path != "/", (host || secure || c.SameSite == http.SameSiteNoneMode) && !c.Secure, len(c.Unparsed) > 0:
			t.Errorf("no browser keeps %q, or too many can read it", line)
		}
		if c.MaxAge < 0 {
			continue
		}
		if c.MaxAge == 0 || c.Value == "" {
			t.Errorf("%q is no cookie", line)
		}
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	return pairs
}

// attributes are what a deletion has to name again.
func attributes(line string) string {
	c, _ := http.ParseSetCookie(line)
	return (&http.Cookie{Name: c.Name, Path: c.Path, Secure: c.Secure, HttpOnly: c.HttpOnly, SameSite: c.SameSite}).String()
}

// shownBy returns the tokens that a request is taken to show.
func shownBy(a *middleware.Authenticator, r *http.Request) tokencache.Token {
	var got tokencache.Token
	a.Boundary(func(_ http.ResponseWriter, r *http.Request) error {
		got = tokencache.FromContext(r.Context()).Token()
		return nil
	}).ServeHTTP(httptest.NewRecorder(), r)
	return got
}

package middleware_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
)

// showing asks for a path as a navigation with just these cookies.
func (b *browser) showing(method, path, cookies string) answer {
	b.w.t.Helper()
	h := navigating.Clone()
	h.Set("Cookie", cookies)
	return b.do(method, path, "", h)
}

// T-F7: a cookie that somebody has set alone, before or after ours, takes nothing
// from a pair that works: while nothing is renewed, no response sets or deletes a
// token.
func TestAStrayCookieCostsNothing(t *testing.T) {
	for _, path := range []string{"", "/auth"} {
		w := start(t, with(func(a *middleware.Authenticator) { a.Cookies.RefreshPath = path }))
		b := w.pages(w.page()).browser()
		good := w.as.SignIn("ada")
		access, refresh := "access="+good.Access(), "; refresh="+good.Refresh()
		for _, cookies := range []string{
			"access=stray; " + access + refresh,
			access + "; access=stray" + refresh,
			access + "; refresh=stray" + refresh,
			access + refresh + "; refresh=stray",
			"access=stray; " + access,
			access + "; access=stray",
			access + "; access=stray; refresh=stray" + refresh,
		} {
			a := b.showing("GET", "/", cookies)
			must(t, a, 200, "page of ada")
			if set := a.Header["Set-Cookie"]; len(set) > 0 {
				t.Errorf("RefreshPath %q, %.40s…: %q", path, cookies, set)
			}
		}
		w.presentations(0)
	}
}

// T-F7: a browser sends a cookie of a longer path first (RFC 6265 section 5.4),
// where that path is. The session goes on there, and elsewhere.
func TestAStrayCookieOfALongerPath(t *testing.T) {
	for _, name := range []string{accessName, refreshName} {
		w := start(t)
		b := w.pages(w.page()).browser()
		b.signedIn("ada")
		u, _ := url.Parse(b.URL + "/app/")
		b.jar.SetCookies(u, []*http.Cookie{{Name: name, Value: "stray", Path: "/app"}})
		must(t, b.visit("/app/x"), 200, "page of ada")
		w.as.RevokeAccess()
		must(t, b.visit("/"), 200, "page of ada")
		w.presentations(1)
	}
}

// T-F7: the default name of a refresh cookie with a RefreshPath may be set by a
// sibling. A request that refreshes nothing does not make its token ours.
func TestASiblingsRefreshCookieIsNotTakenOver(t *testing.T) {
	w := start(t, with(func(a *middleware.Authenticator) { a.Cookies.RefreshPath = "/auth" }))
	b := w.pages(w.page()).browser()
	good := w.as.SignIn("ada")
	h := fetching.Clone()
	h.Set("Rebearer-Spent", "AAAAAAAAAAAAAAAAAAAAAA") // one that was replaced meanwhile
	h.Set("Cookie", "access="+good.Access()+"; refresh=stray; refresh="+good.Refresh())
	if a := b.do("POST", "/auth/refresh", "", h); a.StatusCode != 204 || a.setsTokens() {
		t.Errorf("%d %q", a.StatusCode, a.Header["Set-Cookie"])
	}
	h.Del("Rebearer-Spent")
	a := b.do("POST", "/auth/refresh", "", h)
	set := slices.ContainsFunc(a.Cookies(), func(c *http.Cookie) bool { return c.Name == refreshName && w.as.Alive(c.Value) })
	if a.StatusCode != 204 || !set {
		t.Error(fmt.Sprint(a.StatusCode, a.Header["Set-Cookie"]), "after a renewal")
	}
}

// T-F7: cookies of two names whose numbers differ are no pairs. A refresh token
// that is there once goes with whatever access token works, and of several each is
// tried, before anybody is asked to sign in.
func TestCookiesThatAreNoPairsAreTried(t *testing.T) {
	for name, cookies := range map[string]string{
		"a stray access cookie":             "access=stray; access=LIVE; refresh=GOOD",
		"one beside a token that has ended": "access=stray; access=ENDED; refresh=GOOD",
		"and after it":                      "access=ENDED; access=stray; refresh=GOOD",
		"a stray refresh cookie":            "access=ENDED; refresh=stray; refresh=GOOD",
		"more access cookies than refresh":  "access=a; access=b; access=ENDED; refresh=stray; refresh=GOOD",
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t)
			b := w.pages(w.page()).browser()
			good := w.as.SignIn("ada")
			w.as.RevokeAccess() // the API takes LIVE no more, which is known while the page runs
			fill := strings.NewReplacer("LIVE", good.Access(), "ENDED", w.stale("ada", time.Minute), "GOOD", good.Refresh())
			a := b.showing("GET", "/", fill.Replace(cookies))
			must(t, a, 200, "page of ada")
			if !a.setsTokens() {
				t.Errorf("%q", a.Header["Set-Cookie"])
			}
		})
	}
}

// T-F7, T-K3: the key of a session is there once, whatever is beside its tokens:
// it is used with the pair that works, and stays.
func TestAStrayPairBesideAKey(t *testing.T) {
	w := start(t)
	a := &middleware.Authenticator{Coordinator: &tokencache.Coordinator{}, Verifier: w.auth.Verifier,
		Cookies: middleware.Cookies{InsecureNoTLS: true, Secrets: [][]byte{sealer(1)}}}
	key := newKey(t, "ES256")
	rec := httptest.NewRecorder()
	token := tokencache.NewToken(tokencache.TokenFields{Access: w.forge(nil), Refresh: "R", Key: key})
	if err := a.SignIn(rec, httptest.NewRequest("POST", "/login", nil), token); err != nil {
		t.Fatal(err)
	}
	in := httptest.NewRequest("GET", "/", nil)
	in.Header.Set("Cookie", "access=stray; refresh=stray")
	for _, c := range rec.Result().Cookies() {
		in.AddCookie(c)
	}
	rec = httptest.NewRecorder()
	a.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		isKey(t, tokencache.FromContext(r.Context()).Token(), key)
	})).ServeHTTP(rec, in)
	if set := rec.Header()["Set-Cookie"]; rec.Code != 200 || len(set) > 0 {
		t.Errorf("%d %q", rec.Code, set)
	}
}

// T-F7: a session that was logged out, whichever place its cookies have, does not
// end the one beside it. With Sessions it is the only one that is forgotten.
func TestALoggedOutSessionBesideAGoodOne(t *testing.T) {
	for name, place := range map[string]func(*middleware.Authenticator){
		"plain cookies":  func(*middleware.Authenticator) {},
		"sealed cookies": seal,
		"sessions":       func(a *middleware.Authenticator) { a.Sessions = &middleware.Sessions{} },
	} {
		for _, first := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, the good one first %t", name, first), func(t *testing.T) {
				w := start(t, with(place))
				issued := new(ledger)
				s := w.serve(w.rooms(issued))
				shown := func() string {
					b := s.browser()
					b.again("ada", false)
					u, _ := url.Parse(b.URL)
					var all []string
					for _, c := range b.jar.Cookies(u) {
						all = append(all, c.String())
					}
					return strings.Join(all, "; ")
				}
				over := shown()
				if err := w.auth.Coordinator.Revoke(t.Context(), issued.last()); err != nil {
					t.Fatal(err)
				}
				good := shown()
				both := over + "; " + good
				if first {
					both = good + "; " + over
				}
				a := s.browser().showing("GET", "/", both)
				must(t, a, 200, "page of ada")
				if len(a.Header["Set-Cookie"]) > 0 {
					t.Errorf("%q", a.Header["Set-Cookie"])
				}
				must(t, s.browser().showing("GET", "/", good), 200, "page of ada")
			})
		}
	}
}

// T-F7: what ends while a page runs is one of several, and no proof that the others
// are over: they stay, and the next page is theirs.
func TestAnEndDuringAPageIsTheEndOfOnePair(t *testing.T) {
	w := start(t)
	b := w.pages(w.page()).browser()
	dead, good := w.as.SignIn("ada"), w.as.SignIn("ada")
	w.as.EndSession(dead.Refresh())
	w.as.RevokeAccess()
	both := "access=" + dead.Access() + "; access=" + good.Access() + "; refresh=" + dead.Refresh() + "; refresh=" + good.Refresh()
	if a := b.showing("GET", "/", both); a.StatusCode != 303 || a.clearsTokens() {
		t.Errorf("%d %q", a.StatusCode, a.Header["Set-Cookie"])
	}
	must(t, b.showing("GET", "/", both), 200, "page of ada")
}

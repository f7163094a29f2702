package middleware_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
)

// B63, T-G7: before the handler the token is renewed for every method, and the
// handler runs once, with the whole body.
func TestARenewalBeforeTheHandlerServesEveryMethod(t *testing.T) {
	w := start(t)
	ran := 0
	s := w.pages(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		ran++
		w.page().ServeHTTP(rw, r)
		n := new(strings.Builder)
		r.Write(n)
		fmt.Fprintf(rw, ", %s with %d x", r.Method, strings.Count(n.String(), "x"))
	}))
	for _, method := range []string{"GET", "POST", "PUT", "DELETE", "PATCH"} {
		t.Run(method, func(t *testing.T) {
			b := s.browser()
			old := b.expired("ada")
			w.as.ResetCounts()
			ran = 0
			body := ""
			if method != "GET" {
				body = strings.Repeat("x", 3<<20)
			}
			a := b.do(method, "/", body, fetching)
			must(t, a, 200, fmt.Sprintf("page of ada, ada, %s with %d x", method, len(body)))
			w.presentations(1)
			if ran != 1 {
				t.Errorf("the handler ran %d times", ran)
			}
			if _, refresh := b.cookies(); refresh == old.Refresh() || !w.as.Alive(refresh) {
				t.Error("the browser does not hold the new tokens")
			}
			b.do("GET", "/", "", fetching)
			w.presentations(1)
		})
	}
}

// B64: redirect mode sends documents that are read to themselves, and serves
// everything else inline.
func TestRedirectModeIsForDocumentsAlone(t *testing.T) {
	w := start(t, redirecting)
	s := w.pages(w.page())
	for name, row := range map[string]struct {
		method string
		header http.Header
		status int
	}{
		"a document":                         {"GET", navigating, 307},
		"a document by HEAD":                 {"HEAD", navigating, 307},
		"a document, by an old browser":      {"GET", http.Header{"Accept": {"text/html,*/*;q=0.8"}}, 307},
		"a form that is sent":                {"POST", navigating, 200},
		"a fetch":                            {"GET", fetching, 200},
		"a frame":                            {"GET", http.Header{"Sec-Fetch-Dest": {"iframe"}, "Sec-Fetch-Mode": {"navigate"}}, 200},
		"a program that says nothing":        {"GET", nil, 200},
		"an XMLHttpRequest of an old script": {"GET", http.Header{"Accept": {"text/html"}, "X-Requested-With": {"XMLHttpRequest"}}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			b := s.browser()
			b.expired("ada")
			w.as.ResetCounts()
			a := b.do(row.method, "/a/b?c=d%20e&f", "", row.header)
			if a.StatusCode != row.status {
				t.Fatalf("%d, not %d", a.StatusCode, row.status)
			}
			if l := a.Header.Get("Location"); row.status == 307 && l != "/a/b?c=d%20e&f" {
				t.Errorf("sent to %q", l)
			}
			if !a.setsTokens() {
				t.Error("no cookies came with it")
			}
			w.presentations(1)
			must(t, b.do("GET", "/a/b?c=d%20e&f", "", navigating), 200, "page of ada")
			w.presentations(1)
		})
	}
}

// B65, T-F12: a client that drops cookies sees one redirect and then pages.
func TestNoLoopWithoutCookies(t *testing.T) {
	w := start(t, redirecting)
	s := w.pages(w.page())
	token := w.as.SignIn("ada")
	stale := w.stale("ada", time.Minute)
	statuses := map[int]int{}
	for range 10 {
		b := s.browser() // a new jar each time
		b.keep(stale, token.Refresh())
		statuses[b.visit("/").StatusCode]++
	}
	if statuses[307] != 1 || statuses[200] != 9 {
		t.Errorf("%v", statuses)
	}
	w.presentations(1)
}

// B65, T-G4: twenty tabs at once are at most one redirect, since there is one
// presentation.
func TestOneRedirectForAllTabs(t *testing.T) {
	w := start(t, redirecting)
	s := w.pages(w.page())
	token := w.as.SignIn("ada")
	stale := w.stale("ada", time.Minute)
	var mu sync.Mutex
	statuses := map[int]int{}
	var tabs sync.WaitGroup
	for range 20 {
		tabs.Go(func() {
			b := s.browser()
			b.keep(stale, token.Refresh())
			a, err := b.try("GET", "/", "", navigating)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || !a.setsTokens() {
				t.Errorf("%v, or no cookies", err)
				return
			}
			statuses[a.StatusCode]++
		})
	}
	tabs.Wait()
	if statuses[307] != 1 || statuses[200] != 19 {
		t.Errorf("%v", statuses)
	}
	w.presentations(1)
}

// B65, T-F5: tokens that no browser keeps. There is no redirect, which would come back
// as it was, but the page, from what the Coordinator remembers.
func TestNoLoopWithCookiesThatAreTooLarge(t *testing.T) {
	w := start(t, redirecting)
	w.as.Mutate(func(m map[string]any) {
		m["access_token"] = w.forge(map[string]any{"padding": strings.Repeat("x", 4000)})
	})
	b := w.pages(still).browser()
	b.expired("ada")
	for range 5 {
		a := b.visit("/")
		must(t, a, 200, "still, ada")
		if len(a.Cookies()) > 0 {
			t.Errorf("%v", a.Header)
		}
	}
	w.presentations(1)
}

// B65, T-G4: what is issued has ended by our clock, within the leeway, or will
// have before the browser is back. The page is served at once.
func TestNoLoopWithTokensThatEndAtOnce(t *testing.T) {
	for _, life := range []time.Duration{-5 * time.Second, 2 * time.Second} {
		var w *world
		issue := issuing(func() tokencache.Token {
			return tokencache.NewToken(tokencache.TokenFields{Access: w.stale("ada", -life), Refresh: "R"})
		})
		w = start(t, redirecting, with(func(a *middleware.Authenticator) { a.Coordinator = &tokencache.Coordinator{Refresher: issue} }))
		b := w.pages(still).browser()
		b.keep(w.stale("ada", time.Minute), "r")
		a := b.visit("/")
		must(t, a, 200, "still, ada")
		if !a.setsTokens() {
			t.Errorf("%v", a.Header)
		}
	}
}

// B65, T-G4: tokens that never verify, and clocks that are an hour apart, end at a
// page that says why, with the cookies kept, and with a presentation in a
// second at the most.
func TestATokenThatDoesNotVerifyIsAMisconfiguration(t *testing.T) {
	for name, row := range map[string]struct {
		option option
		says   string
	}{
		"another key": {with(func(a *middleware.Authenticator) {
			a.Verifier = &middleware.Verifier{Algorithms: []string{"HS256"}, Key: []byte(strings.Repeat("k", 32))}
		}), "the key or the algorithm"},
		"another issuer": {func(c *authtest.ASConfig, a *middleware.Authenticator) { c.Audience = "elsewhere" }, "the audience"},
		"a clock that is an hour slow": {func(c *authtest.ASConfig, a *middleware.Authenticator) {
			c.AccessTTL = -time.Hour
		}, "the clocks"},
	} {
		for _, mode := range []middleware.Mode{middleware.Inline, middleware.Redirect} {
			t.Run(fmt.Sprint(name, mode), func(t *testing.T) {
				w := start(t, row.option, with(func(a *middleware.Authenticator) { a.Mode = mode }))
				s := w.pages(w.page())
				b := s.browser()
				b.expired("ada")
				for i := range 10 {
					a := b.visit("/")
					if i == 0 {
						must(t, a, 500, row.says)
						if !a.setsTokens() {
							t.Error("the new tokens were dropped, and the old ones are spent")
						}
					}
					if a.StatusCode < 500 || a.clearsTokens() {
						t.Errorf("%d %q", a.StatusCode, a.body)
					}
				}
				if n := w.as.Counts().Presentations; n > 3 {
					t.Errorf("%d presentations for ten pages", n)
				}
				if w.as.Counts().Reuses != 0 {
					t.Error("a token was presented twice")
				}
			})
		}
	}
}

// B66, T-G9: prefetches, images and the like leave the authorization server alone and
// are not redirected, expired or not.
func TestPassiveRequestsNeverRefresh(t *testing.T) {
	w := start(t, redirecting)
	s := w.pages(w.page())
	for name, h := range map[string]http.Header{
		"a prefetch":               {"Sec-Purpose": {"prefetch"}, "Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Mode": {"navigate"}},
		"a prerendered page":       {"Sec-Purpose": {"prefetch;prerender"}, "Sec-Fetch-Dest": {"document"}},
		"a prefetch of old":        {"Purpose": {"prefetch"}, "Accept": {"text/html"}},
		"a prefetch by a router":   {"Next-Router-Prefetch": {"1"}, "Sec-Fetch-Dest": {"empty"}},
		"an image":                 {"Sec-Fetch-Dest": {"image"}},
		"a script":                 {"Sec-Fetch-Dest": {"script"}},
		"a style":                  {"Sec-Fetch-Dest": {"style"}},
		"a font":                   {"Sec-Fetch-Dest": {"font"}},
		"an image, old browser":    {"Accept": {"image/avif,image/webp,*/*"}},
		"a style sheet of old":     {"Accept": {"text/css,*/*;q=0.1"}},
		"a preflight with cookies": {"Access-Control-Request-Method": {"POST"}},
	} {
		t.Run(name, func(t *testing.T) {
			method := "GET"
			if strings.HasPrefix(name, "a preflight") {
				method = "OPTIONS"
			}
			for _, expired := range []bool{true, false} {
				b := s.browser()
				if expired {
					b.expired("ada")
				} else { // locally good, but the API rejects it
					b.signedIn("ada")
					w.as.RevokeAccess()
				}
				w.as.ResetCounts()
				if a := b.do(method, "/", "", h); a.StatusCode != 401 || a.setsTokens() || a.clearsTokens() {
					t.Errorf("expired %t: %d %s", expired, a.StatusCode, a.body)
				}
				w.presentations(0)
			}
			b := s.browser()
			b.signedIn("ada")
			must(t, b.do(method, "/", "", h), 200, "page of ada")
		})
	}
}

// B68: without tokens a page is sent to the login page, a call gets 401 as a
// problem, and a public path passes.
func TestWithoutTokens(t *testing.T) {
	w := start(t, with(func(a *middleware.Authenticator) { a.Public = []string{"GET /about", "/assets/"} }))
	s := w.pages(still)
	b := s.browser()

	a := b.visit("/orders/7?sort=up&x=%2F")
	must(t, a, 303, "")
	if l := a.Header.Get("Location"); l != "/login?next=%2Forders%2F7%3Fsort%3Dup%26x%3D%252F" {
		t.Error(l)
	}
	must(t, b.visit(a.Header.Get("Location")), 200, "login page, next /orders/7?sort=up&x=%2F")

	a = b.fetch("/orders/7")
	must(t, a, 401, `"status":401`)
	if ct := a.Header.Get("Content-Type"); ct != "application/problem+json" {
		t.Error(ct)
	}
	if cc := a.Header.Get("Cache-Control"); cc != "private, no-store" {
		t.Errorf("it may be stored: %q", cc)
	}
	if a = b.do("POST", "/orders", "a=b", navigating); a.Header.Get("Location") != "/login?next=%2F" {
		t.Errorf("a form is sent back to what only takes forms: %v", a.Header)
	}
	for path, status := range map[string]int{
		"/about": 200, "/assets/x.css": 200, "/assets/": 200,
		// T-G6: nothing but what is named, in its clean spelling.
		"/about/": 401, "/about.json": 401, "/assets": 401, "/assets/../orders": 401, "/assets/%2e%2e/orders": 401,
		"/assets//orders": 401, "/assets/./x": 401, "/x.css": 401, "/assets;/x": 401, "//about": 401,
	} {
		in := httptest.NewRequest("GET", "http://bff.test"+path, nil)
		in.RequestURI = path
		out := httptest.NewRecorder()
		w.auth.Handler(still).ServeHTTP(out, in)
		if out.Code != status {
			t.Errorf("%s: %d, not %d", path, out.Code, status)
		}
	}
	if a := b.do("POST", "/about", "", fetching); a.StatusCode != 401 {
		t.Errorf("POST is not public: %d", a.StatusCode)
	}
	w.presentations(0)
}

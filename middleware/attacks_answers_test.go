package middleware_test

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/middleware"
)

// states are what a browser's session may be like, and whether the browser is
// shown to somebody.
var states = map[string]func(b *browser){
	"nobody":                       func(*browser) {},
	"somebody whose token works":   func(b *browser) { b.signedIn("ada") },
	"somebody whose token ended":   func(b *browser) { b.expired("ada") },
	"somebody whose token is dead": func(b *browser) { b.signedIn("ada"); b.w.as.RevokeAccess() },
	"somebody whose session is over": func(b *browser) {
		b.w.as.EndSession(b.expired("ada").Refresh())
	},
	"somebody who made it up": func(b *browser) { b.keep("made.up.too", "made-up") },
}

// T-G8: a program gets a status, and never the page of a login, nor a redirect to
// itself that it would follow.
func TestAProgramIsNeverRedirected(t *testing.T) {
	for name, h := range map[string]http.Header{
		"fetch":                       fetching,
		"fetch from elsewhere":        {"Sec-Fetch-Dest": {"empty"}, "Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Site": {"cross-site"}},
		"an XMLHttpRequest":           {"Sec-Fetch-Dest": {"empty"}, "X-Requested-With": {"XMLHttpRequest"}, "Accept": {"text/html"}},
		"an XMLHttpRequest of old":    {"X-Requested-With": {"XMLHttpRequest"}, "Accept": {"text/html, */*"}},
		"a server component":          {"Sec-Fetch-Dest": {"empty"}, "Rsc": {"1"}, "Accept": {"text/x-component"}},
		"events":                      {"Sec-Fetch-Dest": {"empty"}, "Accept": {"text/event-stream"}},
		"events of an old browser":    {"Accept": {"text/event-stream"}},
		"a WebSocket":                 {"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Fetch-Dest": {"websocket"}, "Sec-Fetch-Mode": {"websocket"}},
		"a WebSocket of old":          {"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Accept": {"text/html"}},
		"a program that says nothing": {},
	} {
		for _, mode := range []option{func(*authtest.ASConfig, *middleware.Authenticator) {}, redirecting} {
			w := start(t, mode)
			s := w.pages(w.page())
			for state, of := range states {
				t.Run(name+" of "+state, func(t *testing.T) {
					b := s.browser()
					of(b)
					a := b.do("GET", "/", "", h)
					if a.StatusCode != 200 && a.StatusCode != 401 || a.Header.Get("Location") != "" || strings.Contains(a.body, "<html") {
						t.Errorf("%d %v %s", a.StatusCode, a.Header, a.body)
					}
					if served := strings.HasPrefix(state, "somebody whose token"); served != (a.StatusCode == 200) {
						t.Errorf("%d %s", a.StatusCode, a.body)
					}
					if a.StatusCode == 401 && (a.Header.Get("Content-Type") != "application/problem+json" || a.clearsTokens()) {
						t.Errorf("%v", a.Header)
					}
				})
			}
		}
	}
}

// T-G10: HEAD is GET without a body. OPTIONS is neither, and rotates nothing.
func TestHEADIsGETWithoutABody(t *testing.T) {
	for _, mode := range []option{func(*authtest.ASConfig, *middleware.Authenticator) {}, redirecting} {
		w := start(t, mode)
		pages, boundary := w.pages(w.page()), w.bounded()
		for state, of := range states {
			for kind, h := range map[string]http.Header{"a page": navigating, "a fetch": fetching} {
				for where, s := range map[string]*site{"Handler": pages, "Boundary": boundary} {
					t.Run(fmt.Sprint(where, ", ", kind, " of ", state), func(t *testing.T) {
						one, two := s.browser(), s.browser()
						of(one)
						of(two)
						get, head := one.do("GET", "/a?b=c", "", h), two.do("HEAD", "/a?b=c", "", h)
						if get.StatusCode != head.StatusCode || head.body != "" {
							t.Errorf("%d and %d %s", get.StatusCode, head.StatusCode, head.body)
						}
						for _, name := range []string{"Location", "Content-Type", "Cache-Control", "Vary"} {
							if g, h := get.Header.Get(name), head.Header.Get(name); g != h && !(name == "Content-Type" && get.StatusCode == 200) {
								t.Errorf("%s is %q and %q", name, g, h)
							}
						}
						if get.setsTokens() != head.setsTokens() || get.clearsTokens() != head.clearsTokens() {
							t.Errorf("%v and %v", get.Cookies(), head.Cookies())
						}
						w.as.ResetCounts()
						three := s.browser()
						of(three)
						if a := three.do("OPTIONS", "/a", "", h); a.setsTokens() || a.clearsTokens() || a.StatusCode >= 300 && a.StatusCode < 400 {
							t.Errorf("OPTIONS: %d %v", a.StatusCode, a.Header)
						}
						w.presentations(0)
					})
				}
			}
		}
	}
}

// T-H2: whatever we answer ourselves, be it a status, a redirect or a page, no
// cache keeps. The handler's own answer is the handler's matter as long as it
// brings no cookies.
func TestWhatWeAnswerIsNeverStored(t *testing.T) {
	w := start(t, redirecting)
	pages, boundary := w.pages(w.page()), w.bounded()
	for name, row := range map[string]struct {
		site         *site
		state        string
		method, path string
		header       http.Header
		status       int
	}{
		"a redirect to the login":       {pages, "nobody", "GET", "/", navigating, 303},
		"a program without a session":   {pages, "nobody", "GET", "/", fetching, 401},
		"a redirect to itself":          {pages, "somebody whose token ended", "GET", "/", navigating, 307},
		"an end":                        {pages, "somebody whose session is over", "GET", "/", navigating, 303},
		"an end of a program":           {pages, "somebody whose session is over", "GET", "/", fetching, 401},
		"a page with new cookies":       {pages, "somebody whose token is dead", "GET", "/", navigating, 200},
		"a boundary":                    {boundary, "somebody whose token ended", "GET", "/", navigating, 401},
		"a boundary of a program":       {boundary, "somebody whose token ended", "GET", "/", fetching, 401},
		"a refresh":                     {boundary, "somebody whose token ended", "POST", "/auth/refresh", fetching, 204},
		"a refresh by a form":           {boundary, "somebody whose token ended", "POST", "/auth/refresh", navigating, 303},
		"a refresh of nobody":           {boundary, "nobody", "POST", "/auth/refresh", fetching, 401},
		"a refresh that comes too late": {boundary, "somebody whose session is over", "POST", "/auth/refresh", fetching, 401},
		"a refresh by GET":              {boundary, "somebody whose token ended", "GET", "/auth/refresh", navigating, 405},
		"a refresh from elsewhere":      {boundary, "somebody whose token ended", "POST", "/auth/refresh", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
		"a logout":                      {boundary, "somebody whose token works", "POST", "/auth/logout", fetching, 204},
		"a logout by a form":            {boundary, "somebody whose token works", "POST", "/auth/logout", navigating, 303},
		"too many cookies":              {pages, "nobody", "GET", "/", http.Header{"Cookie": {strings.Repeat("a=b;", 2000)}}, 431},
	} {
		t.Run(name, func(t *testing.T) {
			b := row.site.browser()
			states[row.state](b)
			h := maps.Clone(row.header)
			a := b.do(row.method, row.path, "", h)
			if a.StatusCode != row.status {
				t.Fatalf("%d %v %s", a.StatusCode, a.Header, a.body)
			}
			if cc := a.Header.Get("Cache-Control"); cc != "private, no-store" || a.Header.Get("ETag") != "" {
				t.Errorf("%v", a.Header)
			}
			if a.StatusCode == 401 && !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Rebearer") { // RFC 9110 section 15.5.2
				t.Errorf("%v", a.Header)
			}
		})
	}
	w.as.Fail(authtest.Answer(503, nil, ""))
	b := pages.browser()
	b.expired("ada")
	if a := b.visit("/"); a.StatusCode != 503 || a.Header.Get("Cache-Control") != "private, no-store" {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
}

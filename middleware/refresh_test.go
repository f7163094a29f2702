package middleware_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
)

// bounded is a site whose page leaves the renewal to the browser.
func (w *world) bounded() *site {
	page := w.auth.Boundary(func(rw http.ResponseWriter, r *http.Request) error {
		var me struct{ User string }
		if _, err := w.rest.R(r.Context()).SetResult(&me).Get("/users/me"); err != nil {
			return err
		}
		fmt.Fprintf(rw, "page of %s", me.User)
		return nil
	})
	mux := http.NewServeMux()
	mux.Handle("/auth/refresh", w.auth.RefreshHandler())
	mux.Handle("/auth/logout", w.auth.LogoutHandler())
	mux.Handle("/auth/rebearer.js", w.auth.ScriptHandler())
	mux.Handle("/", page)
	return w.serve(mux)
}

var (
	inPage   = regexp.MustCompile(`data-spent="([^"]+)"`)
	inHeader = regexp.MustCompile(`^Rebearer spent="([^"]+)"$`)
)

// B70, server side: the page of a boundary touches no authorization server, the
// POST of its script refreshes once, and then the page renders.
func TestABoundaryLeavesTheRenewalToTheBrowser(t *testing.T) {
	for _, how := range []string{"expired", "rejected by the API"} {
		t.Run(how, func(t *testing.T) {
			w := start(t)
			b := w.bounded().browser()
			if how == "expired" {
				b.expired("ada")
			} else {
				b.signedIn("ada")
				w.as.RevokeAccess()
			}
			a := b.visit("/orders?x=1")
			must(t, a, 401, `data-refresh="/auth/refresh" data-login="/login?next=%2Forders%3Fx%3D1"`)
			w.presentations(0)
			spent := inPage.FindStringSubmatch(a.body)[1]
			if access, _ := b.cookies(); strings.Contains(a.body, access) || len(spent) != 22 {
				t.Error("the page holds the token")
			}
			h := fetching.Clone()
			h.Set("Rebearer-Spent", spent)
			if a := b.do("POST", "/auth/refresh", "", h); a.StatusCode != 204 || !a.setsTokens() {
				t.Fatalf("%d %v", a.StatusCode, a.Header)
			}
			must(t, b.visit("/orders?x=1"), 200, "page of ada")
			// Another tab that says the same finds it done.
			if a := b.do("POST", "/auth/refresh", "", h); a.StatusCode != 204 {
				t.Fatalf("%d %s", a.StatusCode, a.body)
			}
			w.presentations(1)
		})
	}
}

// B73, server side: a program gets a 401 that names the spent token, and twenty
// that ask for a renewal cause one presentation.
func TestTwentyCallsOfABoundary(t *testing.T) {
	w := start(t)
	b := w.bounded().browser()
	b.expired("ada")
	var calls sync.WaitGroup
	for range 20 {
		calls.Go(func() {
			a, err := b.try("GET", "/", "", fetching)
			if err != nil {
				t.Error(err)
				return
			}
			if a.StatusCode == 200 { // somebody else was faster
				return
			}
			m := inHeader.FindStringSubmatch(a.Header.Get("WWW-Authenticate"))
			if m == nil {
				t.Errorf("%d %v", a.StatusCode, a.Header)
				return
			}
			h := fetching.Clone()
			h.Set("Rebearer-Spent", m[1])
			if a, err = b.try("POST", "/auth/refresh", "", h); err != nil || a.StatusCode != 204 {
				t.Errorf("%v %d", err, a.StatusCode)
			}
			if a, err = b.try("GET", "/", "", fetching); err != nil || a.StatusCode != 200 {
				t.Errorf("%v %d", err, a.StatusCode)
			}
		})
	}
	calls.Wait()
	w.presentations(1)
}

// B73: who still shows the old cookies is given what another tab got, and nothing
// more is presented.
func TestATabThatIsLate(t *testing.T) {
	w := start(t)
	s := w.bounded()
	first := s.browser()
	first.expired("ada")
	late := s.browser2(first)
	for _, b := range []*browser{first, late} {
		if a := b.do("POST", "/auth/refresh", "", fetching); a.StatusCode != 204 || !a.setsTokens() {
			t.Errorf("%d %v", a.StatusCode, a.Header)
		}
		must(t, b.visit("/"), 200, "page of ada")
	}
	w.presentations(1)
}

// B74, B81: a refresh cookie that only the refresh endpoint sees.
func TestARefreshCookieForOnePath(t *testing.T) {
	w := start(t, with(func(a *middleware.Authenticator) { a.Cookies.RefreshPath = "/auth" }))
	s := w.bounded()
	b := s.browser()
	signIn := w.serve(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.auth.SignIn(rw, r, tokencache.NewToken(tokencache.TokenFields{Access: w.stale("ada", time.Minute), Refresh: w.as.SignIn("ada").Refresh()}))
	}))
	in := signIn.browser()
	in.jar, in.http.Jar = b.jar, b.jar // one host, whatever the port
	in.visit("/")
	a := b.visit("/")
	must(t, a, 401, "data-spent")
	h := fetching.Clone()
	h.Set("Rebearer-Spent", inPage.FindStringSubmatch(a.body)[1])
	if a := b.do("POST", "/auth/refresh", "", h); a.StatusCode != 204 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	must(t, b.visit("/"), 200, "page of ada")
	w.presentations(1)

	// Behind a Handler, too, the browser is asked: that no refresh token was
	// shown proves nothing.
	h2 := w.serve(w.auth.Handler(still)).browser()
	h2.keep(w.stale("ada", time.Minute), "")
	must(t, h2.visit("/"), 401, "data-spent")
	must(t, h2.fetch("/"), 401, "")
	w.presentations(1)
}

// B71: what a refresh that fails tells the browser. Only a page that is looked
// at clears the cookies.
func TestARefreshThatFails(t *testing.T) {
	for name, row := range map[string]struct {
		fault  authtest.Fault
		status int
	}{
		"the session is over":        {authtest.Answer(400, nil, `{"error":"invalid_grant"}`), 401},
		"the server is out of order": {authtest.Answer(500, nil, ""), 503},
		"the client is not known":    {authtest.Answer(401, nil, `{"error":"invalid_client"}`), 500},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t)
			w.as.Fail(row.fault)
			b := w.bounded().browser()
			b.expired("ada")
			a := b.do("POST", "/auth/refresh", "", fetching)
			if a.StatusCode != row.status || len(a.Cookies()) > 0 {
				t.Errorf("%d %v", a.StatusCode, a.Header)
			}
			if (a.Header.Get("Retry-After") != "") != (row.status == 503) {
				t.Errorf("Retry-After: %q", a.Header.Get("Retry-After"))
			}
			if strings.Contains(a.Header.Get("WWW-Authenticate"), "spent") {
				t.Error("the script would try again")
			}
			a = b.do("POST", "/auth/refresh", "next=%2Forders", navigating)
			switch {
			case row.status == 401 && (a.StatusCode != 303 || a.Header.Get("Location") != "/login?next=%2Forders" || !a.clearsTokens()):
				t.Errorf("%d %v", a.StatusCode, a.Header)
			case row.status != 401 && (a.StatusCode != row.status || len(a.Cookies()) > 0):
				t.Errorf("%d %v", a.StatusCode, a.Header)
			}
		})
	}
}

// B71: without scripts the page has a form that does the same.
func TestABoundaryWithoutScripts(t *testing.T) {
	w := start(t)
	b := w.bounded().browser()
	b.expired("ada")
	a := b.visit("/orders")
	must(t, a, 401, `<form method="post" action="/auth/refresh">`)
	must(t, a, 401, `<a href="/login?next=%2Forders">`)
	a = b.do("POST", "/auth/refresh", "next=%2Forders&spent="+inPage.FindStringSubmatch(a.body)[1], navigating)
	if a.StatusCode != 303 || a.Header.Get("Location") != "/orders" {
		t.Fatalf("%d %v", a.StatusCode, a.Header)
	}
	must(t, b.visit("/orders"), 200, "page of ada")
	w.presentations(1)
}

// Everything may be inside one Handler. The refresh is done once, by whom it was
// asked of, and what else is at that path sees no tokens.
func TestRefreshAndLogoutInsideTheHandler(t *testing.T) {
	w := start(t)
	mux := http.NewServeMux()
	mux.Handle("POST /auth/refresh", w.auth.RefreshHandler())
	mux.Handle("POST /logout", w.auth.LogoutHandler())
	mux.HandleFunc("/", func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(rw, "cookies %q, token %t", r.Header["Cookie"], !tokencache.FromContext(r.Context()).Token().IsZero())
	})
	b := w.serve(w.auth.Handler(mux)).browser()
	b.expired("ada")
	must(t, b.visit("/auth/refresh"), 200, `cookies [], token false`)
	w.presentations(0)
	if a := b.do("POST", "/auth/refresh", "", fetching); a.StatusCode != 204 || !a.setsTokens() {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
	w.presentations(1)
	if a := b.do("POST", "/logout", "", fetching); a.StatusCode != 204 || !a.clearsTokens() {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
	w.presentations(1)
}

// B72, T-F1, T-F2: refresh and logout take POST from this origin, and nothing
// else touches the authorization server.
func TestOtherOriginsCannotRefreshOrLogOut(t *testing.T) {
	w := start(t)
	s := w.bounded()
	for _, path := range []string{"/auth/refresh", "/auth/logout"} {
		for name, row := range map[string]struct {
			method string
			header http.Header
			status int
		}{
			"another site":              {"POST", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.test"}}, 403},
			"another host of this site": {"POST", http.Header{"Sec-Fetch-Site": {"same-site"}}, 403},
			"an old browser elsewhere":  {"POST", http.Header{"Origin": {"https://evil.test"}}, 403},
			"another port":              {"POST", http.Header{"Origin": {"http://127.0.0.1:1"}}, 403},
			"a sandbox":                 {"POST", http.Header{"Origin": {"null"}}, 403},
			"no origin, another site":   {"POST", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
			"a form elsewhere": {"POST", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"},
				"Sec-Fetch-Dest": {"document"}, "Content-Type": {"text/plain"}}, 403},
			"GET":                {"GET", navigating, 405},
			"HEAD":               {"HEAD", navigating, 405},
			"GET from elsewhere": {"GET", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 405},
			"PUT":                {"PUT", fetching, 405},
		} {
			t.Run(path+" by "+name, func(t *testing.T) {
				b := s.browser()
				token := b.expired("ada")
				a := b.do(row.method, path, "", row.header)
				if a.StatusCode != row.status || len(a.Cookies()) > 0 || !w.as.Alive(token.Refresh()) {
					t.Errorf("%d %v", a.StatusCode, a.Header)
				}
				w.presentations(0)
				if w.as.Counts().Revocations != 0 {
					t.Error("the session was revoked")
				}
			})
		}
	}
}

// A page that is under way when it learns of the 401 has the browser refresh,
// if it is one, and if something can be added to what has been written.
func TestABoundaryAfterThePageHasBegun(t *testing.T) {
	w := start(t)
	html := "text/html; charset=utf-8"
	for name, row := range map[string]struct {
		header http.Header
		script bool
	}{
		"a page":                {http.Header{"Content-Type": {html}}, true},
		"a text":                {http.Header{"Content-Type": {"text/plain"}}, false},
		"a stream":              {http.Header{"Content-Type": {"text/event-stream"}}, false},
		"a coded page":          {http.Header{"Content-Type": {html}, "Content-Encoding": {"x"}}, false},
		"a page of some length": {http.Header{"Content-Type": {html}, "Content-Length": {"8"}}, false},
	} {
		h := w.auth.Boundary(func(rw http.ResponseWriter, r *http.Request) error {
			maps.Copy(rw.Header(), row.header.Clone())
			fmt.Fprint(rw, "<p>begin")
			rw.(http.Flusher).Flush()
			return tokencache.ErrUnauthorized
		})
		b := w.serve(h).browser()
		token := b.signedIn("ada")
		a := b.visit("/")
		must(t, a, 200, "<p>begin")
		if has := strings.Contains(a.body, `<script src="/auth/rebearer.js" data-boundary`); has != row.script {
			t.Errorf("%s: script %t in %q", name, has, a.body)
		}
		rec := coding{httptest.NewRecorder()} // whose coding is not the handler's
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Cookie", "access="+token.Access()+"; refresh="+token.Refresh())
		h.ServeHTTP(rec, r)
		if has := strings.Contains(rec.Body.String(), "<script"); has != row.script {
			t.Errorf("%s, coded outside: script %t in %q", name, has, rec.Body)
		}
	}
}

// coding is a writer that says so when the header goes out.
type coding struct{ *httptest.ResponseRecorder }

func (c coding) Write(p []byte) (int, error) {
	c.Header().Set("Content-Encoding", "gzip")
	return c.ResponseRecorder.Write(p)
}

// T-F11: SameSite=Strict hides the cookies from a link on another site. That is
// no logout: the page loads itself once more.
func TestALinkFromElsewhereIsNoLogout(t *testing.T) {
	w := start(t, with(func(a *middleware.Authenticator) { a.Cookies.SameSite = http.SameSiteStrictMode }))
	b := w.pages(still).browser()
	h := navigating.Clone()
	h.Set("Sec-Fetch-Site", "cross-site")
	must(t, b.do("GET", "/orders?a=b&c", "", h), 200, `content="0; url=/orders?a=b&amp;c"`)
	h.Set("Sec-Fetch-Site", "same-origin")
	must(t, b.do("GET", "/orders?a=b&c", "", h), 303, "")
}

// The script is served to whoever asks, with its type, and can be cached.
func TestTheScript(t *testing.T) {
	w := start(t)
	b := w.bounded().browser()
	a := b.fetch("/auth/rebearer.js")
	must(t, a, 200, "window.rebearer")
	if len(a.body) > 6<<10 || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/javascript") {
		t.Errorf("%d bytes of %s", len(a.body), a.Header.Get("Content-Type"))
	}
	must(t, b.do("GET", "/auth/rebearer.js", "", http.Header{"If-None-Match": {a.Header.Get("ETag")}}), 304, "")
	must(t, b.do("POST", "/auth/rebearer.js", "", fetching), 405, "")
}

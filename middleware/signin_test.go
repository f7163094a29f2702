package middleware_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
)

// B30, T-D7: a sign-in while a refresh of the old session is in flight. The old
// chain is revoked, its late result opens nothing, and the response that waited
// for it does not overwrite the new cookies.
func TestASignInDuringARefresh(t *testing.T) {
	w := start(t)
	s := w.pages(w.page())
	b := s.browser()
	old := b.expired("ada")
	gate := authtest.NewGate()
	w.as.FailNext(1, authtest.After(gate.Hold)) // spent, and the answer is on its way
	late := make(chan answer)
	go func() {
		a, err := b.try("GET", "/", "", fetching)
		if err != nil {
			t.Error(err)
		}
		late <- a
	}()
	<-gate.Arrived()
	must(t, b.do("POST", "/login", "user=grace", navigating), 303, "")
	_, signedIn := b.cookies()
	gate.Open()
	if a := <-late; a.StatusCode != 401 || a.setsTokens() || a.clearsTokens() {
		t.Errorf("the old request got %d %v", a.StatusCode, a.Header)
	}
	if _, now := b.cookies(); now != signedIn || !w.as.Alive(now) {
		t.Error("the new session is lost")
	}
	must(t, b.visit("/"), 200, "page of grace")
	w.auth.Coordinator.Wait(t.Context())
	if w.as.Alive(old.Refresh()) {
		t.Error("the old session lives on at the server")
	}
	if w.as.Counts().Reuses != 0 {
		t.Error("a token was presented twice")
	}
}

// A navigation that left before the sign-in, and finds its session replaced,
// does not clear the cookies that came meanwhile.
func TestAReplacedSessionClearsNothing(t *testing.T) {
	w := start(t)
	s := w.pages(w.page())
	b := s.browser()
	token := b.expired("ada")
	must(t, b.do("POST", "/login", "user=grace", navigating), 303, "")
	old := s.browser()
	old.keep(w.stale("ada", time.Minute), token.Refresh())
	a := old.visit("/")
	if a.StatusCode != 303 || a.clearsTokens() || !strings.HasPrefix(a.Header.Get("Location"), "/login?") {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
	w.presentations(0)
}

// B31, T-D6: a logout while a refresh is in flight. What the refresh brings is
// revoked, and no cookie of it is set.
func TestALogoutDuringARefresh(t *testing.T) {
	w := start(t)
	s := w.pages(w.page())
	b := s.browser()
	b.expired("ada")
	gate := authtest.NewGate()
	w.as.FailNext(1, authtest.After(gate.Hold))
	late := make(chan answer)
	go func() {
		a, err := b.try("GET", "/", "", fetching)
		if err != nil {
			t.Error(err)
		}
		late <- a
	}()
	<-gate.Arrived()
	a := b.do("POST", "/logout", "", fetching)
	if a.StatusCode != 204 || !a.clearsTokens() {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
	gate.Open()
	if a := <-late; a.StatusCode != 401 || a.setsTokens() {
		t.Errorf("the old request got %d %v", a.StatusCode, a.Header)
	}
	if access, refresh := b.cookies(); access+refresh != "" {
		t.Error("a cookie has survived")
	}
	w.auth.Coordinator.Wait(t.Context())
	must(t, b.visit("/"), 303, "")
}

// B55: what becomes of the session while a handler runs, by other requests, is
// on its response: the newest tokens, and nothing after a logout.
func TestWhatOthersDoMeanwhile(t *testing.T) {
	w := start(t)
	mux := http.NewServeMux()
	meanwhile := func() {}
	mux.Handle("/", w.page())
	mux.HandleFunc("/still", func(rw http.ResponseWriter, r *http.Request) { meanwhile() })
	mux.HandleFunc("/late", func(rw http.ResponseWriter, r *http.Request) {
		w.late(r)
		meanwhile()
	})
	s := w.pages(mux)
	b := s.browser()
	b.signedIn("ada")
	other := s.browser2(b)
	meanwhile = func() {
		w.as.RevokeAccess()
		must(t, other.fetch("/"), 200, "page of ada")
	}
	if a := b.fetch("/still"); !a.setsTokens() {
		t.Error("the newest tokens did not come")
	}
	if _, refresh := b.cookies(); !w.as.Alive(refresh) {
		t.Error("they are not the newest")
	}
	w.presentations(1)
	other = s.browser2(b)
	meanwhile = func() { must(t, other.do("POST", "/logout", "", fetching), 204, "") }
	if a := b.fetch("/late"); a.setsTokens() {
		t.Error("tokens came after the logout")
	}
}

// T-E14: after a logout the session is over, whatever the signature says.
func TestALogoutBeatsTheSignature(t *testing.T) {
	w := start(t)
	s := w.pages(still)
	b := s.browser()
	token := b.signedIn("ada")
	must(t, b.visit("/"), 200, "still, ada")
	if a := b.do("POST", "/logout", "", navigating); a.StatusCode != 303 || a.Header.Get("Location") != "/login" {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
	copied := s.browser()
	copied.keep(token.Access(), token.Refresh())
	if a := copied.fetch("/"); a.StatusCode != 401 || !strings.Contains(a.body, "logged_out") || a.clearsTokens() {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if a := copied.visit("/"); a.StatusCode != 303 || !a.clearsTokens() {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
	if w.as.Alive(token.Refresh()) {
		t.Error("the server was not told")
	}
}

// T-K6: a revocation endpoint that hangs holds nobody up for long, and the
// session is over at once.
func TestALogoutDoesNotWaitForAServerThatHangs(t *testing.T) {
	w := start(t)
	w.auth.Coordinator.Timeout = 4 * time.Second
	gate := authtest.NewGate()
	w.as.FailRevoke(gate.Hold)
	s := w.pages(still)
	b := s.browser()
	token := b.signedIn("ada")
	a := b.do("POST", "/logout", "", fetching)
	if a.StatusCode != 204 || !a.clearsTokens() {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
	copied := s.browser()
	copied.keep(token.Access(), token.Refresh())
	must(t, copied.fetch("/"), 401, "logged_out")
	gate.Open()
	w.auth.Coordinator.Wait(t.Context())
	if w.as.Alive(token.Refresh()) {
		t.Error("the server was never told")
	}
}

// T-F5: a SignIn is refused where it can do nothing, and then it has done nothing.
func TestASignInThatCannotBe(t *testing.T) {
	w := start(t)
	var got error
	token := w.as.SignIn("ada")
	handlers := map[string]func(http.ResponseWriter, *http.Request) error{
		"tokens that no browser keeps": func(rw http.ResponseWriter, r *http.Request) error {
			return w.auth.SignIn(rw, r, tokencache.NewToken(tokencache.TokenFields{Access: strings.Repeat("a", 4050), Refresh: "r"}))
		},
		"the header has gone": func(rw http.ResponseWriter, r *http.Request) error {
			rw.(http.Flusher).Flush()
			return w.auth.SignIn(rw, r, token)
		},
		"no token": func(rw http.ResponseWriter, r *http.Request) error {
			return w.auth.SignIn(rw, r, tokencache.Token{})
		},
	}
	for name, h := range handlers {
		t.Run(name, func(t *testing.T) {
			s := w.pages(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { got = h(rw, r) }))
			b := s.browser()
			old := b.signedIn("ada")
			a := b.fetch("/")
			if got == nil || a.setsTokens() || !w.as.Alive(old.Refresh()) {
				t.Errorf("%v; %d cookies", got, len(a.Cookies()))
			}
			if name == "tokens that no browser keeps" && !errors.Is(got, middleware.ErrCookieTooLarge) {
				t.Error(got)
			}
			if strings.Contains(fmt.Sprint(got), "aaaa") {
				t.Error("the error quotes the token")
			}
		})
	}
}

// Signing in with tokens of the very session that is shown ends nothing.
func TestASignInWithTheSameSession(t *testing.T) {
	w := start(t)
	var token tokencache.Token
	s := w.pages(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if err := w.auth.SignIn(rw, r, token); err != nil {
			t.Error(err)
		}
	}))
	b := s.browser()
	token = b.signedIn("ada")
	if a := b.fetch("/"); !a.setsTokens() || !w.as.Alive(token.Refresh()) {
		t.Errorf("%v", a.Header)
	}
}

// B58, T-F4: what the cookies look like.
func TestCookies(t *testing.T) {
	for name, row := range map[string]struct {
		cookies middleware.Cookies
		want    []string
	}{
		"by default": {middleware.Cookies{}, []string{
			"__Host-access=A; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Lax",
			"__Host-refresh=R; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Lax"}},
		"with a refresh path": {middleware.Cookies{RefreshPath: "/auth", SameSite: http.SameSiteStrictMode}, []string{
			"__Host-access=A; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Strict",
			"__Secure-refresh=R; Path=/auth; Max-Age=3600; HttpOnly; Secure; SameSite=Strict"}},
		"over http": {middleware.Cookies{InsecureNoTLS: true, Access: "a"}, []string{
			"a=A; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax",
			"refresh=R; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, with(func(a *middleware.Authenticator) { a.Cookies = row.cookies }))
			rec := httptest.NewRecorder()
			ends := time.Now().Add(time.Hour + 500*time.Millisecond)
			err := w.auth.SignIn(rec, httptest.NewRequest("POST", "/login", nil),
				tokencache.NewToken(tokencache.TokenFields{Access: "A", Refresh: "R", RefreshExpiry: ends}))
			if err != nil {
				t.Fatal(err)
			}
			if got := rec.Header().Values("Set-Cookie"); !slices.Equal(got, row.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(row.want, "\n"))
			}
			if rec.Header().Get("Cache-Control") != "private, no-store" {
				t.Errorf("%v", rec.Header())
			}
			// T-F9: the deletion names every attribute again.
			rec = httptest.NewRecorder()
			w.auth.SignOut(rec, httptest.NewRequest("POST", "/logout", nil))
			for i, got := range rec.Header().Values("Set-Cookie") {
				want := strings.Replace(strings.Replace(row.want[i], "Max-Age=3600", "Expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=0", 1), "=A;", "=;", 1)
				if want = strings.Replace(want, "=R;", "=;", 1); got != want {
					t.Errorf("deletes by %s\nand not %s", got, want)
				}
			}
		})
	}
}

// B58: the life of the cookies is 30 days where that of the refresh token is not
// known.
func TestTheLifeOfCookies(t *testing.T) {
	w := start(t)
	rec := httptest.NewRecorder()
	if err := w.auth.SignIn(rec, httptest.NewRequest("POST", "/login", nil), tokencache.NewToken(tokencache.TokenFields{Access: "A"})); err != nil {
		t.Fatal(err)
	}
	lines := rec.Header().Values("Set-Cookie")
	if !strings.Contains(lines[0], "Max-Age=2592000") || !strings.Contains(lines[1], "Max-Age=0") {
		t.Errorf("%q", lines)
	}
}

// T-F10: every byte of a token survives the cookie.
func TestEveryByteOfATokenSurvivesTheCookie(t *testing.T) {
	w := start(t)
	w.auth = &middleware.Authenticator{Coordinator: w.auth.Coordinator, Cookies: w.auth.Cookies}
	for _, refresh := range []string{"plain-._~token", "~tilde first", "with space", `"quoted"`, "a;b,c\\d", "ü", "~", "=", "a=b=="} {
		rec := httptest.NewRecorder()
		token := tokencache.NewToken(tokencache.TokenFields{Access: "A", Refresh: refresh})
		if err := w.auth.SignIn(rec, httptest.NewRequest("POST", "/login", nil), token); err != nil {
			t.Fatal(err)
		}
		in := httptest.NewRequest("GET", "/", nil)
		for _, c := range rec.Result().Cookies() {
			in.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
		}
		ran := false
		w.auth.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			ran = true
			if got := tokencache.FromContext(r.Context()).Token().Refresh(); got != refresh {
				t.Errorf("%q came back as %q", refresh, got)
			}
		})).ServeHTTP(httptest.NewRecorder(), in)
		if !ran {
			t.Errorf("%q: nobody is signed in", refresh)
		}
	}
}

// B59, T-F7: a cookie that is there twice, for the host and for its domain. The
// pair that works wins, whichever comes first, and the other one is cleared with
// the next renewal, which proves whose refresh token is good.
func TestTwoCookiesOfOneName(t *testing.T) {
	for _, order := range []string{"the good one first", "the dead one first"} {
		for _, expired := range []bool{false, true} {
			t.Run(fmt.Sprint(order, ", expired ", expired), func(t *testing.T) {
				w := start(t)
				s := w.pages(w.page())
				b := s.browser()
				good := w.as.SignIn("ada")
				access := good.Access()
				if expired {
					access = w.stale("ada", time.Minute)
				}
				dead := w.as.SignIn("mallory")
				w.as.EndSession(dead.Refresh())
				pairs := []string{
					"access=" + access + "; refresh=" + good.Refresh(),
					"access=" + w.stale("mallory", time.Minute) + "; refresh=" + dead.Refresh(),
				}
				if order == "the dead one first" {
					slices.Reverse(pairs)
				}
				req, _ := http.NewRequest("GET", b.URL+"/", nil)
				req.Host = "app.example.test:8080"
				req.Header = navigating.Clone()
				req.Header.Set("Cookie", strings.Join(pairs, "; "))
				resp, err := b.http.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode != 200 {
					t.Fatal(resp.StatusCode)
				}
				var lines []string
				for _, c := range resp.Cookies() {
					what := c.Name + " of " + c.Domain
					if c.Value == "" && c.MaxAge < 0 {
						what += " deleted"
					}
					lines = append(lines, what)
				}
				want := []string{
					"access of app.example.test deleted", "refresh of app.example.test deleted",
					"access of example.test deleted", "refresh of example.test deleted",
					"access of ", "refresh of ",
				}
				if !expired {
					want = nil
				}
				if !slices.Equal(lines, want) {
					t.Errorf("%q", lines)
				}
				if c := w.as.Counts(); c.Reuses != 0 || !expired && c.Presentations != 0 {
					t.Errorf("%d reuses, %d presentations", c.Reuses, c.Presentations)
				}
			})
		}
	}
}

// T-F8: more cookies than net/http reads are no logout.
func TestTooManyCookies(t *testing.T) {
	w := start(t)
	b := w.pages(still).browser()
	old := b.signedIn("ada")
	access, refresh := b.cookies()
	many := strings.Repeat("a=b; ", 4000) + "access=" + access + "; refresh=" + refresh
	a := w.pages(still).browser().do("GET", "/", "", http.Header{"Cookie": {many}, "Sec-Fetch-Dest": {"document"}})
	if a.StatusCode != 431 || a.clearsTokens() || !w.as.Alive(old.Refresh()) {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
}

// B54 to B56, issue 3 item 2: whatever the order in which the responses of four
// concurrent requests reach the browser, the session works afterwards, with one
// presentation in all.
func TestEveryOrderOfArrivalEndsInAWorkingSession(t *testing.T) {
	w := start(t)
	mux := http.NewServeMux()
	mux.Handle("/", w.page())
	mux.HandleFunc("/late", func(rw http.ResponseWriter, r *http.Request) {
		rw.WriteHeader(200)
		rw.(http.Flusher).Flush()
		w.page().ServeHTTP(rw, r)
	})
	mux.Handle("/still", still)
	s := w.pages(mux)
	paths := []string{"/", "/late", "/still", "/orders"}
	for _, order := range permutations(len(paths)) {
		for _, expired := range []bool{true, false} {
			w.as.ResetCounts()
			b := s.browser()
			if expired {
				b.expired("ada")
			} else {
				b.signedIn("ada")
				w.as.RevokeAccess()
			}
			access, refresh := b.cookies()
			answers := make([]answer, len(paths))
			var all sync.WaitGroup
			for i, path := range paths {
				all.Go(func() {
					one := s.browser()
					one.keep(access, refresh)
					a, err := one.try("GET", path, "", fetching)
					if err != nil || a.StatusCode != 200 {
						t.Errorf("%s: %v %d", path, err, a.StatusCode)
					}
					answers[i] = a
				})
			}
			all.Wait()
			u, _ := url.Parse(b.URL)
			for _, i := range order { // as they arrive
				b.jar.SetCookies(u, answers[i].Cookies())
				b.must(t, order, expired)
			}
		}
	}
}

// must fails unless the session works, at the price of one more request.
func (b *browser) must(t *testing.T, order []int, expired bool) {
	t.Helper()
	copied := b.site.browser()
	copied.keep(b.cookies())
	for range 2 {
		if a := copied.fetch("/"); a.StatusCode != 200 {
			t.Errorf("order %v, expired %t: %d %s", order, expired, a.StatusCode, a.body)
		}
	}
	if _, refresh := copied.cookies(); !b.w.as.Alive(refresh) {
		t.Errorf("order %v, expired %t: the browser holds a dead token", order, expired)
	}
	b.w.presentations(1)
}

func permutations(n int) (all [][]int) {
	var grow func(rest, so []int)
	grow = func(rest, so []int) {
		if len(rest) == 0 {
			all = append(all, slices.Clone(so))
		}
		for i, v := range rest {
			grow(slices.Delete(slices.Clone(rest), i, i+1), append(so, v))
		}
	}
	var first []int
	for i := range n {
		first = append(first, i)
	}
	grow(first, nil)
	return all
}

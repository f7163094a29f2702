package middleware_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
)

const roundsName = "rebearer"

// demand has the API want a stronger sign-in from now on.
func (w *world) demand(status int, challenge string) {
	w.api.Refuse(authtest.Refusal{Always: true, Status: status, Challenge: challenge})
}

const stronger = `Bearer error="insufficient_user_authentication", acr_values="gold silver", max_age="300"`

// round is the cookie that an answer sets or clears for the way to the login
// page.
func (a answer) round() *http.Cookie {
	for _, c := range a.Cookies() {
		if strings.HasSuffix(c.Name, roundsName) {
			return c
		}
	}
	return nil
}

// B13, T-C2, RFC 9470: from the API's challenge through the Transport, which
// refreshes nothing, the client and the Boundary to the login page, with what
// was asked for and nothing else. The session stays.
func TestAStepUpLeadsToTheLoginPage(t *testing.T) {
	w := start(t)
	for name, row := range map[string]struct {
		status          int
		challenge, asks string
		life            int
	}{
		"all that can be asked for": {401, `Bearer error="insufficient_user_authentication", acr_values="urn:a:gold silver", max_age="60", scope="read write"`,
			"&acr_values=urn%3Aa%3Agold+silver&max_age=60&scope=read+write", 60},
		"a class":                   {401, `Bearer error="insufficient_user_authentication", acr_values="phr"`, "&acr_values=phr", 300},
		"a sign-in now":             {401, `Bearer error="insufficient_user_authentication", max_age=0`, "&max_age=0", 30},
		"one of today":              {401, `Bearer error="insufficient_user_authentication", max_age=86400`, "&max_age=86400", 300},
		"nothing in particular":     {401, `Bearer error="insufficient_user_authentication"`, "", 300},
		"more scope, by 403":        {403, `Bearer error="insufficient_scope", scope="pay"`, "&scope=pay", 300},
		"more scope, by 401":        {401, `Bearer error="insufficient_scope", scope="pay&next=//evil.test"`, "&scope=pay%26next%3D%2F%2Fevil.test", 300},
		"what may stand nowhere":    {401, `Bearer error="insufficient_scope", scope="ü a\\b ok ` + strings.Repeat("x", 1100) + ` ok"`, "&scope=ok", 300},
		"a max_age that is nothing": {401, `Bearer error="insufficient_user_authentication", max_age="-5"`, "", 300},
	} {
		t.Run(name, func(t *testing.T) {
			w.demand(row.status, row.challenge)
			w.as.ResetCounts()
			w.api.ResetCounts()
			for kind, s := range map[string]*site{"the Handler": w.pages(w.page()), "a Boundary": w.bounded()} {
				b := s.browser()
				token := b.signedIn("ada")
				a := b.visit("/orders?x=1")
				if l := a.Header.Get("Location"); a.StatusCode != 303 || l != "/login?next=%2Forders%3Fx%3D1"+row.asks {
					t.Errorf("%s: %d %q", kind, a.StatusCode, l)
				}
				if cc := a.Header.Get("Cache-Control"); cc != "private, no-store" {
					t.Errorf("%s: it may be stored: %q", kind, cc)
				}
				if access, refresh := b.cookies(); access != token.Access() || refresh != token.Refresh() || !w.as.Alive(refresh) {
					t.Errorf("%s: the session was touched: %v", kind, a.Cookies())
				}
				c := a.round()
				if c == nil || len(a.Cookies()) != 1 || c.Path != "/" || !c.HttpOnly || c.Secure || c.SameSite != http.SameSiteLaxMode || c.MaxAge != row.life {
					t.Errorf("%s: %v", kind, a.Cookies())
				}
			}
			w.presentations(0)
			if n := w.api.Counts().Requests; n != 2 {
				t.Errorf("%d calls of the API for two pages", n)
			}
		})
	}
}

// The cookie is as safe as those of the tokens, and never Strict, since the
// browser comes back from another site.
func TestTheCookieOfAStepUp(t *testing.T) {
	for name, row := range map[string]struct {
		cookies middleware.Cookies
		want    http.SameSite
	}{
		"by default":          {middleware.Cookies{}, http.SameSiteLaxMode},
		"with Strict":         {middleware.Cookies{SameSite: http.SameSiteStrictMode}, http.SameSiteLaxMode},
		"in somebody's frame": {middleware.Cookies{SameSite: http.SameSiteNoneMode}, http.SameSiteNoneMode},
	} {
		t.Run(name, func(t *testing.T) {
			auth := &middleware.Authenticator{Coordinator: &tokencache.Coordinator{}, Cookies: row.cookies}
			r := httptest.NewRequest("GET", "https://app.test/orders", nil)
			r.Header = navigating.Clone()
			rec := httptest.NewRecorder()
			auth.Error(rec, r, &tokencache.StepUpError{MaxAge: -1}) // with no Handler around
			a := answer{Response: rec.Result()}
			c := a.round()
			if a.StatusCode != 303 || c == nil || c.Name != "__Host-rebearer" || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != row.want {
				t.Errorf("%d %v", a.StatusCode, c)
			}
		})
	}
	bad := &middleware.Authenticator{Coordinator: &tokencache.Coordinator{}, Cookies: middleware.Cookies{Access: "rebearer", InsecureNoTLS: true}}
	if bad.Validate() == nil {
		t.Error("a token may have its name")
	}
}

// What a form asked for is not asked for again by GET.
func TestAStepUpOfAForm(t *testing.T) {
	w := start(t)
	w.demand(401, stronger)
	b := w.pages(w.page()).browser()
	b.signedIn("ada")
	const login = "/login?next=%2F&acr_values=gold+silver&max_age=300"
	if a := b.do("POST", "/orders", "a=b", navigating); a.StatusCode != 303 || a.Header.Get("Location") != login {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
	a := b.do("POST", "/orders", "a=b", navigating)
	must(t, a, 403, `<a href="`+strings.NewReplacer("&", "&amp;", "+", "&#43;").Replace(login)+`">Try again</a>`)
}

// A login that brings nothing better, at once and each time, ends at a page after
// one round, whatever it is that brings nothing. The page's link begins anew.
func TestAStepUpInVainEndsAtAPage(t *testing.T) {
	for name, signIn := range map[string]func(b *browser){
		"an authorization server that cannot do better": func(b *browser) {
			must(b.w.t, b.do("POST", "/login", "user=ada", navigating), 303, "")
		},
		"a login page that leads back at once": func(*browser) {},
	} {
		for mode, m := range map[string]middleware.Mode{"inline": middleware.Inline, "by redirect": middleware.Redirect} {
			t.Run(name+", "+mode, func(t *testing.T) {
				w := start(t, with(func(a *middleware.Authenticator) { a.Mode = m }))
				var log bytes.Buffer
				w.auth.Log = slog.New(slog.NewTextHandler(&log, nil))
				w.demand(401, stronger)
				b := w.pages(w.page()).browser()
				b.signedIn("ada")
				for range 3 { // each by the link of the page before it
					if a := b.visit("/orders"); a.StatusCode != 303 {
						t.Fatalf("%d %s", a.StatusCode, a.body)
					}
					signIn(b)
					log.Reset()
					a := b.visit("/orders")
					must(t, a, 403, `<a href="/orders">Try again</a>`)
					if !strings.Contains(a.body, "Signing in again has not changed that.") || a.Header.Get("Cache-Control") != "private, no-store" {
						t.Errorf("%v %s", a.Header, a.body)
					}
					if c := a.round(); c == nil || c.MaxAge >= 0 || c.Path != "/" || !c.HttpOnly || a.clearsTokens() {
						t.Errorf("not cleared, or more than that: %v", a.Cookies())
					}
					if !strings.Contains(log.String(), "in vain") {
						t.Error("nobody is told")
					}
				}
				w.presentations(0)
			})
		}
	}
}

// A sign-in that is strong enough gets the page. A second demand, of something
// else, gets a round of its own.
func TestAStepUpThatSucceeds(t *testing.T) {
	w := start(t)
	strong := map[string]bool{}
	challenge := stronger
	w.api.Intercept(func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
		if access := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "); !strong[access] {
			rw.Header().Set("WWW-Authenticate", challenge)
			rw.WriteHeader(401)
			return
		}
		next.ServeHTTP(rw, r)
	})
	b := w.pages(w.page()).browser()
	b.signedIn("ada")
	for _, challenge = range []string{stronger, `Bearer error="insufficient_scope", scope="pay"`} {
		clear(strong)
		must(t, b.visit("/"), 303, "")
		must(t, b.do("POST", "/login", "user=ada", navigating), 303, "")
		access, _ := b.cookies()
		strong[access] = true
		must(t, b.visit("/"), 200, "page of ada")
	}
	// And a logout leaves nothing behind.
	a := b.do("POST", "/logout", "", fetching)
	if c := a.round(); c == nil || c.MaxAge >= 0 || !a.clearsTokens() {
		t.Errorf("%v", a.Cookies())
	}
	if a := w.pages(still).browser().do("POST", "/logout", "", fetching); a.round() != nil {
		t.Errorf("what is not there is cleared: %v", a.Cookies())
	}
}

// An API that demands something new each time sends nobody round for ever.
func TestAStepUpThatWantsSomethingNewEachTime(t *testing.T) {
	for kind, h := range map[string]http.Header{"a page": navigating, "a fetch": fetching} {
		w := start(t)
		n := 0
		b := w.serve(w.auth.Handler(w.auth.Boundary(func(http.ResponseWriter, *http.Request) error {
			n++
			return &tokencache.StepUpError{Scope: []string{fmt.Sprint("payment:", n)}, MaxAge: -1}
		}))).browser()
		b.signedIn("ada")
		away := 0
		for range 20 {
			a := b.do("GET", "/", "", h)
			if a.StatusCode == 403 && !strings.Contains(a.body, `"login"`) {
				break
			}
			away++
		}
		if away != 4 {
			t.Errorf("%s was sent away %d times", kind, away)
		}
	}
}

// A fetch is told by 403, which nobody takes for an ended access token, and where
// its page is to go. It is not told so twice, and does not use up the page's own
// redirect.
func TestAStepUpOfAFetch(t *testing.T) {
	w := start(t)
	w.demand(401, `Bearer error="insufficient_user_authentication", acr_values="gold silver", max_age="0", scope="pay"`)
	b := w.pages(w.page()).browser()
	b.signedIn("ada")
	h := fetching.Clone()
	h.Set("Referer", b.URL+"/orders?x=1")
	login := "/login?next=%2Forders%3Fx%3D1&acr_values=gold+silver&max_age=0&scope=pay"
	read := func(a answer) (p map[string]any) {
		t.Helper()
		if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.StatusCode != 403 || a.Header.Get("Content-Type") != "application/problem+json" {
			t.Fatalf("%v: %d %v %s", err, a.StatusCode, a.Header, a.body)
		}
		for name, want := range map[string]string{"status": "403", "reason": "insufficient_user_authentication", "acr_values": "[gold silver]", "max_age": "0", "scope": "[pay]"} {
			if got := fmt.Sprint(p[name]); got != want {
				t.Errorf("%s is %s, not %s", name, got, want)
			}
		}
		if cc := a.Header.Get("Cache-Control"); cc != "private, no-store" {
			t.Errorf("it may be stored: %q", cc)
		}
		return p
	}
	a := b.do("GET", "/", "", h)
	if p := read(a); p["login"] != login || p["again"] != nil || a.Header.Get("WWW-Authenticate") != `Rebearer login="`+login+`"` {
		t.Errorf("%v %s", a.Header, a.body)
	}
	if inHeader.MatchString(a.Header.Get("WWW-Authenticate")) {
		t.Error("the script would refresh")
	}
	for range 2 { // and whoever comes to say it a second time does not begin anew
		a = b.do("GET", "/", "", h)
		if p := read(a); p["login"] != nil || p["again"] != login || a.Header.Get("WWW-Authenticate") != "" || a.round() != nil {
			t.Errorf("%v %s", a.Header, a.body)
		}
	}
	must(t, b.visit("/"), 303, "")
	must(t, b.visit("/"), 403, "Try again")
	if p := read(b.do("GET", "/", "", h)); p["login"] != nil {
		t.Error("the page's end has begun the fetch's anew")
	}
	w.presentations(0)

	for name, referer := range map[string]string{"no page": "", "another site's": "https://evil.test/orders", "no path": "BFF//evil.test", "no URL": ":"} {
		b := w.pages(w.page()).browser()
		b.signedIn("ada")
		h.Set("Referer", strings.Replace(referer, "BFF", b.URL, 1))
		if p := read(b.do("GET", "/", "", h)); !strings.HasPrefix(p["login"].(string), "/login?next=%2F&") {
			t.Errorf("%s: %v", name, p["login"])
		}
	}
}

// What nobody looks at is sent nowhere, and uses up nothing.
func TestAStepUpOfWhatNobodyLooksAt(t *testing.T) {
	w := start(t)
	w.demand(401, stronger)
	b := w.pages(w.page()).browser()
	b.signedIn("ada")
	for name, h := range map[string]http.Header{
		"a prefetch": {"Sec-Purpose": {"prefetch"}, "Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Mode": {"navigate"}},
		"an image":   {"Sec-Fetch-Dest": {"image"}},
	} {
		a := b.do("GET", "/", "", h)
		if a.StatusCode != 403 || strings.Contains(a.body, "/login") || len(a.Cookies()) > 0 || a.Header.Get("WWW-Authenticate") != "" {
			t.Errorf("%s: %d %v %s", name, a.StatusCode, a.Header, a.body)
		}
	}
	must(t, b.visit("/"), 303, "")
}

// Tokens that were renewed on the way go out with the redirect.
func TestAStepUpAfterARenewal(t *testing.T) {
	w := start(t)
	w.demand(401, stronger)
	b := w.pages(w.page()).browser()
	old := b.expired("ada")
	a := b.visit("/")
	if a.StatusCode != 303 || !a.setsTokens() || a.round() == nil || len(a.Cookies()) != 3 {
		t.Errorf("%d %v", a.StatusCode, a.Cookies())
	}
	if _, refresh := b.cookies(); refresh == old.Refresh() || !w.as.Alive(refresh) {
		t.Error("the new tokens are lost")
	}
	w.presentations(1)
}

// A session that is over is over, whatever else is wrong with it; and one that
// cannot be renewed just now, but whose token the API takes, needs no renewal.
func TestAStepUpBesideAnotherTrouble(t *testing.T) {
	w := start(t)
	for name, row := range map[string]struct {
		err      error
		location string
		clears   bool
	}{
		"the session is over": {tokencache.ErrLoginRequired, "/login?next=%2F", true},
		"no renewal now":      {&tokencache.Error{Reason: "unavailable"}, "/login?next=%2F&max_age=0", false},
		"unauthorized":        {tokencache.ErrUnauthorized, "/login?next=%2F&max_age=0", false},
	} {
		t.Run(name, func(t *testing.T) {
			b := w.serve(w.auth.Handler(w.auth.Boundary(func(http.ResponseWriter, *http.Request) error {
				return errors.Join(row.err, fmt.Errorf("a page: %w", &tokencache.StepUpError{}))
			}))).browser()
			b.signedIn("ada")
			if a := b.visit("/"); a.StatusCode != 303 || a.Header.Get("Location") != row.location || a.clearsTokens() != row.clears {
				t.Errorf("%d %v", a.StatusCode, a.Header)
			}
		})
	}
	b := w.serve(w.auth.Handler(w.auth.Boundary(func(http.ResponseWriter, *http.Request) error {
		return (*tokencache.StepUpError)(nil)
	}))).browser()
	b.signedIn("ada")
	must(t, b.visit("/"), 500, "")
}

// A page that is under way gets a link, all else stays as it is.
func TestAStepUpOfAPageThatIsUnderWay(t *testing.T) {
	w := start(t)
	w.demand(401, stronger)
	for contentType, want := range map[string]string{
		"text/html; charset=utf-8": `begun<p role="status"><a href="/login?next=%2Forders&amp;acr_values=gold&#43;silver&amp;max_age=300">Sign in again</a> to go on.</p>`,
		"text/event-stream":        "begun",
	} {
		b := w.pages(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", contentType)
			io.WriteString(rw, "begun")
			rw.(http.Flusher).Flush()
			_, err := w.rest.R(r.Context()).Get("/users/me")
			w.auth.Error(rw, r, err)
		})).browser()
		b.signedIn("ada")
		if a := b.visit("/orders"); a.StatusCode != 200 || a.body != want || a.round() != nil {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
	}
}

// T-G5: whatever somebody puts into the cookie, its worst is a page with a link; and a
// handler, or what is behind it, neither sees nor sets it.
func TestAForgedCookieOfAStepUp(t *testing.T) {
	w := start(t)
	s := w.serve(w.auth.Handler(w.auth.Boundary(func(rw http.ResponseWriter, r *http.Request) error {
		if c, err := r.Cookie(roundsName); err == nil {
			t.Errorf("the handler sees %v", c)
		}
		http.SetCookie(rw, &http.Cookie{Name: roundsName, Value: "upstream"})
		return &tokencache.StepUpError{MaxAge: time.Hour}
	})))
	for _, value := range []string{"", ".", "x", "....", strings.Repeat("x", 22), strings.Repeat("x", 8000), `"; Path=/evil`, "<script>",
		strings.Repeat(strings.Repeat("y", 22)+".", 4), strings.Repeat(".", 92), strings.Repeat("z", 21) + "," + strings.Repeat(".", 3)} {
		b := s.browser()
		b.signedIn("ada")
		h := navigating.Clone()
		h.Set("Cookie", roundsName+"="+value)
		a := b.do("GET", "/", "", h)
		if a.StatusCode != 303 && a.StatusCode != 403 {
			t.Errorf("%q: %d", value, a.StatusCode)
		}
		c := a.round()
		if c == nil || len(a.Cookies()) != 1 || c.Value == "upstream" || strings.ContainsAny(c.Value, `<>"; ,`) || len(c.Value) > 92 {
			t.Errorf("%q: %v", value, c)
		}
		if a.StatusCode == 403 { // and then it is over
			must(t, b.visit("/"), 303, "")
		}
	}
}

// A login request says what it likes; only what an authorization server could
// make sense of is passed on.
func TestStepUpReadsWhatMayBeAsked(t *testing.T) {
	long := strings.Repeat("x", 1023)
	for query, want := range map[string]string{
		"":               "",
		"next=/&state=x": "",
		"acr_values=gold+silver&max_age=300&scope=a+b": "acr_values=gold+silver&max_age=300&scope=a+b",
		"max_age=0":                            "max_age=0",
		"max_age=007":                          "max_age=7",
		"max_age=-1":                           "",
		"max_age=%2B1":                         "",
		"max_age=1e3":                          "",
		"max_age=4294967295":                   "max_age=4294967295",
		"max_age=4294967296":                   "",
		"max_age=1&max_age=2":                  "max_age=1",
		"scope=++a+++b+":                       "scope=a+b",
		"scope=a%0d%0aSet-Cookie:x+b":          "scope=b",
		"scope=a%22b+%5C+%7F+%00+c%C3%BC+d":    "scope=d",
		"acr_values=urn:mace:x?y%26redirect=z": "acr_values=urn%3Amace%3Ax%3Fy%26redirect%3Dz",
		"scope=" + long:                        "scope=" + long,
		"scope=" + long + "x":                  "",
		"scope=a+" + long + "+b":               "scope=a",
	} {
		v, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range []*http.Request{httptest.NewRequest("GET", "/login?"+query, nil), form("/login", v)} {
			if got := middleware.StepUp(r).Encode(); got != want {
				t.Errorf("%s %.80q asks for %.80q, not %.80q", r.Method, query, got, want)
			}
		}
	}
}

// FuzzStepUp: what an API demands reaches the login page as it is read there, and
// nothing of it goes anywhere else.
func FuzzStepUp(f *testing.F) {
	f.Add("gold silver", "read&next=//evil", int64(300))
	f.Add("a\r\nb", `"\ ü`, int64(-1))
	auth := &middleware.Authenticator{Coordinator: &tokencache.Coordinator{}}
	f.Fuzz(func(t *testing.T, acr, scope string, age int64) {
		r := httptest.NewRequest("GET", "/orders", nil)
		r.Header = navigating.Clone()
		rec := httptest.NewRecorder()
		auth.Error(rec, r, &tokencache.StepUpError{ACRValues: strings.Fields(acr), Scope: []string{scope}, MaxAge: time.Duration(age)})
		to, err := url.Parse(rec.Header().Get("Location"))
		if err != nil || to.Path != "/login" || to.Host != "" || to.Query().Get("next") != "/orders" || len(to.String()) > 8<<10 {
			t.Fatalf("%v %v", to, err)
		}
		read := middleware.StepUp(&http.Request{Method: "GET", URL: to})
		for name, v := range to.Query() {
			if len(v) != 1 || name != "next" && v[0] != read.Get(name) {
				t.Errorf("%s=%q is read as %q", name, v, read[name])
			}
		}
		if age >= 0 && read.Get("max_age") == "" {
			t.Error("max_age is lost")
		}
	})
}

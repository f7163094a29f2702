package browser

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/rebearer/rebearer/middleware"
)

// strict is a policy that allows the scripts with the nonce of the response and
// no others.
func strict(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		nonce := rand.Text()
		w.Header().Set("Content-Security-Policy", "default-src 'self'; script-src 'nonce-"+nonce+"'; base-uri 'none'; form-action 'self'")
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), nonceKey{}, nonce)))
	})
}

// B72
func TestABoundaryWorksUnderAStrictPolicy(t *testing.T) {
	w := start(t)
	s := w.local(func(a *middleware.Authenticator) { a.Cookies.InsecureNoTLS, a.Nonce = true, nonceOf }, strict)
	b := person(t).signIn(s.site)
	w.as.RevokeAccess()
	b.open(s.URL + "/boundary").sees("Signed in as alice")
	s.want(t, asking, http.StatusNoContent)
	w.counts(1)
}

// And the policy is one: without the nonce there is no script. The page then
// says how to go on.
func TestAPolicyThatForbidsTheScriptLeavesTheButton(t *testing.T) {
	w := start(t)
	s := w.local(insecureCookies, strict)
	b := person(t).signIn(s.site)
	w.as.RevokeAccess()
	b.open(s.URL + "/boundary").sees("Your session is being renewed")
	s.want(t, asking)
	b.click("form button")
	b.sees("Signed in as alice")
	s.want(t, asking, http.StatusSeeOther)
	w.counts(1)
}

// B73
func TestTwentyCallsWithOneSpentTokenAreTwentySuccesses(t *testing.T) {
	w := start(t)
	s := w.local(func(a *middleware.Authenticator) { a.Cookies.InsecureNoTLS, a.Nonce = true, nonceOf }, strict)
	u := person(t)
	u.signIn(s.site)
	tabs := u.tabs(2) // which share the cookies, and the lock
	for _, b := range tabs {
		b.open(s.URL + "/script").until("window.rebearer")
	}
	w.as.RevokeAccess()
	for _, b := range tabs {
		// The tab remembers what came of it: both are to run at the same time.
		if _, err := js[bool](b, `Promise.all([...Array(20).keys()].map((i) => rebearer.fetch("/api/items/" + i).then(async (r) =>
			r.status + " " + await r.text()))).then((all) => { window.all = all.join("\n"); }, (e) => { window.all = String(e); }), true`); err != nil {
			t.Fatal(err)
		}
	}
	var want []string
	for i := range 20 {
		want = append(want, fmt.Sprintf("200 %d of alice", i))
	}
	for _, b := range tabs {
		b.until("window.all")
		if got, err := js[string](b, "window.all"); err != nil || got != strings.Join(want, "\n") {
			t.Errorf("%v\n%s", err, got)
		}
	}
	w.counts(1)
}

// A call whose session is over gets its 401, and is not sent again.
func TestACallWhoseSessionIsOverGetsTheAnswer(t *testing.T) {
	w := start(t)
	s := w.local(insecureCookies, nil)
	u := person(t)
	u.signIn(s.site)
	b := u.tab().open(s.URL + "/script")
	b.until("window.rebearer")
	w.as.EndSession(u.cookies()["refresh"])
	w.as.RevokeAccess()
	if got, err := js[int](b, `rebearer.fetch("/api/items/1").then((r) => r.status)`); err != nil || got != http.StatusUnauthorized {
		t.Error(got, err)
	}
	s.want(t, "GET /api/items/1", http.StatusUnauthorized)
	s.want(t, asking, http.StatusUnauthorized)
}

// B72
func TestNobodyElsesPageCanRefreshOrSignOut(t *testing.T) {
	for name, host := range map[string]string{
		"another port": "127.0.0.1", // the same site: cookies with SameSite=Lax are sent along
		"another site": "localhost",
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t)
			for logout, s := range map[string]*site{"/logout": w.bff(insecure), "/auth/logout": w.local(insecureCookies, nil).site} {
				u := person(t)
				u.signIn(s)
				before := u.cookies()
				w.as.RevokeAccess()
				for _, path := range []string{"/auth/refresh", logout} {
					evil := evilPage(t, host, s.URL+path)
					b := u.tab().open(evil)
					if _, err := js[bool](b, `fetch(document.forms[0].action, { method: "POST", mode: "no-cors", credentials: "include" }).then(() => true)`); err != nil {
						t.Error(err)
					}
					b.click("button")
					b.arrives(path)
				}
				s.want(t, asking, http.StatusForbidden, http.StatusForbidden) // by script, and by form
				s.want(t, "POST "+logout, http.StatusForbidden, http.StatusForbidden)
				if c := w.as.Counts(); c.Presentations != 0 || c.Revocations != 0 {
					t.Errorf("%d presentations, %d revocations", c.Presentations, c.Revocations)
				}
				for name, value := range u.cookies() {
					if before[name] != value {
						t.Errorf("the cookie %s has changed", name)
					}
				}
			}
		})
	}
}

// evilPage is a page of another origin with a form for the target.
func evilPage(t *testing.T, host, target string) string {
	t.Helper()
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		show(w, r, `<h1>Win a prize</h1><form method="post" action="{{.}}"><button>Go</button></form><a href="{{.}}">A link</a>`, target)
	}))
	return strings.Replace(s, "127.0.0.1", host, 1)
}

// The cookies of SameSite=Strict are missing on a navigation from elsewhere.
func TestALinkFromAnotherSiteIsLoadedTwiceWithStrictCookies(t *testing.T) {
	w := start(t)
	s := w.local(func(a *middleware.Authenticator) {
		a.Cookies.InsecureNoTLS, a.Cookies.SameSite = true, http.SameSiteStrictMode
	}, nil)
	u := person(t)
	u.signIn(s.site)
	s.door.forget()
	b := u.tab().open(evilPage(t, "localhost", s.URL+"/?a=1&b=2"))
	b.click("a")
	b.arrives("/").sees("Signed in as alice")
	b.until(`location.search === "?a=1&b=2"`)
	s.want(t, "GET /", http.StatusOK, http.StatusOK)

	// Who is not signed in does not go round in circles.
	s.door.forget()
	b = person(t).tab().open(evilPage(t, "localhost", s.URL+"/"))
	b.click("a")
	b.arrives("/login").sees("Sign in")
	s.want(t, "GET /", http.StatusOK, http.StatusSeeOther)
	w.counts(0)
}

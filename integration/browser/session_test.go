package browser

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/rebearer/rebearer/authtest"
)

const (
	insecure   = "BFF_INSECURE_COOKIES=1"
	accessName = "accessToken"
	refresh    = "refreshToken"
)

// signIn signs somebody in through the form of the login page.
func (u *user) signIn(s *site) *tab {
	u.t.Helper()
	b := u.tab().open(s.URL + "/")
	b.arrives("/login")
	b.click("form button")
	b.arrives("/")
	return b
}

// together has all tabs go to a page at the same time.
func together(tabs []*tab, url string) {
	var all sync.WaitGroup
	for _, b := range tabs {
		all.Go(func() { b.head(url) })
	}
	all.Wait()
}

// B68: who is not signed in gets to the login page, and from there back.
func TestSomebodySignsInThroughTheForm(t *testing.T) {
	w := start(t)
	s := w.bff(insecure)
	u := person(t)
	b := u.tab().open(s.URL + "/?from=here")
	b.arrives("/login").picture("login")
	b.click("form button")
	b.arrives("/").sees("Signed in as alice")
	b.until("location.search === '?from=here'")
	b.picture("main")
	if c := u.cookies(); c[accessName] == "" || !w.as.Alive(c[refresh]) {
		t.Errorf("the cookies are no session: %d of them", len(c))
	}
	w.counts(0)
}

// B63, B55: the memo's own system lost the session here, and half of the pages.
func TestTwentyTabsWithOneRejectedTokenAreTwentyPages(t *testing.T) {
	w := start(t)
	s := w.bff(insecure)
	u := person(t)
	u.signIn(s).sees("Signed in as alice")
	tabs := u.tabs(20)
	w.as.RevokeAccess()
	twentyPages(w, s, u, tabs)
}

// B63: the same by a token that has ended, which is renewed before the handler.
func TestTwentyTabsWithOneExpiredTokenAreTwentyPages(t *testing.T) {
	w := start(t)
	s := w.bff(insecure)
	u := person(t)
	u.signIn(s).sees("Signed in as alice")
	tabs := u.tabs(20)
	w.expire(u, accessName)
	twentyPages(w, s, u, tabs)
}

func twentyPages(w *world, s *site, u *user, tabs []*tab) {
	t := w.t
	t.Helper()
	together(tabs, s.URL+"/")
	for _, b := range tabs {
		b.sees("Signed in as alice")
	}
	w.counts(1)
	tabs[0].open(s.URL + "/").sees("Signed in as alice")
	w.counts(1)
	if !w.as.Alive(u.cookies()[refresh]) {
		t.Error("the browser does not hold the newest refresh token")
	}
}

// B53: the header is long gone when the token turns out to be spent.
func TestAStreamGoesOnAndTheNextPageGetsTheCookies(t *testing.T) {
	w := start(t)
	s := w.bff(insecure)
	u := person(t)
	b := u.signIn(s)
	gate := authtest.NewGate()
	w.api.Intercept(gate.Hold)
	s.door.forget()
	b.head(s.URL + "/stream?delay=0s")
	held(t, gate)
	b.sees("begin")
	w.as.RevokeAccess()
	gate.Open()
	b.sees("alice\nend")
	w.counts(1)
	for _, v := range s.door.visits("GET /stream") {
		if len(v.cookies) > 0 {
			t.Error("there were cookies after the header")
		}
	}
	b.open(s.URL + "/").sees("Signed in as alice")
	if w.counts(1); !w.as.Alive(u.cookies()[refresh]) {
		t.Error("the next page did not bring the new cookies")
	}
}

// B63, T-G7: a form is posted as browsers do it, by a navigation.
func TestAFormIsSavedOnceAndWhole(t *testing.T) {
	w := start(t)
	s := w.bff(insecure)
	u := person(t)
	b := u.signIn(s)
	w.as.RevokeAccess()
	if _, err := js[bool](b, `document.getElementById("text").value = "a".repeat(300000) + " and the end",
		setTimeout(() => HTMLFormElement.prototype.submit.call(document.getElementById("comment")), 0), true`); err != nil {
		t.Fatal(err)
	}
	b.arrives("/comments")
	b.until(`document.body.innerText.trim() === "text=" + "a".repeat(300000) + " and the end"`)
	w.counts(1)
	if c := w.api.Counts().Paths["/comments"]; c.OK != 1 {
		t.Errorf("the comment was saved %d times", c.OK)
	}
	s.want(t, "POST /comments", http.StatusOK)
}

// B58: a deletion that lacks one of the attributes deletes nothing.
func TestALogoutDeletesCookiesWithThePrefixHost(t *testing.T) {
	w := start(t)
	s := w.bff()
	u := person(t)
	b := u.signIn(s)
	b.sees("Signed in as alice")
	for _, c := range u.jar() {
		if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HTTPOnly || c.SameSite != "Lax" || c.Path != "/" {
			t.Errorf("the cookie %s: secure %t, http only %t, %s, %s", c.Name, c.Secure, c.HTTPOnly, c.SameSite, c.Path)
		}
	}
	token := u.cookies()["__Host-refresh"]
	b.click("header form button")
	b.arrives("/login")
	if left := u.jar(); len(left) != 0 || w.as.Alive(token) {
		t.Errorf("%d cookies are left, and the session is alive: %t", len(left), w.as.Alive(token))
	}
}

// B68: nor does the end of a session elsewhere leave any.
func TestASessionThatWasEndedElsewhereLeavesNoCookies(t *testing.T) {
	w := start(t)
	s := w.bff()
	u := person(t)
	b := u.signIn(s)
	w.as.EndSession(u.cookies()["__Host-refresh"])
	w.as.RevokeAccess()
	b.open(s.URL + "/?x=1").arrives("/login")
	b.until(`new URLSearchParams(location.search).get("next") === "/?x=1"`)
	if left := u.jar(); len(left) != 0 {
		t.Errorf("%d cookies are left", len(left))
	}
	if c := w.as.Counts(); c.Presentations != 1 {
		t.Errorf("%d presentations, want 1", c.Presentations)
	}
	b.click("form button")
	b.arrives("/").sees("Signed in as alice")
}

// B31: before the refresh has any effect.
func TestALogoutDuringARefreshIsTheEnd(t *testing.T) {
	w := start(t)
	s := w.bff(insecure)
	u := person(t)
	page := u.signIn(s)
	page.sees("Signed in as alice")
	token := u.cookies()[refresh]
	other := u.tab()
	gate := authtest.NewGate()
	w.as.FailNext(1, gate.Hold)
	w.as.RevokeAccess()
	other.head(s.URL + "/")
	held(t, gate)
	page.click("header form button")
	page.arrives("/login")
	gate.Open()
	other.arrives("/login")
	if left := u.jar(); len(left) != 0 || w.as.Alive(token) {
		t.Errorf("%d cookies are left, and the session is alive: %t", len(left), w.as.Alive(token))
	}
	other.open(s.URL + "/").arrives("/login")
}

// B31: and when the server has issued what nobody may keep.
func TestALogoutDuringARefreshRevokesItsResult(t *testing.T) {
	w := start(t)
	s := w.local(insecureCookies, nil)
	u := person(t)
	page := u.signIn(s.site)
	page.sees("Signed in as alice")
	other := u.tab()
	issued := make(chan string, 1)
	w.as.Mutate(func(answer map[string]any) { issued <- answer["refresh_token"].(string) })
	gate := authtest.NewGate()
	w.as.FailNext(1, authtest.After(gate.Hold))
	w.as.RevokeAccess()
	other.head(s.URL + "/")
	held(t, gate)
	page.click("form button")
	page.arrives("/login")
	gate.Open()
	other.arrives("/login")
	successor := <-issued
	eventually(t, func() bool { return !w.as.Alive(successor) }, func() string { return "what was issued during the logout lives on" })
	if left := u.jar(); len(left) != 0 {
		t.Errorf("%d cookies are left", len(left))
	}
	other.open(s.URL + "/").arrives("/login")
}

// B65, T-F12: a browser that keeps no cookies, or something on the way that takes them.
func TestRedirectModeWithoutCookiesIsOneRedirectAndThenPages(t *testing.T) {
	w := start(t)
	s := w.bff(insecure, "BFF_MODE=redirect")
	u := person(t)
	b := u.signIn(s)
	w.expire(u, accessName)
	s.door.lossy.Store(true)
	s.door.forget()
	for range 3 {
		b.open(s.URL + "/").sees("Signed in as alice")
	}
	s.want(t, "GET /", http.StatusTemporaryRedirect, http.StatusOK, http.StatusOK, http.StatusOK)
	w.counts(1)

	s.door.lossy.Store(false)
	b.open(s.URL + "/").sees("Signed in as alice")
	if w.counts(1); !w.as.Alive(u.cookies()[refresh]) {
		t.Error("the new cookies were not offered again")
	}
}

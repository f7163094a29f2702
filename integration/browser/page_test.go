package browser

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/middleware"
)

// B71: a server that does not answer is no reason to sign in again.
func TestABoundaryWithoutAServerSaysSoAndRecovers(t *testing.T) {
	w := start(t)
	s := w.bff(insecure)
	u := person(t)
	b := u.signIn(s)
	w.as.Fail(authtest.Answer(http.StatusServiceUnavailable, nil, ""))
	w.as.RevokeAccess()
	b.open(s.URL + "/boundary").sees("cannot be renewed just now")
	s.want(t, "GET /boundary", http.StatusUnauthorized)
	if n := len(s.door.visits(asking)); n != 2 {
		t.Errorf("asked %d times, want 2", n)
	}
	if !w.as.Alive(u.cookies()[refresh]) {
		t.Error("the session is lost")
	}
	w.as.Fail(nil)
	b.open(s.URL + "/boundary").sees(renewed)
	if c := w.as.Counts(); c.Refreshes != 1 || c.Reuses != 0 {
		t.Errorf("%d refreshes and %d reuses, want 1 and none", c.Refreshes, c.Reuses)
	}
}

// B70: the status is out, and the script comes at the end of what there is.
func TestAPageThatFailsHalfwayIsLoadedAgain(t *testing.T) {
	w := start(t)
	s := w.local(func(a *middleware.Authenticator) { a.Cookies.InsecureNoTLS, a.Nonce = true, nonceOf }, strict)
	b := person(t).signIn(s.site)
	w.as.RevokeAccess()
	b.open(s.URL + "/late").sees("Signed in as alice")
	s.want(t, "GET /late", http.StatusOK, http.StatusOK)
	s.want(t, asking, http.StatusNoContent)
	w.counts(1)
}

// B70: the state of the history is the page's own, of whatever kind, and is there
// when the page has come back.
func TestAPageThatIsLoadedAgainHasItsHistory(t *testing.T) {
	w := start(t)
	s := w.local(insecureCookies, nil)
	u := person(t)
	u.signIn(s.site)
	for i, state := range []string{`{"page":7}`, `"a text"`, `[1,2]`, `42`, `null`} {
		b := u.tab().open(s.URL + "/boundary").sees("Signed in as alice")
		_, err := js[bool](b, "history.replaceState("+state+", ''), true")
		must(t, err)
		w.as.RevokeAccess()
		s.door.forget()
		b.do(chromedp.Reload())
		eventually(t, func() bool { return len(s.door.visits("GET /boundary")) == 2 }, b.shows)
		b.sees("Signed in as alice").until("JSON.stringify(history.state) === " + strconv.Quote(state))
		w.counts(i + 1)
	}
}

// B66, T-G9: twelve of them ended the session of the memo's own system.
func TestPrefetchedLinksRefreshNothing(t *testing.T) {
	w := start(t)
	s := w.local(insecureCookies, nil)
	u := person(t)
	b := u.signIn(s.site)
	w.expire(u, "access")
	b.open(s.URL + "/links")
	for i := range links {
		path := fmt.Sprintf("GET /linked/%d", i)
		eventually(t, func() bool { return len(s.door.visits(path)) > 0 }, func() string { return "never prefetched: " + path })
		s.want(t, path, http.StatusUnauthorized)
	}
	w.counts(0)
	b.open(s.URL + "/linked/0").sees("Signed in as alice")
	w.counts(1)
}

// T-H5: whoever comes to this machine after a logout finds nothing by going back.
func TestTheWayBackAfterALogoutIsTheLogin(t *testing.T) {
	w := start(t)
	s := w.bff(insecure)
	b := person(t).signIn(s)
	b.sees("Signed in as alice").until(`document.getElementById("live").textContent === "live"`)
	b.click("header form button")
	b.arrives("/login")
	b.do(chromedp.NavigateBack())
	b.arrives("/login")
}

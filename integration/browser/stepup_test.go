package browser

import (
	"net/http"
	"testing"

	"github.com/rebearer/rebearer/authtest"
)

var demanding = authtest.Refusal{
	Always:    true,
	Challenge: `Bearer error="insufficient_user_authentication", acr_values="gold silver", max_age="300"`,
}

// B13, RFC 9470: a page whose API wants a stronger sign-in leads to the login page
// once. If that brings nothing, a page says so, and its link begins anew.
func TestAStepUpInVainIsOneLoginAndAPage(t *testing.T) {
	w := start(t)
	s := w.local(insecureCookies, nil)
	b := person(t).signIn(s.site)
	w.api.Refuse(demanding)
	b.open(s.URL + "/orders").sees("Sign in")
	s.want(t, "GET /orders", http.StatusSeeOther)
	b.click("button")
	b.arrives("/orders").sees("Signing in again has not changed that.")
	s.want(t, "GET /orders", http.StatusSeeOther, http.StatusForbidden)
	b.click("a")
	b.sees("Sign in")
	w.api.Refuse(authtest.Refusal{})
	b.click("button")
	b.sees("Signed in as alice")
	w.counts(0)
}

// A call whose API wants a stronger sign-in takes its page to the login page, and
// back, once; and refreshes nothing.
func TestACallThatWantsAStrongerSignInLeavesThePageOnce(t *testing.T) {
	w := start(t)
	s := w.local(insecureCookies, nil)
	b := person(t).signIn(s.site)
	b.open(s.URL + "/script?x=1&y=2").until("window.rebearer")
	w.api.Refuse(demanding)
	if got, err := js[int](b, `rebearer.fetch("/api/items/1").then((r) => r.status)`); err != nil || got != http.StatusForbidden {
		t.Error(got, err)
	}
	b.sees("Sign in")
	if got, err := js[string](b, `location.search`); err != nil || got != "?next=%2Fscript%3Fx%3D1%26y%3D2&acr_values=gold+silver&max_age=300" {
		t.Error(got, err)
	}
	b.click("button")
	b.arrives("/script").until("window.rebearer")
	if got, err := js[string](b, `rebearer.fetch("/api/items/1").then(async (r) => r.status + " " + (await r.json()).again)`); err != nil ||
		got != "403 /login?next=%2Fscript%3Fx%3D1%26y%3D2&acr_values=gold+silver&max_age=300" {
		t.Error(got, err)
	}
	b.arrives("/script")
	s.want(t, "GET /api/items/1", http.StatusForbidden, http.StatusForbidden)
	s.want(t, asking)
	w.counts(0)
}

// A page that is under way gets a link.
func TestAStepUpOfAPageThatIsUnderWayIsALink(t *testing.T) {
	w := start(t)
	s := w.local(insecureCookies, nil)
	b := person(t).signIn(s.site)
	w.api.Refuse(demanding)
	b.open(s.URL + "/late").sees("A long page")
	b.sees("Sign in again to go on.")
	b.click("a")
	b.sees("Sign in")
	b.arrives("/login")
}

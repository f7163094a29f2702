package middleware_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
)

// The browser has the name of its session and no token. Two replicas would share a
// redisstore.Store, in both places.
func ExampleSessions() {
	store := &tokencache.MemoryStore{}
	auth := &middleware.Authenticator{
		Coordinator: &tokencache.Coordinator{Store: store, Realm: "https://as.example.com bff"},
		Sessions:    &middleware.Sessions{Store: store, Idle: time.Hour},
	}
	w := httptest.NewRecorder()
	auth.SignIn(w, httptest.NewRequest("POST", "/login", nil), tokencache.NewToken(tokencache.TokenFields{Access: "an access token"}))
	cookie := w.Result().Cookies()[0]
	fmt.Println(cookie.Name, len(cookie.Value), cookie.Secure, cookie.HttpOnly)
	// Output: __Host-rebearer-session 43 true true
}

// The browser has the tokens, and cannot read them. The first secret seals; the
// second one is on its way out.
func ExampleCookies_sealed() {
	secrets := [][]byte{[]byte("32 random bytes that replicas have"), []byte("32 random bytes that they had before")}
	auth := &middleware.Authenticator{
		Coordinator: &tokencache.Coordinator{},
		Cookies:     middleware.Cookies{Sealed: true, Secrets: secrets},
	}
	w := httptest.NewRecorder()
	auth.SignIn(w, httptest.NewRequest("POST", "/login", nil), tokencache.NewToken(tokencache.TokenFields{Access: "an access token"}))
	cookie := w.Result().Cookies()[0]
	fmt.Println(cookie.Name, strings.Contains(cookie.Value, "token"))
	// Output: __Host-rebearer-session false
}

// A login handler sends the browser to the authorization server, with what an API
// has asked for beside the usual.
func ExampleStepUp() {
	login := func(w http.ResponseWriter, r *http.Request) {
		q := url.Values{
			"response_type": {"code"}, "client_id": {"bff"}, "redirect_uri": {"https://app.example.com/callback"},
			"scope": {"openid offline_access"}, // state, nonce and code_challenge are left out here
		}
		for name, v := range middleware.StepUp(r) {
			if name == "scope" {
				v[0] = q.Get(name) + " " + v[0]
			}
			q[name] = v
		}
		http.Redirect(w, r, "https://as.example.com/authorize?"+q.Encode(), http.StatusSeeOther)
	}

	// Where the Authenticator has sent the browser.
	r := httptest.NewRequest("GET", "/login?next=%2Forders&acr_values=phr&max_age=300&scope=pay", nil)
	w := httptest.NewRecorder()
	login(w, r)
	to, _ := w.Result().Location()
	for _, name := range []string{"acr_values", "max_age", "scope"} {
		fmt.Println(name+":", to.Query().Get(name))
	}
	// Output:
	// acr_values: phr
	// max_age: 300
	// scope: openid offline_access pay
}

package middleware_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"

	"github.com/rebearer/rebearer/middleware"
)

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

package main

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/rebearer/rebearer/authtest"
)

// A public client, and an authorization server that cannot revoke.
func TestOAuth2Elsewhere(t *testing.T) {
	as, _, base := elsewhere(t, authtest.ASConfig{})
	w := start(t, map[string]string{"BFF_API_URL": base, "BFF_REFRESH_STYLE": "oauth2", "BFF_TOKEN_URL": as.TokenURL()})
	w.signIn("alice")
	as.RevokeAccess()
	w.want(w.navigate("/"), http.StatusOK)
	w.presented(as, 1)
	old := w.cookie("refreshToken")
	w.want(w.submit("/logout", nil), http.StatusSeeOther)
	if w.cookie("refreshToken") != "" || as.Counts().Revocations != 0 || !as.Alive(old) {
		t.Error("a logout that the server cannot be told of did something else")
	}
}

func TestASignInThatFails(t *testing.T) {
	for name, row := range map[string]struct {
		answer authtest.Fault
		status int
	}{
		"refused":              {authtest.Answer(http.StatusUnauthorized, nil, `{"message":"no"}`), http.StatusForbidden},
		"out of order":         {authtest.Answer(http.StatusInternalServerError, nil, ""), http.StatusServiceUnavailable},
		"not now":              {authtest.RetryAfter(http.StatusTooManyRequests, "9"), http.StatusServiceUnavailable},
		"a page of somebody":   {authtest.HTML, http.StatusServiceUnavailable},
		"no tokens":            {authtest.Answer(http.StatusOK, nil, `{}`), http.StatusServiceUnavailable},
		"a redirect elsewhere": {authtest.Redirect("https://elsewhere.example/"), http.StatusServiceUnavailable},
		"no answer":            {authtest.Cut, http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { row.answer(w, r, nil) }))
			defer srv.Close()
			w := start(t, map[string]string{"BFF_API_URL": srv.URL})
			r := w.submit("/login", url.Values{"user": {"alice"}, "next": {"/stream"}})
			w.want(r, row.status)
			if r.Header.Get("Set-Cookie") != "" || !strings.Contains(r.body, `role="alert"`) || !strings.Contains(r.body, `value="/stream"`) {
				t.Errorf("%v %s", r.Header, r.body)
			}
			if wait := r.Header.Get("Retry-After"); (wait != "") != (row.status == http.StatusServiceUnavailable) {
				t.Errorf("Retry-After %q", wait)
			}
		})
	}
}

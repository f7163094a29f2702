package authtest_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/rebearer/rebearer/authtest"
)

func logout(t *testing.T, as *authtest.AS, token string) answer {
	t.Helper()
	req := styles[1].new(context.Background(), as, token)
	req.URL.Path = "/auth/logout"
	a, err := do(as.Transport(), req)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestLogin(t *testing.T) {
	as := newAS(t, authtest.ASConfig{AccessTTL: time.Minute})
	api := newAPI(t, as)
	login := func(body string) answer {
		a, err := do(as.Transport(), newRequest(t.Context(), "POST", as.LoginURL(), body))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	a := login(`{"username":"alice","password":"pw"}`)
	access, refresh := styles[1].pair(a)
	equal(t, "status", a.status, 200)
	equal(t, "cookie", a.cookies["accessToken"], access)
	equal(t, "alive", as.Alive(refresh), true)
	equal(t, "user", get(t, api, "/users/me", access).members["user"], any("alice"))

	a = login(`{"username":"alice","password":"wrong"}`)
	equal(t, "status", a.status, 401)
	equal(t, "body", string(a.body), `{"message":"Unauthorized","statusCode":401}`)
}

func TestRestoreSetsBothCookies(t *testing.T) {
	as := newAS(t, authtest.ASConfig{AccessTTL: time.Minute, RefreshTTL: 2 * time.Minute})
	req := styles[1].new(t.Context(), as, as.SignIn("alice").Refresh())
	resp, err := as.Transport().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var body map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	equal(t, "members", len(body), 1)
	equal(t, "cookies", len(resp.Cookies()), 2)
	for _, c := range resp.Cookies() {
		equal(t, c.Name+" HttpOnly", c.HttpOnly, true)
		equal(t, c.Name+" Path", c.Path, "/")
		equal(t, c.Name+" Max-Age", c.MaxAge, map[string]int{"accessToken": 60, "refreshToken": 120}[c.Name])
	}
	equal(t, "access token", resp.Cookies()[0].Value, body["accessToken"].(string))
}

func TestRestoreRefusesInWords(t *testing.T) {
	as := newAS(t, authtest.ASConfig{})
	s := styles[1]
	used := as.SignIn("alice").Refresh()
	_, newest := s.refresh(t, as, used)
	for _, c := range []struct{ name, token, message string }{
		{"an unknown token", "rt_unknown", "invalid refresh token"},
		{"an empty token", "", "invalid refresh token"},
		{"a used token", used, "refresh token reuse"},
		{"a used token of a dead session", used, "session revoked"},
		{"the newest token of a dead session", newest, "session revoked"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := s.refuse(t, as, c.token)
			equal(t, "body", string(a.body), `{"error":"Unauthorized","message":"`+c.message+`","statusCode":401}`)
			equal(t, "challenge", a.header.Get("WWW-Authenticate"), "")
			equal(t, "cookies", len(a.cookies), 0)
		})
	}
}

func TestLogout(t *testing.T) {
	as := newAS(t, authtest.ASConfig{})
	token := as.SignIn("alice").Refresh()
	a := logout(t, as, token)
	equal(t, "status", a.status, 200)
	equal(t, "alive", as.Alive(token), false)
	equal(t, "cookies", len(a.cookies), 2)
	for name, value := range a.cookies {
		equal(t, name, value, "")
	}
	equal(t, "revocations", as.Counts().Revocations, 1)
	equal(t, "status of the second", logout(t, as, token).status, 200)
}

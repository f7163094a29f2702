package authtest_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"maps"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/internal/jws"
)

func passwordForm(user, password string) url.Values {
	return url.Values{"grant_type": {"password"}, "username": {user}, "password": {password}}
}

func post(t *testing.T, as *authtest.AS, to string, form url.Values) answer {
	t.Helper()
	a, err := do(as.Transport(), formRequest(t.Context(), to, form))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func revoke(t *testing.T, as *authtest.AS, token string) answer {
	t.Helper()
	return post(t, as, as.RevokeURL(), url.Values{"token": {token}})
}

func TestGrantAnswer(t *testing.T) {
	as := newAS(t, authtest.ASConfig{AccessTTL: 1500 * time.Millisecond})
	a := post(t, as, as.TokenURL(), refreshForm(as.SignIn("alice").Refresh()))
	equal(t, "type", a.members["token_type"], any("Bearer"))
	equal(t, "life, rounded up", a.members["expires_in"], any(2.0))
	equal(t, "Content-Type", a.header.Get("Content-Type"), "application/json")
	equal(t, "Cache-Control", a.header.Get("Cache-Control"), "no-store")
}

func TestPasswordGrant(t *testing.T) {
	as := newAS(t, authtest.ASConfig{})
	a := post(t, as, as.TokenURL(), passwordForm("alice", authtest.Password))
	refresh, _ := a.members["refresh_token"].(string)
	equal(t, "alive", as.Alive(refresh), true)
	equal(t, "counts", as.Counts(), authtest.Counts{})
	a = post(t, as, as.TokenURL(), passwordForm("alice", "wrong"))
	equal(t, "error", a.members["error"], any("invalid_grant"))
}

func TestGrantErrors(t *testing.T) {
	as := newAS(t, authtest.ASConfig{})
	twice := refreshForm("rt_1")
	twice.Add("refresh_token", "rt_2")
	for _, c := range []struct {
		name string
		form url.Values
		code string
	}{
		{"an unknown token is a bad grant", refreshForm("rt_unknown"), "invalid_grant"},
		{"no token is a bad request", url.Values{"grant_type": {"refresh_token"}}, "invalid_request"},
		{"no grant type is a bad request", url.Values{"refresh_token": {"rt_"}}, "invalid_request"},
		{"another grant is not known", url.Values{"grant_type": {"implicit"}}, "unsupported_grant_type"},
		{"a parameter must not be there twice", twice, "invalid_request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := post(t, as, as.TokenURL(), c.form)
			equal(t, "status", a.status, 400)
			equal(t, "error", a.members["error"], any(c.code))
			equal(t, "members", len(a.members), 1)
		})
	}
	t.Run("parameters in the URL do not count", func(t *testing.T) {
		token := as.SignIn("alice").Refresh()
		a := post(t, as, as.TokenURL()+"?"+refreshForm(token).Encode(), nil)
		equal(t, "error", a.members["error"], any("invalid_request"))
		equal(t, "presentations", as.PresentationsOf(token), 0)
	})
	t.Run("JSON is no form", func(t *testing.T) {
		req := newRequest(t.Context(), "POST", as.TokenURL(), `{"grant_type":"refresh_token"}`)
		req.Header.Set("Content-Type", "application/json")
		a, err := do(as.Transport(), req)
		if err != nil || a.members["error"] != "invalid_request" {
			t.Errorf("%s, %v", a.body, err)
		}
	})
	t.Run("GET is no refresh", func(t *testing.T) {
		a, err := do(as.Transport(), newRequest(t.Context(), "GET", as.TokenURL(), ""))
		if err != nil || a.status != http.StatusMethodNotAllowed {
			t.Errorf("%d, %v", a.status, err)
		}
	})
}

func TestRevoke(t *testing.T) {
	as := newAS(t, authtest.ASConfig{})
	api := newAPI(t, as)
	first := as.SignIn("alice")
	access, second := styles[0].refresh(t, as, first.Refresh())
	equal(t, "status", revoke(t, as, second).status, 200)
	equal(t, "alive", as.Alive(second), false)
	equal(t, "API with the access token", get(t, api, "/users/me", access).status, 200)
	equal(t, "status", revoke(t, as, access).status, 200)
	equal(t, "API with the revoked access token", get(t, api, "/users/me", access).status, 401)
	equal(t, "API with the other one", get(t, api, "/users/me", first.Access()).status, 200)
	equal(t, "status for an unknown token", revoke(t, as, "unknown").status, 200)
	equal(t, "status for none", revoke(t, as, "").status, 400)
	equal(t, "revocations", as.Counts().Revocations, 3)
}

func TestIntrospect(t *testing.T) {
	as := newAS(t, authtest.ASConfig{})
	token := as.SignIn("alice")
	introspect := func(token string) map[string]any {
		return post(t, as, as.IntrospectURL(), url.Values{"token": {token}}).members
	}
	for _, part := range []string{token.Access(), token.Refresh()} {
		m := introspect(part)
		equal(t, "active", m["active"], any(true))
		equal(t, "sub", m["sub"], any("alice"))
	}
	as.RevokeAccess()
	as.EndSession(token.Refresh())
	for _, part := range []string{token.Access(), token.Refresh(), "unknown"} {
		m := introspect(part)
		equal(t, "active", m["active"], any(false))
		equal(t, "members", len(m), 1)
	}
	equal(t, "counts", as.Counts(), authtest.Counts{})
}

// clientWays are ways to authenticate, right and wrong.
func clientWays(id, secret string) map[string]func(*http.Request, url.Values) {
	return map[string]func(*http.Request, url.Values){
		"nothing":   func(*http.Request, url.Values) {},
		"id":        func(_ *http.Request, f url.Values) { f.Set("client_id", id) },
		"wrong id":  func(_ *http.Request, f url.Values) { f.Set("client_id", "x") },
		"basic":     func(r *http.Request, _ url.Values) { r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret)) },
		"raw basic": func(r *http.Request, _ url.Values) { r.SetBasicAuth(id, secret) },
		"wrong basic": func(r *http.Request, _ url.Values) {
			r.SetBasicAuth(url.QueryEscape(id), "x")
		},
		"post":       func(_ *http.Request, f url.Values) { f.Set("client_id", id); f.Set("client_secret", secret) },
		"wrong post": func(_ *http.Request, f url.Values) { f.Set("client_id", id); f.Set("client_secret", "x") },
		"both": func(r *http.Request, f url.Values) {
			f.Set("client_secret", secret)
			r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
		},
	}
}

// Another way than the one demanded is not accepted, even if it is right.
func TestClientAuth(t *testing.T) {
	const id, secret = "b:f f", "s%c/ret+"
	send := clientWays(id, secret)
	for _, c := range []struct {
		auth authtest.ClientAuth
		good []string
	}{
		{authtest.NoClientAuth, []string{"nothing", "id"}},
		{authtest.ClientSecretBasic, []string{"basic"}},
		{authtest.ClientSecretPost, []string{"post"}},
		{authtest.PrivateKeyJWT, nil},
	} {
		as := newAS(t, authtest.ASConfig{ClientID: id, ClientSecret: secret, ClientAuth: c.auth})
		good := map[string]bool{}
		for _, name := range c.good {
			good[name] = true
		}
		for name, set := range send {
			token := as.SignIn("alice").Refresh()
			form := refreshForm(token)
			proto := newRequest(t.Context(), "POST", as.TokenURL(), "")
			set(proto, form)
			req := formRequest(t.Context(), as.TokenURL(), form)
			maps.Copy(req.Header, proto.Header)
			a, err := do(as.Transport(), req)
			if err != nil {
				t.Fatal(err)
			}
			want := any("invalid_client")
			switch {
			case good[name]:
				want = nil
			case name == "both":
				want = "invalid_request"
			}
			if a.members["error"] != want {
				t.Errorf("auth %d with %s: %d %s, want %v", c.auth, name, a.status, a.body, want)
			}
			equal(t, "challenge", a.header.Get("WWW-Authenticate") != "", a.status == 401 && req.Header.Get("Authorization") != "")
			equal(t, "spent", !as.Alive(token), good[name])
		}
		equal(t, "bad clients", as.Counts().BadClients, len(send)-len(c.good))
	}
}

func TestPrivateKeyJWT(t *testing.T) {
	rsaKey, err1 := rsa.GenerateKey(rand.Reader, 2048)
	ecKey, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, edKey, err3 := ed25519.GenerateKey(rand.Reader)
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	for alg, key := range map[string]crypto.Signer{"RS256": rsaKey, "PS256": rsaKey, "ES256": ecKey, "EdDSA": edKey} {
		t.Run(alg, func(t *testing.T) {
			as := newAS(t, authtest.ASConfig{ClientAuth: authtest.PrivateKeyJWT, ClientKey: key.Public()})
			try := func(change func(claims map[string]any)) answer {
				claims := map[string]any{
					"iss": "bff", "sub": "bff", "aud": as.TokenURL(), "jti": rand.Text(),
					"exp": time.Now().Add(time.Minute).Unix(),
				}
				change(claims)
				assertion, err := jws.Sign(alg, key, nil, claims)
				if err != nil {
					t.Fatal(err)
				}
				form := refreshForm(as.SignIn("alice").Refresh())
				form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
				form.Set("client_assertion", assertion)
				return post(t, as, as.TokenURL(), form)
			}
			for name, change := range map[string]func(map[string]any){
				"the token endpoint is an audience": func(map[string]any) {},
				"the issuer is an audience":         func(c map[string]any) { c["aud"] = as.URL },
				"the audience may be a list":        func(c map[string]any) { c["aud"] = []string{"x", as.URL}; c["jti"] = "once" },
			} {
				if a := try(change); a.status != 200 {
					t.Errorf("%s: %d %s", name, a.status, a.body)
				}
			}
			for name, change := range map[string]func(map[string]any){
				"another issuer is refused":         func(c map[string]any) { c["iss"] = "x" },
				"another subject is refused":        func(c map[string]any) { c["sub"] = "x" },
				"another audience is refused":       func(c map[string]any) { c["aud"] = "x" },
				"an assertion works once":           func(c map[string]any) { c["jti"] = "once" },
				"an assertion needs an identity":    func(c map[string]any) { delete(c, "jti") },
				"an assertion needs an end":         func(c map[string]any) { delete(c, "exp") },
				"an assertion must not have ended":  func(c map[string]any) { c["exp"] = time.Now().Unix() - 1 },
				"an assertion must have come alive": func(c map[string]any) { c["nbf"] = time.Now().Unix() + 60 },
			} {
				if a := try(change); a.members["error"] != "invalid_client" {
					t.Errorf("%s: %d %s", name, a.status, a.body)
				}
			}
		})
	}
}

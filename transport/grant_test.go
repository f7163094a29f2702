package transport_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
	"github.com/rebearer/rebearer/transport"
	"github.com/rebearer/rebearer/transport/clientassertion"
)

// The way of a session over five expiries, whatever becomes of used refresh
// tokens and whatever is spoken.
func TestASessionLivesOn(t *testing.T) {
	bothStyles(t, func(t *testing.T, s style) {
		for name, config := range map[string]authtest.ASConfig{
			"strict rotation":   {Rotation: authtest.Strict},
			"a grace period":    {Rotation: authtest.Grace},
			"no rotation":       {Rotation: authtest.NoRotation},
			"RS256 over TLS":    {Alg: "RS256", Wire: authtest.TLS},
			"EdDSA over HTTP/2": {Alg: "EdDSA", Wire: authtest.HTTP2},
		} {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, s, config)
				first := w.as.SignIn("ann")
				ctx, cache := w.show(first)
				for range 5 {
					w.as.RevokeAccess()
					wantStatus(t, w.get(t, ctx, "/users/me"), 200)
					ctx, cache = w.show(cache.Token()) // the browser's next request
				}
				wantPresentations(t, w.as, 5)
				equal(t, "reuses", w.as.Counts().Reuses, 0)
				equal(t, "the refresh token stays", cache.Token().Refresh() == first.Refresh(), config.Rotation == authtest.NoRotation)
				equal(t, "the refresh token is alive", w.as.Alive(cache.Token().Refresh()), true)
			})
		}
	})
}

func keys(t *testing.T) map[string]crypto.Signer {
	ec, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rs, err2 := rsa.GenerateKey(rand.Reader, 2048)
	_, ed, err3 := ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	return map[string]crypto.Signer{"ES256": ec, "RS256": rs, "PS256": rs, "EdDSA": ed}
}

// RFC 6749 section 2.3, RFC 7523 section 2.2: refreshed and revoked with each
// method, and with no other.
func TestTheClientAuthenticates(t *testing.T) {
	const id, secret = "bff: ünï+/%&=~*", "s e:c%r+e/t=&?\"ü~*"
	type test struct {
		name   string
		config authtest.ASConfig
		set    func(*authtest.AS, *transport.TokenEndpoint)
	}
	tests := []test{
		{"client_secret_basic", authtest.ASConfig{ClientAuth: authtest.ClientSecretBasic},
			func(_ *authtest.AS, e *transport.TokenEndpoint) { e.ClientSecret = secret }},
		{"client_secret_basic by its name", authtest.ASConfig{ClientAuth: authtest.ClientSecretBasic},
			func(_ *authtest.AS, e *transport.TokenEndpoint) {
				e.ClientSecret, e.AuthMethod = secret, "client_secret_basic"
			}},
		{"client_secret_post", authtest.ASConfig{ClientAuth: authtest.ClientSecretPost},
			func(_ *authtest.AS, e *transport.TokenEndpoint) {
				e.ClientSecret, e.AuthMethod = secret, "client_secret_post"
			}},
		{"none", authtest.ASConfig{}, func(*authtest.AS, *transport.TokenEndpoint) {}},
		{"none, though there is a secret", authtest.ASConfig{},
			func(_ *authtest.AS, e *transport.TokenEndpoint) { e.ClientSecret, e.AuthMethod = secret, "none" }},
	}
	for alg, key := range keys(t) {
		set := func(_ *authtest.AS, e *transport.TokenEndpoint) {
			e.Assertion = (&clientassertion.Signer{ClientID: id, Key: key, Alg: alg}).Assertion
		}
		config := authtest.ASConfig{ClientAuth: authtest.PrivateKeyJWT, ClientKey: key.Public()}
		tests = append(tests, test{"private_key_jwt with " + alg, config, set},
			test{"private_key_jwt with " + alg + " for the issuer", config, func(as *authtest.AS, e *transport.TokenEndpoint) {
				set(as, e)
				e.Audience, e.AuthMethod = as.URL, "private_key_jwt"
			}})
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.config.ClientID, test.config.ClientSecret = id, secret
			as := authtest.NewAS(test.config)
			defer as.Close()
			e := &transport.TokenEndpoint{URL: as.TokenURL(), RevocationURL: as.RevokeURL(), ClientID: id, Base: as.Transport()}
			test.set(as, e)
			next, err := e.Refresh(t.Context(), as.SignIn("ann"))
			if err != nil {
				t.Fatal(err)
			}
			if next, err = e.Refresh(t.Context(), next); err != nil { // an assertion serves one call
				t.Fatal(err)
			}
			if err := e.Revoke(t.Context(), next); err != nil {
				t.Error(err)
			}
			equal(t, "alive after it was revoked", as.Alive(next.Refresh()), false)
			equal(t, "presentations", as.Counts().Presentations, 2)
			equal(t, "bad clients", as.Counts().BadClients, 0)
		})
	}
}

// B32, B80, T-B13, T-B17: no second method is tried, and no session ends.
func TestAClientThatIsNotAcceptedIsMisconfigured(t *testing.T) {
	for name, e := range map[string]transport.TokenEndpoint{
		"a wrong secret":   {ClientSecret: "wrong"},
		"a wrong method":   {ClientSecret: "bff-secret", AuthMethod: "client_secret_post"},
		"no secret at all": {},
	} {
		t.Run(name, func(t *testing.T) {
			as := authtest.NewAS(authtest.ASConfig{ClientAuth: authtest.ClientSecretBasic})
			defer as.Close()
			token := as.SignIn("ann")
			e.URL, e.ClientID, e.Base = as.TokenURL(), "bff", as.Transport()
			_, err := e.Refresh(t.Context(), token)
			wantReason(t, err, reason.ClientRefused)
			equal(t, "presentations", as.Counts().Presentations, 1)
			equal(t, "the session is alive", as.Alive(token.Refresh()), true)
		})
	}
}

// B36: what is wrong with the configuration is no presentation.
func TestWhatCannotBeSentIsNotSent(t *testing.T) {
	token := tokencache.NewToken(tokencache.TokenFields{Access: "a", Refresh: "canary"})
	failing := func(context.Context, string) (string, error) { return "", errors.New("no key") }
	for name, test := range map[string]struct {
		endpoint tokencache.Refresher
		want     reason.Reason
	}{
		"plain http to another machine":        {&transport.TokenEndpoint{URL: "http://as.example/token"}, reason.Endpoint},
		"plain http to another cookie backend": {&transport.CookieEndpoint{URL: "http://as.example/restore"}, reason.Endpoint},
		"no URL":                               {&transport.TokenEndpoint{}, reason.Endpoint},
		"a relative URL":                       {&transport.TokenEndpoint{URL: "/token"}, reason.Endpoint},
		"userinfo in the URL":                  {&transport.TokenEndpoint{URL: "https://canary@as.example/token"}, reason.Endpoint},
		"a fragment in the URL":                {&transport.CookieEndpoint{URL: "https://as.example/#canary"}, reason.Endpoint},
		"a URL that is none":                   {&transport.TokenEndpoint{URL: "https://as.example:canary"}, reason.Endpoint},
		"another scheme":                       {&transport.TokenEndpoint{URL: "ftp://as.example/"}, reason.Endpoint},
		"an unknown method":                    {&transport.TokenEndpoint{URL: "https://as.example/", AuthMethod: "magic"}, reason.Configuration},
		"private_key_jwt without a key":        {&transport.TokenEndpoint{URL: "https://as.example/", AuthMethod: "private_key_jwt"}, reason.Configuration},
		"an assertion that fails":              {&transport.TokenEndpoint{URL: "https://as.example/", Assertion: failing}, reason.Configuration},
	} {
		t.Run(name, func(t *testing.T) {
			seen := &recorder{}
			switch e := test.endpoint.(type) {
			case *transport.TokenEndpoint:
				e.Base = seen
			case *transport.CookieEndpoint:
				e.Base = seen
			}
			_, err := test.endpoint.Refresh(t.Context(), token)
			if e := wantReason(t, err, test.want); !e.Unsent {
				t.Error("it is a presentation")
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("a secret is printed: %v", err)
			}
			equal(t, "requests", len(seen.seen), 0)
		})
	}
	t.Run("unless that is spelled out", func(t *testing.T) {
		seen := &recorder{}
		(&transport.TokenEndpoint{URL: "http://as.example/token", InsecureNoTLS: true, Base: seen}).Refresh(t.Context(), token)
		(&transport.CookieEndpoint{URL: "http://as.example/x", InsecureNoTLS: true, Base: seen}).Refresh(t.Context(), token)
		equal(t, "requests", len(seen.seen), 2)
	})
}

// counted is a server that keeps what it is sent.
type counted struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
	forms    []url.Values
}

func newCounted(t *testing.T, answer http.HandlerFunc) *counted {
	c := &counted{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		c.mu.Lock()
		c.requests, c.forms = append(c.requests, r), append(c.forms, r.Form)
		c.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *counted) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.requests)
}

// B80, T-A4: net/http and x/oauth2 would post the refresh token and the client
// secret to wherever a 307 leads.
func TestNoRedirectIsFollowed(t *testing.T) {
	bothStyles(t, func(t *testing.T, s style) {
		for _, status := range []int{301, 302, 303, 307, 308} {
			evil := newCounted(t, func(http.ResponseWriter, *http.Request) {})
			as := newCounted(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, evil.URL, status) })
			e := s.at(as.URL, as.Client().Transport)
			token := tokencache.NewToken(tokencache.TokenFields{Access: "a", Refresh: "r"})
			_, err := e.Refresh(t.Context(), token)
			wantReason(t, err, reason.Endpoint)
			equal(t, "requests", as.count(), 1)
			wantReason(t, e.Revoke(t.Context(), token), reason.Endpoint)
			equal(t, "requests elsewhere", evil.count(), 0)
		}
	})
}

// B80, T-B16: one POST is one POST, on a connection that was used before, too.
func TestNothingIsSentTwice(t *testing.T) {
	bothStyles(t, func(t *testing.T, s style) {
		for _, wire := range []authtest.Wire{authtest.Plain, authtest.TLS, authtest.HTTP2} {
			for name, fault := range map[string]authtest.Fault{
				"the connection is cut":          authtest.Cut,
				"the connection is cut, rotated": authtest.After(authtest.Cut),
				"half the answer is lost":        authtest.CutBody,
				"500":                            authtest.Answer(500, nil, ""),
				"401":                            authtest.Answer(401, nil, ""),
				"400 invalid_client":             authtest.Answer(400, nil, `{"error":"invalid_client"}`),
			} {
				as := authtest.NewAS(authtest.ASConfig{Wire: wire})
				e := s.new(as)
				token, err := e.Refresh(t.Context(), as.SignIn("ann")) // there is an idle connection now
				if err != nil {
					t.Fatal(err)
				}
				as.Fail(fault)
				if _, err := e.Refresh(t.Context(), token); err == nil {
					t.Errorf("%s: no error", name)
				}
				equal(t, name+": presentations", as.PresentationsOf(token.Refresh()), 1)
				as.Close()
			}
		}
	})
}

// B80: nor is anything lost when the server has closed the idle connection.
func TestAnIdleConnectionThatTheServerClosesCostsNothing(t *testing.T) {
	bothStyles(t, func(t *testing.T, s style) {
		as := newCounted(t, func(w http.ResponseWriter, r *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "refreshToken", Value: "r2"})
			w.Write([]byte(`{"access_token":"a","accessToken":"a","token_type":"Bearer"}`))
		})
		e := s.at(as.URL, as.Client().Transport)
		token := tokencache.NewToken(tokencache.TokenFields{Access: "a", Refresh: "r"})
		for n := range 30 {
			if _, err := e.Refresh(t.Context(), token); err != nil {
				wantReason(t, err, reason.Network) // it was closed in the middle: nothing is sent again
			}
			if got := as.count(); got > n+1 {
				t.Fatalf("%d requests of %d refreshes", got, n+1)
			}
			as.CloseClientConnections()
		}
		for _, r := range as.requests {
			for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
				equal(t, name, r.Header.Get(name), "")
			}
			equal(t, "Cache-Control", r.Header.Get("Cache-Control"), "no-store") // T-B20
		}
	})
}

// RFC 6749 section 6: what is sent, and that it is no more.
func TestTheFormOfTheGrant(t *testing.T) {
	as := newCounted(t, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"access_token":"a"}`)) })
	e := &transport.TokenEndpoint{URL: as.URL + "/token?tenant=x", ClientID: "bff", Scope: "a b", Base: as.Client().Transport}
	token := tokencache.NewToken(tokencache.TokenFields{Access: "access", Refresh: "r+/=& %"})
	if _, err := e.Refresh(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	r := as.requests[0]
	equal(t, "form", as.forms[0].Encode(), url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {"r+/=& %"}, "client_id": {"bff"}, "scope": {"a b"}, "tenant": {"x"},
	}.Encode())
	equal(t, "query", r.URL.RawQuery, "tenant=x") // T-A9: no token in it
	equal(t, "method", r.Method, "POST")
	equal(t, "Content-Type", r.Header.Get("Content-Type"), "application/x-www-form-urlencoded")
	equal(t, "Accept", r.Header.Get("Accept"), "application/json")
	equal(t, "Authorization", r.Header.Get("Authorization"), "")
	equal(t, "Cookie", r.Header.Get("Cookie"), "")
}

// RFC 7009, and the logout of the cookie style.
func TestLogoutRevokes(t *testing.T) {
	bothStyles(t, func(t *testing.T, s style) {
		w := newWorld(t, s, authtest.ASConfig{})
		ctx, cache := w.signIn("ann")
		w.as.RevokeAccess()
		wantStatus(t, w.get(t, ctx, "/users/me"), 200)
		if err := w.coordinator.Revoke(ctx, cache.Token()); err != nil {
			t.Fatal(err)
		}
		equal(t, "the session is alive", w.as.Alive(cache.Token().Refresh()), false)
		revocations := map[string]int{"grant": 2, "cookie": 1} // the access token, too
		equal(t, "revocations", w.as.Counts().Revocations, revocations[s.name])
		w.as.RevokeAccess()
		wantStatus(t, w.get(t, ctx, "/users/me"), 401)
		wantReason(t, cache.Err(), reason.LoggedOut)
		wantPresentations(t, w.as, 1)
	})
}

// T-K6
func TestARevocationThatFailsIsToldAndTheSessionIsOverHere(t *testing.T) {
	bothStyles(t, func(t *testing.T, s style) {
		for name, test := range map[string]struct {
			fault authtest.Fault
			want  reason.Reason
		}{
			"503":         {authtest.Answer(503, nil, ""), reason.Unavailable},
			"404":         {authtest.Answer(404, nil, ""), reason.Endpoint},
			"400":         {authtest.Answer(400, nil, `{"error":"invalid_client"}`), map[string]reason.Reason{"grant": reason.ClientRefused, "cookie": reason.Unrecognised}[s.name]},
			"reset":       {authtest.Cut, reason.Network},
			"no answer":   {authtest.Hang, reason.Timeout},
			"redirection": {authtest.Redirect("http://127.0.0.1:1/"), reason.Endpoint},
		} {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, s, authtest.ASConfig{})
				if w.coordinator.Timeout = 5 * time.Second; test.want == reason.Timeout {
					w.coordinator.Timeout = 50 * time.Millisecond
				}
				w.as.FailRevoke(test.fault)
				ctx, cache := w.signIn("ann")
				wantReason(t, w.coordinator.Revoke(ctx, cache.Token()), test.want)
				w.as.RevokeAccess()
				wantStatus(t, w.get(t, ctx, "/users/me"), 401)
				wantReason(t, cache.Err(), reason.LoggedOut)
				wantPresentations(t, w.as, 0)
			})
		}
	})
}

// Without a place to revoke at nothing was confirmed, and that is said.
func TestWithoutAURLNothingIsConfirmed(t *testing.T) {
	token := tokencache.NewToken(tokencache.TokenFields{Access: "a", Refresh: "r"})
	for _, e := range []tokencache.Revoker{&transport.TokenEndpoint{}, &transport.CookieEndpoint{}} {
		wantReason(t, e.Revoke(t.Context(), token), reason.Endpoint) // nil would confirm the end
	}
}

// RFC 7009 section 2.2: not every server knows how to revoke access tokens.
func TestOnlyTheRefreshTokenHasToBeRevoked(t *testing.T) {
	as := newCounted(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Form.Get("token_type_hint") == "access_token" {
			w.WriteHeader(400)
			w.Write([]byte(`{"error":"unsupported_token_type"}`))
		}
	})
	e := &transport.TokenEndpoint{RevocationURL: as.URL, Base: as.Client().Transport}
	both := tokencache.NewToken(tokencache.TokenFields{Access: "a", Refresh: "r"})
	if err := e.Revoke(t.Context(), both); err != nil {
		t.Error(err)
	}
	equal(t, "requests", as.count(), 2)
	equal(t, "the first token", as.forms[0].Get("token")+" "+as.forms[0].Get("token_type_hint"), "r refresh_token")
	access := tokencache.NewToken(tokencache.TokenFields{Access: "a"})
	wantReason(t, e.Revoke(t.Context(), access), reason.Unrecognised)
}

func wantReason(t *testing.T, err error, want reason.Reason) *tokencache.Error {
	t.Helper()
	var e *tokencache.Error
	if !errors.As(err, &e) {
		t.Errorf("%v, want %s", err, want)
		return &tokencache.Error{}
	}
	equal(t, "reason", e.Reason, want)
	return e
}

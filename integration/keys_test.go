package integration

import (
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
)

// A server signs with a new key. The middleware knows its keys by their URL: a
// token that came before the key is as good as one that came after it, and
// neither is refreshed for that.
func TestNewKey(t *testing.T) {
	t.Parallel()
	signed := func(s server) bool { return s.alg != "" }
	each(t, signed, time.Minute, func(t *testing.T, s server, run running) {
		as := run.(*authServer)
		client := s.clients[0]
		if s.sticks {
			as.isStuck(t, client)
			return
		}
		old, renewed := as.session(t, client), as.session(t, client)
		site := as.site(t, old)
		browser, other := newBrowser(t), newBrowser(t)
		signIn(t, browser, site, old.browser)
		if key := me(t, browser, site); key != keyOf(old.browser) {
			t.Fatalf("signed in with a token of key %q, served with %q", keyOf(old.browser), key)
		}
		fetched := time.Now()
		run.tell(t, "rotate")
		if key := me(t, browser, site); key != keyOf(old.browser) {
			t.Errorf("after the rotation served with key %q", key)
		}

		next, err := renewed.coordinator.Refresh(t.Context(), renewed.browser)
		must(t, err)
		if keyOf(next) == keyOf(old.browser) {
			t.Fatal("the new key signs nothing")
		}
		time.Sleep(time.Until(fetched.Add(10 * time.Second))) // the key set is fetched no more often
		signIn(t, other, site, next)
		if key := me(t, other, site); key != keyOf(next) {
			t.Errorf("with a token of the new key served with %q", key)
		}
		if key := me(t, browser, site); key != keyOf(old.browser) {
			t.Errorf("with a token of the old key, when the new one is known, served with %q", key)
		}
		if n, needless := renewed.proxy.total(), old.proxy.total(); n != 1 || needless != 0 {
			t.Errorf("%d presentations by who asked for one, %d by the other", n, needless)
		}
		if n := old.api.unauthorized.Load(); n != 0 {
			t.Errorf("the API answered 401 to %d", n)
		}
		measured.note(s, client, "presentations for a new key", old.proxy.total())
	})
}

// isStuck: a session that is older than the key gets tokens that verify with none.
func (as *authServer) isStuck(t *testing.T, client string) {
	t.Helper()
	s := as.session(t, client)
	as.tell(t, "rotate")
	next, err := s.coordinator.Refresh(t.Context(), s.browser)
	must(t, err)
	if _, err := as.verifier().subject(t.Context(), next.Access()); err == nil || keyOf(next) != keyOf(s.browser) {
		t.Errorf("the old session's new token names the old key: %t, and verifies: %t", keyOf(next) == keyOf(s.browser), err == nil)
	}
	if _, err := as.verifier().subject(t.Context(), as.signIn(t, client).Access); err != nil {
		t.Errorf("the token of a new session: %v", err)
	}
}

// site is a program behind our middleware: /login signs in with the token that is
// sent, and /me calls the API and says in the header Key what signed the token
// that it did so with.
func (as *authServer) site(t *testing.T, s *session) *httptest.Server {
	t.Helper()
	auth := &middleware.Authenticator{
		Coordinator: s.coordinator,
		Verifier: &middleware.Verifier{
			Algorithms: []string{as.alg}, JWKSURL: as.JWKSURL, Issuer: as.Issuer, Audience: audience,
			Base: direct.Transport, Leeway: time.Millisecond,
		},
		Cookies: middleware.Cookies{InsecureNoTLS: true},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		tok := tokencache.NewToken(tokencache.TokenFields{Access: r.FormValue("access"), Refresh: r.FormValue("refresh")})
		if err := auth.SignIn(w, r, tok); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.Handle("GET /me", auth.Boundary(func(w http.ResponseWriter, r *http.Request) error {
		if err := s.call(r.Context(), ""); err != nil {
			return err
		}
		w.Header().Set("Key", keyOf(tokencache.FromContext(r.Context()).Token()))
		return nil
	}))
	site := httptest.NewServer(auth.Handler(mux))
	t.Cleanup(site.Close)
	return site
}

func newBrowser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	must(t, err)
	return &http.Client{Jar: jar, Transport: direct.Transport, Timeout: direct.Timeout}
}

func signIn(t *testing.T, browser *http.Client, site *httptest.Server, tok tokencache.Token) {
	t.Helper()
	resp, err := browser.PostForm(site.URL+"/login", map[string][]string{"access": {tok.Access()}, "refresh": {tok.Refresh()}})
	must(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatal("signing in: ", resp.Status)
	}
}

// me returns the key of the token that the browser's request was served with.
func me(t *testing.T, browser *http.Client, site *httptest.Server) string {
	t.Helper()
	resp, err := browser.Get(site.URL + "/me")
	must(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("/me: %s", resp.Status)
	}
	return resp.Header.Get("Key")
}

// keyOf is the kid of an access token.
func keyOf(tok tokencache.Token) string {
	parsed, err := jwt.ParseSigned(tok.Access(), []jose.SignatureAlgorithm{jose.ES256, jose.RS256, jose.EdDSA})
	if err != nil {
		return ""
	}
	return parsed.Headers[0].KeyID
}

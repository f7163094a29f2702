package recipes_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport/dpop"
	"golang.org/x/oauth2"
)

func TestSignIn(t *testing.T) {
	t.Run("a session begins with a code, lives on through one refresh, and ends at the provider", func(t *testing.T) {
		startSignIns(t).lives(t, 2)
	})

	t.Run("so does one whose tokens are bound to a key", func(t *testing.T) {
		startSignInsWith(t, &dpop.Prover{}).lives(t, 3)
	})

	t.Run("two tabs sign in at once, and each comes back to its own page", func(t *testing.T) {
		s := startSignIns(t)
		v := s.visitor("ada")
		first, second := v.back("/me?tab=1"), v.back("/me?tab=2")
		for _, tab := range []struct {
			back *url.URL
			next string
		}{{second, "/me?tab=2"}, {first, "/me?tab=1"}} {
			a := v.ends(v.load("GET", tab.back.String(), nil), http.StatusSeeOther, "")
			if to := a.Header.Get("Location"); to != tab.next || a.Header.Get("Cache-Control") != "private, no-store" {
				t.Errorf("to %q, Cache-Control %q", to, a.Header.Get("Cache-Control"))
			}
			v.ends(v.get("/me"), http.StatusOK, "page of ada")
		}
		if n := len(v.cookies("__Host-login-")); n != 0 {
			t.Errorf("%d cookies of the sign-ins are left", n)
		}
	})

	t.Run("many tabs do not make a header without end, and the last of them signs in", func(t *testing.T) {
		s := startSignIns(t)
		v := s.visitor("ada")
		for range 20 {
			v.get("/login?next=/me")
		}
		back := v.back("/me")
		if n := len(v.cookies("__Host-login-")); n != 5 {
			t.Errorf("%d cookies, want 5", n)
		}
		v.ends(v.load("GET", back.String(), nil), http.StatusSeeOther, "")
	})
}

// lives signs somebody in, waits for the end of the access token, and signs out.
// The browser has as many cookies meanwhile.
func (s *signIns) lives(t *testing.T, cookies int) {
	s.ttl = 1
	v := s.visitor("ada")
	// Nothing is called before the end: it could have the token renewed already.
	v.ends(v.load("GET", v.back("/me").String(), nil), http.StatusSeeOther, "")
	if n := len(v.cookies("__Host-login-")); n != 0 || len(v.cookies("")) != cookies {
		t.Errorf("%d cookies of the sign-in are left, %d cookies in all", n, len(v.cookies("")))
	}
	end := tokencache.NewToken(tokencache.TokenFields{Access: v.cookies("__Host-access")[0].Value}).Expiry()
	time.Sleep(time.Until(end.Add(10 * time.Millisecond)))

	var all sync.WaitGroup
	answers := make([]answer, 10)
	for i := range answers {
		all.Go(func() { answers[i] = v.get("/me") })
	}
	all.Wait()
	for _, a := range append(answers, v.get("/me")) {
		v.ends(a, http.StatusOK, "page of ada")
	}
	if codes, refreshes := s.presented("authorization_code"), s.presented("refresh_token"); codes != 1 || refreshes != 1 {
		t.Errorf("%d codes and %d refresh tokens were presented, want one each", codes, refreshes)
	}

	last := v.cookies("__Host-refresh")[0].Value
	a, at := v.walk(v.load("POST", s.bff.URL+"/logout", url.Values{}), "")
	v.ends(a, http.StatusOK, `href="/login?next=%2F"`)
	if at.Path != "/login" || len(v.cookies("")) != 0 || s.revoked != 2 { // the refresh token and the access token
		t.Errorf("at %s, with cookies %v, and %d revocations", at, v.cookies(""), s.revoked)
	}
	ctx := oidc.ClientContext(t.Context(), &http.Client{Transport: s.base})
	if _, err := s.oauth.TokenSource(ctx, &oauth2.Token{RefreshToken: last}).Token(); err == nil {
		t.Error("the provider takes the refresh token of a session that was logged out")
	}
}

func TestAuthorizationRequest(t *testing.T) {
	s := startSignIns(t)
	v := s.visitor("ada")
	asks := func(path string) (url.Values, answer) {
		a := v.ends(v.get(path), http.StatusSeeOther, "")
		to, err := a.Location()
		if err != nil {
			t.Fatal(err)
		}
		return to.Query(), a
	}
	usual, a := asks("/login?next=/me")
	again, _ := asks("/login?next=/me")
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		if len(usual.Get(name)) < 26 || usual.Get(name) == again.Get(name) {
			t.Errorf("%s is %q, and then %q", name, usual.Get(name), again.Get(name))
		}
	}
	if usual.Get("code_challenge_method") != "S256" || usual.Get("resource") != aud || usual.Has("max_age") || usual.Get("scope") != "openid offline_access api" {
		t.Errorf("it asks for %v", usual)
	}
	set := a.Header["Set-Cookie"]
	want := regexp.MustCompile(`^__Host-login-[0-9a-f]{32}=[^;]+; Path=/; Max-Age=600; HttpOnly; Secure; SameSite=Lax$`)
	if len(set) != 1 || !want.MatchString(set[0]) || a.Header.Get("Cache-Control") != "no-store" || strings.Contains(set[0], usual.Get("state")) {
		t.Errorf("Set-Cookie %q, Cache-Control %q", set, a.Header.Get("Cache-Control"))
	}

	up, _ := asks("/login?next=/me&acr_values=silver+gold&max_age=60&scope=pay+admin&prompt=none&redirect_uri=https://evil.example")
	if up.Get("acr_values") != "silver gold" || up.Get("max_age") != "60" || up.Get("scope") != "openid offline_access api pay" {
		t.Errorf("for a step-up it asks for %v", up)
	}
	for name, values := range up {
		if len(values) != 1 { // RFC 6749 section 3.1
			t.Errorf("%s is there %d times", name, len(values))
		}
	}
	if up.Get("prompt") != "consent" || up.Get("redirect_uri") != s.oauth.RedirectURL {
		t.Errorf("a link has changed the request to %v", up)
	}
}

func TestLoginWithoutAuthStyle(t *testing.T) {
	s := startSignIns(t)
	l := *s.login
	l.Client.Endpoint.AuthStyle = oauth2.AuthStyleAutoDetect
	defer func() {
		if recover() == nil {
			t.Error("a Login that would present codes twice is taken")
		}
	}()
	l.Routes(http.NewServeMux())
}

// T-F3: an attack is on somebody who is signed in. It ends with an answer of the
// callback, and must leave the session as it was.
func TestSignInUnderAttack(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the code went along a redirect") }))
	t.Cleanup(elsewhere.Close)

	for _, attack := range []struct {
		name    string
		run     func(s *signIns, ada *visitor) answer
		status  int
		codes   int  // are presented by the attack
		invites bool // to try again, with what was next
	}{
		{"the answer to a sign-in of another browser is refused, and no code presented", func(s *signIns, ada *visitor) answer {
			return ada.load("GET", s.visitor("mallory").back("/me").String(), nil)
		}, 400, 0, false},
		{"an answer counts once", func(s *signIns, ada *visitor) answer {
			back := ada.back("/me").String()
			ada.ends(ada.load("GET", back, nil), http.StatusSeeOther, "")
			return ada.load("GET", back, nil) // go-oidc would take the code's second use for theft
		}, 400, 1, false},
		{"an answer without a state is refused", func(s *signIns, ada *visitor) answer {
			return ada.get("/callback?code=x")
		}, 400, 0, false},
		{"a code of another sign-in is refused by PKCE, whatever the state", func(s *signIns, ada *visitor) answer {
			back, mallory := ada.back("/me?a=1"), s.visitor("mallory").back("/me")
			return ada.load("GET", with(back, "code", mallory.Query().Get("code")), nil)
		}, 403, 1, true},
		{"a code that was redeemed is refused", func(s *signIns, ada *visitor) answer {
			mallory := s.visitor("mallory")
			old := mallory.back("/me")
			mallory.ends(mallory.load("GET", old.String(), nil), http.StatusSeeOther, "")
			return ada.load("GET", with(ada.back("/me?a=1"), "code", old.Query().Get("code")), nil)
		}, 403, 2, true},
		{"an ID token with another nonce is refused", func(s *signIns, ada *visitor) answer {
			ada.turn = func(to *url.URL) {
				if q := to.Query(); q.Has("nonce") {
					q.Set("nonce", "another")
					to.RawQuery = q.Encode()
				}
			}
			back := ada.back("/me?a=1")
			ada.turn = nil
			return ada.load("GET", back.String(), nil)
		}, 403, 1, true},
		{"an answer that names another issuer is refused, and no code presented", func(s *signIns, ada *visitor) answer {
			return ada.load("GET", with(ada.back("/me?a=1"), "iss", "https://evil.example"), nil)
		}, 403, 0, true},
		{"an answer that names no issuer is refused, since the provider says that it does", func(s *signIns, ada *visitor) answer {
			return ada.load("GET", with(ada.back("/me?a=1"), "iss", ""), nil)
		}, 403, 0, true},
		{"whom the provider turns away may try again", func(s *signIns, ada *visitor) answer {
			ada.user = "nobody"
			return ada.load("GET", ada.back("/me?a=1").String(), nil)
		}, 403, 0, true},
		{"a token endpoint that fails is asked once", func(s *signIns, ada *visitor) answer {
			s.fault = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(500); return true }
			return ada.load("GET", ada.back("/me?a=1").String(), nil)
		}, 502, 1, true},
		{"a token endpoint that redirects is not followed", func(s *signIns, ada *visitor) answer {
			s.fault = func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Location", elsewhere.URL)
				w.WriteHeader(http.StatusTemporaryRedirect)
				return true
			}
			return ada.load("GET", ada.back("/me?a=1").String(), nil)
		}, 502, 1, true},
	} {
		t.Run(attack.name, func(t *testing.T) {
			s := startSignIns(t)
			ada := s.signedIn("ada")
			before := s.presented("authorization_code")
			a := ada.ends(attack.run(s, ada), attack.status, "Sign in")
			if n := s.presented("authorization_code") - before; n != attack.codes {
				t.Errorf("%d codes were presented, want %d", n, attack.codes)
			}
			next := `href="/login?next=%2F"`
			if attack.invites {
				next = `href="/login?next=%2Fme%3Fa%3D1"`
			}
			if !strings.Contains(a.body, next) || strings.Contains(a.body, "alert") {
				t.Errorf("the page is %s", a.body)
			}
			if a.Header.Get("Referrer-Policy") != "no-referrer" || a.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("the header is %v", a.Header)
			}
			for _, c := range a.Cookies() {
				if !strings.HasPrefix(c.Name, "__Host-login-") || c.MaxAge >= 0 {
					t.Errorf("it sets %s", c)
				}
			}
			if n := len(ada.cookies("__Host-login-")); n != 0 {
				t.Errorf("%d cookies of the sign-in are left", n)
			}
			s.fault = nil
			ada.ends(ada.get("/me"), http.StatusOK, "page of ada")
			if n := s.presented("refresh_token"); n != 0 {
				t.Errorf("the session went on with %d refreshes", n)
			}
		})
	}

	t.Run("a sign-in that has begun survives the answer to another one", func(t *testing.T) {
		s := startSignIns(t)
		ada := s.visitor("ada")
		back := ada.back("/me")
		ada.ends(ada.load("GET", s.visitor("mallory").back("/me").String(), nil), 400, "")
		ada.ends(ada.load("GET", back.String(), nil), http.StatusSeeOther, "")
		ada.ends(ada.get("/me"), http.StatusOK, "page of ada")
	})

	t.Run("where answers do not have to name their issuer, they may not name another", func(t *testing.T) {
		s := startSignInsWith(t, nil)
		ada := s.visitor("ada")
		ada.ends(ada.load("GET", with(ada.back("/me"), "iss", "https://evil.example"), nil), http.StatusForbidden, "Sign in")
		ada.ends(ada.load("GET", ada.back("/me").String(), nil), http.StatusSeeOther, "")
		if n := s.presented("authorization_code"); n != 1 {
			t.Errorf("%d codes were presented, want 1", n)
		}
	})

	t.Run("a token that is bound to nothing is refused where one bound to a key was asked for", func(t *testing.T) {
		s := startSignInsWith(t, &dpop.Prover{})
		s.fault = func(_ http.ResponseWriter, r *http.Request) bool { r.Header.Del("DPoP"); return false }
		ada := s.visitor("ada")
		ada.ends(ada.load("GET", ada.back("/me").String(), nil), http.StatusBadGateway, "Sign in")
		if n := len(ada.cookies("")); n != 0 {
			t.Errorf("%d cookies are set", n)
		}
	})

	for _, next := range []string{"//evil.example", `/\evil.example`, "https://evil.example/me", "javascript:alert(1)", "/" + strings.Repeat("x", 1000)} {
		t.Run("next does not lead to "+next[:min(30, len(next))], func(t *testing.T) {
			s := startSignIns(t)
			ada := s.visitor("ada")
			a := ada.get("/login?next=" + url.QueryEscape(next))
			if a.StatusCode == http.StatusOK { // then the page asks, and its link is of another next
				ada.ends(a, http.StatusOK, `href="/login?next=%2F"`)
				return
			}
			if kept := a.Header.Get("Set-Cookie"); !strings.Contains(kept, "=next=%2F&") {
				t.Errorf("it is kept in %q", kept)
			}
			_, back := ada.walk(a, "/callback")
			a = ada.ends(ada.load("GET", back.String(), nil), http.StatusSeeOther, "")
			if to := a.Header.Get("Location"); to != "/" {
				t.Errorf("it leads to %q", to)
			}
		})
	}
}

// with returns the URL with another value of a parameter, or without it.
func with(u *url.URL, name, value string) string {
	q, changed := u.Query(), *u
	q.Set(name, value)
	if value == "" {
		q.Del(name)
	}
	changed.RawQuery = q.Encode()
	return changed.String()
}

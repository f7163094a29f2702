package middleware_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport/dpop"
)

// binding is an authorization server that binds what it issues to the key of the
// session, or to a new one if that is lost.
type binding struct{ refreshed, rekeyed int }

func (b *binding) Refresh(_ context.Context, spent tokencache.Token) (tokencache.Token, error) {
	key := spent.Key()
	if key == nil {
		b.rekeyed++
		key, _ = new(dpop.Prover).NewKey()
	}
	b.refreshed++
	return tokencache.NewToken(tokencache.TokenFields{
		Access: fmt.Sprint("A", b.refreshed), Refresh: fmt.Sprint("R", b.refreshed), Expiry: time.Now().Add(time.Hour), Key: key,
	}), nil
}

func sealer(i byte) []byte { return bytes.Repeat([]byte{i}, 32) }

func boundAuth(as *binding, secrets ...[]byte) *middleware.Authenticator {
	return &middleware.Authenticator{
		Coordinator: &tokencache.Coordinator{Refresher: as},
		Cookies:     middleware.Cookies{InsecureNoTLS: true, Secrets: secrets},
	}
}

// shows serves one request with the cookies, and returns the Token that a call
// to an API would be made with, and what the response sets.
func shows(t *testing.T, a *middleware.Authenticator, jar map[string]string, refresh bool) (tokencache.Token, []*http.Cookie) {
	t.Helper()
	in := httptest.NewRequest("GET", "/", nil)
	for name, value := range jar {
		in.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	rec := httptest.NewRecorder()
	var got tokencache.Token
	a.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if strings.Contains(strings.Join(r.Header["Cookie"], ";"), "key") {
			t.Error("the handler, and what it passes on to, sees the key's cookie")
		}
		cache := tokencache.FromContext(r.Context())
		var err error
		if got, err = cache.Fresh(r.Context()); err == nil && refresh {
			got, err = cache.Refresh(r.Context(), got)
		}
		if err != nil {
			t.Error(err)
		}
	})).ServeHTTP(rec, in)
	return got, rec.Result().Cookies()
}

func jarOf(cookies []*http.Cookie) map[string]string {
	jar := map[string]string{}
	for _, c := range cookies {
		jar[c.Name] = c.Value
	}
	return jar
}

func signInWith(t *testing.T, a *middleware.Authenticator, key crypto.Signer) map[string]string {
	t.Helper()
	rec := httptest.NewRecorder()
	token := tokencache.NewToken(tokencache.TokenFields{Access: "A", Refresh: "R", Key: key})
	if err := a.SignIn(rec, httptest.NewRequest("POST", "/login", nil), token); err != nil {
		t.Fatal(err)
	}
	return jarOf(rec.Result().Cookies())
}

func newKey(t *testing.T, alg string) crypto.Signer {
	t.Helper()
	key, err := (&dpop.Prover{Alg: alg}).NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func isKey(t *testing.T, got tokencache.Token, want crypto.Signer) {
	t.Helper()
	if got.Type() != "DPoP" || got.Key() == nil || !want.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(got.Key().Public()) {
		t.Errorf("%s, a key: %t: not the key of the session", got.Type(), got.Key() != nil)
	}
}

// RFC 9449: the key of a session comes back with each request, at every replica,
// and stays through refreshes.
func TestAKeyStaysWithItsSession(t *testing.T) {
	for _, alg := range []string{"ES256", "EdDSA"} {
		t.Run(alg, func(t *testing.T) {
			key, as := newKey(t, alg), &binding{}
			a, b := boundAuth(as, sealer(1)), boundAuth(as, sealer(1))
			jar := signInWith(t, a, key)
			if len(jar) != 3 || strings.Contains(jar["key"], "A") && len(jar["key"]) < 80 {
				t.Errorf("cookies %v", jar)
			}
			for _, auth := range []*middleware.Authenticator{a, b, a} {
				got, set := shows(t, auth, jar, false)
				isKey(t, got, key)
				if len(set) != 0 {
					t.Errorf("nothing has changed, and %v is set", set)
				}
			}
			got, set := shows(t, b, jar, true)
			isKey(t, got, key)
			got, _ = shows(t, a, jarOf(set), false)
			isKey(t, got, key)
			if got.Access() != "A1" || as.rekeyed != 0 {
				t.Errorf("%s, %d new keys", got.Access(), as.rekeyed)
			}
		})
	}
}

// T-K3: a session whose key is lost gets a new one with one refresh, before a
// call is made in vain.
func TestALostKeyIsReplacedOnce(t *testing.T) {
	for name, spoil := range map[string]func(jar map[string]string){
		"no cookie": func(jar map[string]string) { delete(jar, "key") },
		"another one's secret": func(jar map[string]string) {
			jar["key"] = signInWith(t, boundAuth(&binding{}, sealer(9)), newKey(t, ""))["key"]
		},
		"a changed one":           func(jar map[string]string) { jar["key"] = "A" + jar["key"][1:] + "A" },
		"nonsense":                func(jar map[string]string) { jar["key"] = "nonsense" },
		"what could be a session": func(jar map[string]string) { jar["key"] = jar["access"] },
	} {
		t.Run(name, func(t *testing.T) {
			as := &binding{}
			a := boundAuth(as, sealer(1))
			jar := signInWith(t, a, newKey(t, ""))
			spoil(jar)
			got, set := shows(t, a, jar, false)
			if got.Access() != "A1" || got.Key() == nil || as.rekeyed != 1 {
				t.Errorf("%s, a key: %t, %d new keys", got.Access(), got.Key() != nil, as.rekeyed)
			}
			again, _ := shows(t, a, jarOf(set), false)
			isKey(t, again, got.Key())
			if as.refreshed != 1 {
				t.Errorf("%d refreshes", as.refreshed)
			}
		})
	}
}

// T-F14
func TestASecretIsReplacedWithoutAnybodyNoticing(t *testing.T) {
	key, as := newKey(t, ""), &binding{}
	jar := signInWith(t, boundAuth(as, sealer(1)), key)
	got, set := shows(t, boundAuth(as, sealer(2), sealer(1)), jar, true)
	isKey(t, got, key)
	got, _ = shows(t, boundAuth(as, sealer(2)), jarOf(set), false)
	isKey(t, got, key)
	if as.rekeyed != 0 {
		t.Errorf("%d new keys", as.rekeyed)
	}
}

// Bad input gets a clear error and loses nothing.
func TestWhatCannotBeBoundIsRefusedAtSignIn(t *testing.T) {
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	other, _ := rsa.GenerateKey(rand.Reader, 2048)
	for name, row := range map[string]struct {
		secrets [][]byte
		key     crypto.Signer
		typ     string
	}{
		"a key, and nothing to seal it with":  {nil, newKey(t, ""), ""},
		"a bound token that lacks its key":    {[][]byte{sealer(1)}, nil, "DPoP"},
		"a bearer token where there are keys": {[][]byte{sealer(1)}, nil, ""},
		"a key of another curve":              {[][]byte{sealer(1)}, p384, ""},
		"a key of another kind":               {[][]byte{sealer(1)}, other, ""},
	} {
		t.Run(name, func(t *testing.T) {
			rec := httptest.NewRecorder()
			token := tokencache.NewToken(tokencache.TokenFields{Access: "A", Refresh: "R", Key: row.key, Type: row.typ})
			err := boundAuth(&binding{}, row.secrets...).SignIn(rec, httptest.NewRequest("POST", "/login", nil), token)
			if err == nil || !strings.Contains(err.Error(), "Cookies.Secrets") || len(rec.Result().Cookies()) != 0 {
				t.Errorf("%v, %v", err, rec.Result().Cookies())
			}
		})
	}
	if err := boundAuth(&binding{}, make([]byte, 31)).Validate(); err == nil {
		t.Error("a short secret was taken")
	}
}

func TestASignOutDeletesTheKey(t *testing.T) {
	a := boundAuth(&binding{}, sealer(1))
	rec := httptest.NewRecorder()
	a.SignOut(rec, httptest.NewRequest("POST", "/logout", nil))
	for _, c := range rec.Result().Cookies() {
		if c.Name == "key" && c.MaxAge < 0 && c.HttpOnly {
			return
		}
	}
	t.Errorf("%v", rec.Result().Cookies())
}

package middleware_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/internal/jws"
	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
)

var secret = []byte(strings.Repeat("k", 32))

// raw signs a header and a payload as they are written.
func raw(t testing.TB, header, payload string) string {
	t.Helper()
	b64 := base64.RawURLEncoding.EncodeToString
	text := b64([]byte(header)) + "." + b64([]byte(payload))
	sig, err := jwt.SigningMethodHS256.Sign(text, secret)
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + b64(sig)
}

// accepts reports whether a Handler takes the access token for good. There is no
// refresh token, so that nothing else can happen.
func accepts(v *middleware.Verifier, token string) bool {
	a := &middleware.Authenticator{Coordinator: &tokencache.Coordinator{}, Verifier: v, Cookies: middleware.Cookies{InsecureNoTLS: true}}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header["Cookie"] = []string{"access=" + token}
	ran := false
	a.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran = true })).ServeHTTP(httptest.NewRecorder(), r)
	return ran
}

// B61, T-E1, T-E3 to T-E11: what is never accepted, and never a panic.
func TestTokensThatAreNeverAccepted(t *testing.T) {
	const hs = `{"alg":"HS256","typ":"JWT"}`
	now := time.Now().Unix()
	good := fmt.Sprintf(`{"sub":"ada","iss":"i","aud":"api","exp":%d}`, now+600)
	at := func(claims string) string { return strings.Replace(good, "}", ","+claims+"}", 1) }
	exp := func(v string) string { return `{"sub":"ada","iss":"i","aud":"api","exp":` + v + `}` }
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pem, _ := x509.MarshalPKIXPublicKey(&key.PublicKey)
	confused, _ := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"exp": now + 600, "iss": "i", "aud": "api"}).SignedString(pem)
	none, _ := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"exp": now + 600, "iss": "i", "aud": "api"}).SignedString(jwt.UnsafeAllowNoneSignatureType)
	v := &middleware.Verifier{Algorithms: []string{"HS256"}, Key: secret, Issuer: "i", Audience: "api"}
	other := &middleware.Verifier{Algorithms: []string{"RS256", "HS256"}, Key: &key.PublicKey, Issuer: "i", Audience: "api"}

	for _, payload := range []string{good, at(`"nbf":` + fmt.Sprint(now+20)), at(`"iat":` + fmt.Sprint(now+20)),
		strings.Replace(good, `"api"`, `["other","api"]`, 1), at(`"typ":"Bearer"`), at(`"token_use":"access"`), exp(fmt.Sprint(now - 20))} {
		if raw := raw(t, hs, payload); !accepts(v, raw) && !strings.HasSuffix(payload, fmt.Sprint(now-20)+"}") {
			t.Errorf("%s is a good one", payload)
		}
	}
	for name, token := range map[string]string{
		"alg none":                      none,
		"alg none, written otherwise":   raw(t, `{"alg":"nOnE"}`, good),
		"an algorithm that is unknown":  raw(t, `{"alg":"XX256"}`, good),
		"an algorithm that is no text":  raw(t, `{"alg":256}`, good),
		"no algorithm":                  raw(t, `{}`, good),
		"an algorithm named twice":      raw(t, `{"alg":"HS256","alg":"HS256"}`, good),
		"a critical header":             raw(t, `{"alg":"HS256","crit":["x"],"x":1}`, good),
		"an unencoded payload":          raw(t, `{"alg":"HS256","b64":false,"crit":["b64"]}`, good),
		"an ID token by its type":       raw(t, `{"alg":"HS256","typ":"secevent+jwt"}`, good),
		"a logout token":                raw(t, `{"alg":"HS256","typ":"logout+jwt"}`, good),
		"a refresh token by its claims": raw(t, hs, at(`"typ":"refresh"`)),
		"an ID token by its claims":     raw(t, hs, at(`"token_use":"id"`)),
		"no exp":                        raw(t, hs, `{"sub":"ada","iss":"i","aud":"api"}`),
		"exp null":                      raw(t, hs, exp("null")),
		"exp 0":                         raw(t, hs, exp("0")),
		"exp as text":                   raw(t, hs, exp(`"9999999999"`)),
		"exp in a list":                 raw(t, hs, exp(fmt.Sprintf("[%d]", now+600))),
		"exp true":                      raw(t, hs, exp("true")),
		"exp NaN":                       raw(t, hs, exp("NaN")),
		"exp -1":                        raw(t, hs, exp("-1")),
		"exp 1e300":                     raw(t, hs, exp("1e300")),
		"exp 1e400":                     raw(t, hs, exp("1e400")),
		"exp 1e19":                      raw(t, hs, exp("1e19")),
		"exp 1e18":                      raw(t, hs, exp("1e18")),
		"exp at the end of int64":       raw(t, hs, exp("9223372036854775807")),
		"exp twice":                     raw(t, hs, fmt.Sprintf(`{"sub":"ada","iss":"i","aud":"api","exp":1,"exp":%d}`, now+600)),
		"exp and EXP":                   raw(t, hs, fmt.Sprintf(`{"sub":"ada","iss":"i","aud":"api","exp":1,"EXP":%d}`, now+600)),
		"exp a minute ago":              raw(t, hs, exp(fmt.Sprint(now-60))),
		"nbf in a minute":               raw(t, hs, at(`"nbf":`+fmt.Sprint(now+60))),
		"iat in a minute":               raw(t, hs, at(`"iat":`+fmt.Sprint(now+60))),
		"another issuer":                raw(t, hs, strings.Replace(good, `"i"`, `"j"`, 1)),
		"an issuer that begins so":      raw(t, hs, strings.Replace(good, `"i"`, `"ii"`, 1)),
		"no issuer":                     raw(t, hs, strings.Replace(good, `"iss":"i",`, ``, 1)),
		"another audience":              raw(t, hs, strings.Replace(good, `"api"`, `"apis"`, 1)),
		"an audience among words":       raw(t, hs, strings.Replace(good, `"api"`, `"openid api"`, 1)),
		"no audience":                   raw(t, hs, strings.Replace(good, `"aud":"api",`, ``, 1)),
		"a payload that is a list":      raw(t, hs, `[1]`),
		"a payload with a tail":         raw(t, hs, good+"{}"),
		"a signature that is cut":       strings.TrimRight(raw(t, hs, good), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"),
		"a bit that is flipped":         raw(t, hs, good) + "A",
		"two dots too many":             raw(t, hs, good) + "..",
		"nothing but dots":              strings.Repeat(".", 3000),
		"a JWE":                         "e30.a.b.c.d",
		"an opaque token":               "mF_9.B5f-4.1JqM",
		"not even that":                 "x",
		"a public key as a secret":      confused,
	} {
		t.Run(name, func(t *testing.T) {
			if accepts(v, token) {
				t.Error("it is accepted")
			}
			if accepts(other, token) {
				t.Error("it is accepted where RS256 and HS256 are allowed")
			}
		})
	}
	if accepts(v, strings.Repeat("a.", 1<<19)) {
		t.Error("1 MB is accepted")
	}
}

// T-E9: what the header says of keys is not looked at, and a kid is nothing but
// a name.
func TestTheHeaderBringsNoKeys(t *testing.T) {
	good := fmt.Sprintf(`{"exp":%d}`, time.Now().Unix()+600)
	for _, header := range []string{
		`{"alg":"HS256","kid":"../../../etc/passwd"}`, `{"alg":"HS256","kid":"x' OR 1=1 --"}`, `{"alg":"HS256","kid":7}`,
		`{"alg":"HS256","jku":"https://evil.test/jwks"}`, `{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}`, `{"alg":"HS256","x5u":"https://evil.test"}`,
	} {
		var asked []string
		v := &middleware.Verifier{Algorithms: []string{"HS256"}, KeyFunc: func(_ context.Context, kid, alg string) (any, error) {
			asked = append(asked, kid+"/"+alg)
			return []byte(strings.Repeat("another key ", 3)), nil
		}}
		if accepts(v, raw(t, header, good)) {
			t.Errorf("%s is accepted", header)
		}
		if len(asked) != 1 {
			t.Errorf("%s: the key was asked for %v", header, asked)
		}
	}
}

// T-E2, T-F4 and the like: a configuration that would be dangerous or does nothing is
// refused with a reason, before anything is served.
func TestConfigurationsThatAreRefused(t *testing.T) {
	weak, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	ok := func() *middleware.Authenticator {
		return &middleware.Authenticator{Coordinator: &tokencache.Coordinator{},
			Verifier: &middleware.Verifier{Algorithms: []string{"HS256"}, Key: secret}}
	}
	if err := ok().Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*middleware.Authenticator){
		"no Coordinator":          func(a *middleware.Authenticator) { a.Coordinator = nil },
		"no algorithms":           func(a *middleware.Authenticator) { a.Verifier.Algorithms = nil },
		"algorithm none":          func(a *middleware.Authenticator) { a.Verifier.Algorithms = []string{"none"} },
		"an empty secret":         func(a *middleware.Authenticator) { a.Verifier.Key = []byte{} },
		"a short secret":          func(a *middleware.Authenticator) { a.Verifier.Key = []byte("secret") },
		"a secret as text":        func(a *middleware.Authenticator) { a.Verifier.Key = string(secret) },
		"a private key":           func(a *middleware.Authenticator) { a.Verifier.Key = weak },
		"no key":                  func(a *middleware.Authenticator) { a.Verifier.Key = nil },
		"two keys":                func(a *middleware.Authenticator) { a.Verifier.JWKSURL = "https://as.example.com/jwks" },
		"a JWKS over http":        func(a *middleware.Authenticator) { *a.Verifier = jwksOf("http://as.example.com/jwks") },
		"a JWKS nowhere":          func(a *middleware.Authenticator) { *a.Verifier = jwksOf("/jwks") },
		"a negative leeway":       func(a *middleware.Authenticator) { a.Verifier.Leeway = -1 },
		"a login that refreshes":  func(a *middleware.Authenticator) { a.LoginURL = "/auth/refresh" },
		"a script that refreshes": func(a *middleware.Authenticator) { a.ScriptURL = "/auth/refresh" },
		"a former name, sealed":   func(a *middleware.Authenticator) { sealedAs(a, "__Host-access") },
		"a former key, sealed":    func(a *middleware.Authenticator) { sealedAs(a, "__Host-key") },
		"a former name, Sessions": func(a *middleware.Authenticator) { inSessions(a).Session = "__Host-refresh" },
		"Sessions with Secrets":   func(a *middleware.Authenticator) { inSessions(a).Secrets = [][]byte{sealer(1)} },
		"Sessions with MaxAge":    func(a *middleware.Authenticator) { inSessions(a).MaxAge = time.Minute },
		"an unknown mode":         func(a *middleware.Authenticator) { a.Mode = 7 },
		"a login elsewhere":       func(a *middleware.Authenticator) { a.LoginURL = "https://as.example.com/login" },
		"a login of two slashes":  func(a *middleware.Authenticator) { a.LoginURL = "//evil.test" },
		"a broken pattern":        func(a *middleware.Authenticator) { a.Public = []string{"/a/{"} },
		"patterns that clash":     func(a *middleware.Authenticator) { a.Public = []string{"GET /{x}", "/y"} },
		"a name with a space":     func(a *middleware.Authenticator) { a.Cookies.Access = "a b" },
		"one name for both":       func(a *middleware.Authenticator) { a.Cookies.Access, a.Cookies.Refresh = "x", "x" },
		"__Host- with a path":     func(a *middleware.Authenticator) { a.Cookies.Refresh, a.Cookies.RefreshPath = "__Host-r", "/auth" },
		"__host- in another case": func(a *middleware.Authenticator) { a.Cookies.Refresh, a.Cookies.RefreshPath = "__host-r", "/auth" },
		"__Host- without Secure":  func(a *middleware.Authenticator) { a.Cookies.Access, a.Cookies.InsecureNoTLS = "__Host-a", true },
		"a path without slash":    func(a *middleware.Authenticator) { a.Cookies.RefreshPath = "auth" },
		"a path that is no path":  func(a *middleware.Authenticator) { a.Cookies.RefreshPath = "/a;b" },
		"a refresh elsewhere":     func(a *middleware.Authenticator) { a.Cookies.RefreshPath = "/elsewhere" },
		"None without Secure": func(a *middleware.Authenticator) {
			a.Cookies.SameSite, a.Cookies.InsecureNoTLS = http.SameSiteNoneMode, true
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := ok()
			change(a)
			err := a.Validate()
			if err == nil {
				t.Fatal("it is taken")
			}
			if strings.Contains(err.Error(), string(secret)) {
				t.Errorf("%v quotes the secret", err)
			}
			defer func() {
				if recover() == nil {
					t.Error("Handler takes it")
				}
			}()
			a.Handler(still)
		})
	}
}

func sealedAs(a *middleware.Authenticator, name string) { seal(a); a.Cookies.Session = name }

func inSessions(a *middleware.Authenticator) *middleware.Cookies {
	a.Sessions = &middleware.Sessions{}
	return &a.Cookies
}

func jwksOf(url string) middleware.Verifier {
	return middleware.Verifier{Algorithms: []string{"RS256"}, JWKSURL: url}
}

// A token is verified once, and not again with each request, until a minute has
// gone or it has ended.
func TestAVerifiedTokenIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		a := &middleware.Authenticator{Coordinator: &tokencache.Coordinator{}, Cookies: middleware.Cookies{InsecureNoTLS: true},
			Verifier: &middleware.Verifier{Algorithms: []string{"HS256"}, KeyFunc: func(context.Context, string, string) (any, error) {
				asked++
				return secret, nil
			}}}
		h := a.Handler(still)
		token := raw(t, `{"alg":"HS256"}`, fmt.Sprintf(`{"sub":"ada","exp":%d}`, time.Now().Unix()+90))
		get := func() int {
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set("Cookie", "access="+token)
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			return rec.Code
		}
		for range 100 {
			if get() != 200 {
				t.Fatal("refused")
			}
		}
		if asked != 1 {
			t.Errorf("verified %d times", asked)
		}
		time.Sleep(61 * time.Second)
		if get() != 200 || asked != 2 {
			t.Errorf("verified %d times", asked)
		}
		time.Sleep(30 * time.Second)
		if get() != 401 {
			t.Error("it has ended")
		}
	})
}

// issuer publishes keys, and says how often it was asked.
type issuer struct {
	*httptest.Server
	keys   map[string]*rsa.PrivateKey
	mu     sync.Mutex
	down   atomic.Bool
	asked  atomic.Int64
	answer []byte // instead of the keys
}

func newIssuer(t *testing.T, kids ...string) *issuer {
	i := &issuer{keys: map[string]*rsa.PrivateKey{}}
	for _, kid := range kids {
		i.rotate(t, kid)
	}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.asked.Add(1)
		if i.down.Load() {
			w.WriteHeader(503)
			return
		}
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.answer != nil {
			w.Write(i.answer)
			return
		}
		var keys []jws.Key
		for kid, key := range i.keys {
			keys = append(keys, jws.Key{ID: kid, Alg: "RS256", Public: &key.PublicKey})
		}
		set, _ := jws.JWKS(keys...)
		w.Write(set)
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) rotate(t *testing.T, kid string) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys[kid] = key
}

func (i *issuer) token(t *testing.T, kid string) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	key := i.keys[kid]
	token, err := jws.Sign("RS256", key, map[string]any{"kid": kid}, map[string]any{"sub": "ada", "exp": time.Now().Add(time.Hour).Unix(), "jti": rand.Text()})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// B69, T-E13: keys are found by their kid. A rotated one is found without a
// restart, made-up kids do not storm the issuer, and an outage keeps what is
// known.
func TestKeysOfAnIssuer(t *testing.T) {
	i := newIssuer(t, "1")
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	v := jwksOf(i.URL)
	v.Base = base
	a := &middleware.Authenticator{Coordinator: &tokencache.Coordinator{}, Verifier: &v, Cookies: middleware.Cookies{InsecureNoTLS: true}}
	h := a.Handler(still)
	get := func(token string) int {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Cookie", "access="+token)
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		return rec.Code
	}
	if i.asked.Load() != 0 {
		t.Error("the set was fetched before it was needed")
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if s := get(i.token(t, "1")); s != 200 {
				t.Error(s)
			}
		})
	}
	all.Wait()
	if n := i.asked.Load(); n != 1 {
		t.Errorf("%d fetches for the first 50", n)
	}
	stranger := newIssuer(t, "evil")
	for range 100 {
		if s := get(stranger.token(t, "evil")); s != 401 {
			t.Errorf("a made-up kid: %d", s)
		}
	}
	if n := i.asked.Load(); n > 2 {
		t.Errorf("%d fetches for made-up kids", n)
	}
	i.down.Store(true)
	if s := get(i.token(t, "1")); s != 200 {
		t.Errorf("in an outage: %d", s)
	}
}

// B69: the rotation itself, with a clock that does not wait.
func TestARotatedKeyIsFound(t *testing.T) {
	i := newIssuer(t, "1")
	synctest.Test(t, func(t *testing.T) {
		v := jwksOf("https://as.example.com/jwks")
		v.Base = &direct{i.Config.Handler}
		a := &middleware.Authenticator{Coordinator: &tokencache.Coordinator{}, Verifier: &v, Cookies: middleware.Cookies{InsecureNoTLS: true}}
		h := a.Handler(still)
		get := func(token string) int {
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set("Cookie", "access="+token)
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			return rec.Code
		}
		i.down.Store(true)
		if s := get(i.token(t, "1")); s != 503 { // nobody can tell
			t.Errorf("without any key: %d", s)
		}
		i.down.Store(false)
		time.Sleep(11 * time.Second)
		if s := get(i.token(t, "1")); s != 200 {
			t.Error(s)
		}
		i.rotate(t, "2")
		time.Sleep(11 * time.Second)
		if s := get(i.token(t, "2")); s != 200 {
			t.Errorf("the rotated key: %d", s)
		}
		asked := i.asked.Load()
		for _, answer := range []string{"<html>", "", `{"keys":[]}`, `{"keys":[{"kty":"oct","k":"AAAA","kid":"3"}]}`, `{"keys":"x"}`, strings.Repeat(" ", 2<<20)} {
			i.answer = []byte(answer)
			time.Sleep(11 * time.Second)
			if s := get(forgeRS(t, "3")); s != 401 {
				t.Errorf("%.20q: %d", answer, s)
			}
			if s := get(i.token(t, "2")); s != 200 {
				t.Errorf("%.20q: the known key is lost: %d", answer, s)
			}
		}
		if n := i.asked.Load() - asked; n != 6 {
			t.Errorf("%d fetches, not 6", n)
		}
	})
}

func forgeRS(t *testing.T, kid string) string {
	other := &issuer{keys: map[string]*rsa.PrivateKey{}}
	other.rotate(t, kid)
	return other.token(t, kid)
}

// direct serves requests without a network, so that a bent clock can be used.
type direct struct{ h http.Handler }

func (d *direct) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	d.h.ServeHTTP(rec, r)
	return rec.Result(), nil
}

// B62, T-E6, T-D14: clocks that differ by less than the leeway neither log out nor refresh
// with each request, and a life shorter than the leeway does not loop.
func TestClocksThatDiffer(t *testing.T) {
	for name, row := range map[string]struct {
		ttl  time.Duration
		skew time.Duration // of the server's clock against ours
		most int           // presentations for ten requests
	}{
		"the server is 25 s ahead":                     {5 * time.Minute, 25 * time.Second, 0},
		"the server is 25 s behind":                    {5 * time.Minute, -25 * time.Second, 0},
		"a life of 5 s, the server 10 s behind":        {5 * time.Second, -10 * time.Second, 2},
		"a life of 2 s, the clocks agree":              {2 * time.Second, 0, 0},
		"a life of 5 s, the server 25 s ahead of ours": {5 * time.Second, 25 * time.Second, 0},
	} {
		for _, mode := range []middleware.Mode{middleware.Inline, middleware.Redirect} {
			t.Run(fmt.Sprint(name, mode), func(t *testing.T) {
				w := start(t, func(c *authtest.ASConfig, a *middleware.Authenticator) { c.AccessTTL, a.Mode = row.ttl, mode })
				skewed := func() map[string]any {
					now := time.Now().Add(row.skew)
					return map[string]any{"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(row.ttl).Unix(), "jti": rand.Text()}
				}
				w.as.Mutate(func(m map[string]any) { m["access_token"] = w.forge(skewed()) })
				b := w.pages(still).browser()
				token := w.as.SignIn("ada")
				b.keep(w.forge(skewed()), token.Refresh())
				redirects := 0
				for range 10 {
					a := b.visit("/")
					switch a.StatusCode {
					case 307:
						redirects++
					case 200:
					default:
						t.Fatalf("%d %s", a.StatusCode, a.body)
					}
				}
				if n := w.as.Counts().Presentations; n > row.most || redirects > n {
					t.Errorf("%d presentations, %d redirects", n, redirects)
				}
			})
		}
	}
}

// T-E12: what cannot be verified, since it is no JWT, is taken as it is where
// there is no Verifier, and the API decides.
func TestOpaqueTokens(t *testing.T) {
	w := start(t)
	w.auth = &middleware.Authenticator{Coordinator: w.auth.Coordinator, Cookies: w.auth.Cookies}
	b := w.pages(w.page()).browser()
	b.keep("opaque", w.as.SignIn("ada").Refresh())
	a := b.visit("/")
	must(t, a, 200, "page of ada, <nil>")
	if !a.setsTokens() {
		t.Error("the API's 401 brought no new cookies")
	}
	w.presentations(1)
}

// Nobody chooses whose session a refresh is compared with: a forged access
// token beside a good refresh token neither ends the session nor serves.
func TestAForgedAccessTokenDoesNotEndTheSession(t *testing.T) {
	w := start(t)
	b := w.pages(w.page()).browser()
	token := w.as.SignIn("ada")
	forged, err := jws.Sign("HS256", secret, nil, map[string]any{"sub": "mallory", "exp": time.Now().Add(time.Hour).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	b.keep(forged, token.Refresh())
	must(t, b.visit("/"), 200, "page of ada, ada")
	w.presentations(1)
}

// B83: a refresh that answers with another subject ends the session, serves
// nothing and sets nothing.
func TestAnotherSubjectEndsTheSession(t *testing.T) {
	w := start(t)
	b := w.pages(w.page()).browser()
	b.expired("ada")
	w.as.NextSubject("mallory")
	a := b.visit("/")
	if a.StatusCode != 303 || a.setsTokens() || !a.clearsTokens() || strings.Contains(a.body, "mallory") {
		t.Errorf("%d %v %s", a.StatusCode, a.Header, a.body)
	}
	must(t, b.visit("/"), 303, "")
	w.presentations(1)
}

// KeyFunc's own trouble is no verdict on the token.
func TestAKeyFuncInTrouble(t *testing.T) {
	for _, failure := range []error{context.DeadlineExceeded, errors.New("no such key")} {
		w := start(t, with(func(a *middleware.Authenticator) {
			a.Verifier = &middleware.Verifier{Algorithms: []string{"HS256"}, KeyFunc: func(context.Context, string, string) (any, error) {
				return nil, failure
			}}
		}))
		b := w.pages(still).browser()
		b.signedIn("ada")
		a := b.visit("/")
		if errors.Is(failure, context.DeadlineExceeded) {
			if a.StatusCode != 503 || w.as.Counts().Presentations != 0 || a.Header.Get("Retry-After") == "" {
				t.Errorf("%v: %d", failure, a.StatusCode)
			}
		} else if a.StatusCode != 500 {
			t.Errorf("%v: %d", failure, a.StatusCode)
		}
	}
}

// B69, T-E13: made-up kids do not keep the key of a token that was just issued from
// being found.
func TestMadeUpKidsHideNoNewKey(t *testing.T) {
	i, forged := newIssuer(t, "1"), newIssuer(t, "made up")
	synctest.Test(t, func(t *testing.T) { hidesNoNewKey(t, i, forged) })
}

func hidesNoNewKey(t *testing.T, i, forged *issuer) {
	v := jwksOf(i.URL)
	v.Base = roundTrip(func(r *http.Request) (*http.Response, error) { // without a network
		rec := httptest.NewRecorder()
		i.Config.Handler.ServeHTTP(rec, r)
		return rec.Result(), nil
	})
	exchanged := 0
	a := &middleware.Authenticator{Verifier: &v, Cookies: middleware.Cookies{InsecureNoTLS: true}, Coordinator: &tokencache.Coordinator{
		Refresher: issuing(func() tokencache.Token {
			exchanged++
			return tokencache.NewToken(tokencache.TokenFields{Access: i.token(t, "2"), Refresh: "r2"})
		}),
	}}
	h := a.Handler(still)
	get := func(cookies string) int {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Cookie", cookies)
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		return rec.Code
	}
	if code := get("access=" + i.token(t, "1")); code != 200 { // the set has been fetched
		t.Fatal(code)
	}
	i.rotate(t, "2")
	time.Sleep(1100 * time.Millisecond) // less than who makes up kids has to wait
	get("access=" + forged.token(t, "made up"))
	if n := i.asked.Load(); n != 1 {
		t.Errorf("a made-up kid had the set fetched: %d", n)
	}
	if code := get("refresh=r1"); code != 200 || exchanged != 1 || i.asked.Load() != 2 {
		t.Errorf("%d after %d exchanges, the set was fetched %d times", code, exchanged, i.asked.Load())
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type issuing func() tokencache.Token

func (f issuing) Refresh(context.Context, tokencache.Token) (tokencache.Token, error) {
	return f(), nil
}

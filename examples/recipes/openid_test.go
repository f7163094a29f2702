package recipes_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/luikyv/go-oidc/pkg/goidc"
	"github.com/luikyv/go-oidc/pkg/provider"
	"github.com/rebearer/rebearer/client"
	"github.com/rebearer/rebearer/examples/recipes"
	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport"
	"github.com/rebearer/rebearer/transport/dpop"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/oauth2"
)

const (
	secret = "s3cret-s3cret" // encodes to itself: go-oidc does not decode it
	aud    = "https://api.example"
)

// opProvider is github.com/luikyv/go-oidc, an OpenID provider that is not ours,
// and an API that takes its access tokens. A client is known to it that has the
// redirect URL.
type opProvider struct {
	*oidc.Provider
	t     *testing.T
	api   *httptest.Server
	base  *http.Transport
	meta  struct{ Issuer, RevocationEndpoint, JWKSURI string }
	oauth oauth2.Config
	proof *dpop.Prover // if not nil, what everything of the BFF proves its keys with

	ttl   int                                               // of the first access token, in seconds; a refreshed one lives for an hour
	fault func(w http.ResponseWriter, r *http.Request) bool // may answer in the place of the token endpoint

	mu      sync.Mutex
	dead    string       // an access token that the API takes no more
	grants  []url.Values // what came to the token endpoint
	revoked int
}

func openID(t *testing.T, redirectURL string, proof *dpop.Prover, more ...provider.ProviderOption) *opProvider {
	t.Helper()
	op := &opProvider{t: t, proof: proof, ttl: 3600, base: &http.Transport{MaxIdleConnsPerHost: 100}}
	t.Cleanup(op.base.CloseIdleConnections)
	srv := httptest.NewUnstartedServer(nil)
	issuer := "http://" + srv.Listener.Addr().String()
	srv.Config.Handler = op.watched(op.handler(issuer, redirectURL, more))
	srv.Start()
	t.Cleanup(srv.Close)

	var err error
	if op.Provider, err = oidc.NewProvider(oidc.ClientContext(t.Context(), &http.Client{Transport: op.base}), issuer); err != nil {
		t.Fatal(err)
	}
	var meta struct {
		Revoke string `json:"revocation_endpoint"`
		JWKS   string `json:"jwks_uri"`
	}
	if err := op.Claims(&meta); err != nil {
		t.Fatal(err)
	}
	op.meta.Issuer, op.meta.RevocationEndpoint, op.meta.JWKSURI = issuer, meta.Revoke, meta.JWKS
	op.oauth = oauth2.Config{
		ClientID: "bff", ClientSecret: secret, RedirectURL: redirectURL, Endpoint: op.Endpoint(),
		Scopes: []string{"openid", "offline_access", "api"},
	}
	op.oauth.Endpoint.AuthStyle = oauth2.AuthStyleInHeader
	op.oauth.Endpoint.AuthURL += "?prompt=consent&resource=" + url.QueryEscape(aud)
	op.api = httptest.NewServer(http.HandlerFunc(op.serveAPI))
	t.Cleanup(op.api.Close)
	return op
}

func (op *opProvider) handler(issuer, redirectURL string, more []provider.ProviderOption) http.Handler {
	op.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	hash, hashed := bcrypt.GenerateFromPassword([]byte(secret), bcrypt.MinCost)
	if err := errors.Join(err, hashed); err != nil {
		op.t.Fatal(err)
	}
	anyone := func(*goidc.Client) bool { return true }
	keys := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key, KeyID: "as", Algorithm: "ES256", Use: "sig"}}}
	p, err := provider.New(goidc.ProfileOpenID, issuer, keys, append(more,
		provider.WithScopes(goidc.ScopeOpenID, goidc.ScopeOfflineAccess, goidc.NewScope("api"), goidc.NewScope("pay")),
		provider.WithResourceIndicators(aud),
		provider.WithUserSignatureAlgs(jose.ES256),
		provider.WithAuthorizationCodeGrant(),
		provider.WithPKCERequired(goidc.CodeChallengeMethodSHA256),
		provider.WithDPoP(jose.ES256),
		provider.WithTokenOptions(func(g goidc.GrantInfo) goidc.TokenOptions {
			if g.GrantType == goidc.GrantRefreshToken {
				return goidc.NewJWTTokenOptions("as", 3600)
			}
			return goidc.NewJWTTokenOptions("as", op.ttl)
		}),
		provider.WithRefreshTokenGrant(func(*goidc.Client, goidc.GrantInfo) bool { return true }, 3600),
		provider.WithRefreshTokenRotation(),
		provider.WithTokenAuthnMethods(goidc.ClientAuthnSecretBasic),
		provider.WithTokenRevocation(anyone, goidc.ClientAuthnSecretBasic),
		provider.WithPolicy(goidc.NewPolicy("login", func(*http.Request, *goidc.Client, *goidc.AuthnSession) bool { return true }, whoAreYou)),
		provider.WithStaticClient(&goidc.Client{
			ID: "bff", HashedSecret: string(hash),
			ClientMetaInfo: goidc.ClientMetaInfo{
				TokenAuthnMethod: goidc.ClientAuthnSecretBasic, RedirectURIs: []string{redirectURL}, ScopeIDs: "openid offline_access api pay",
				GrantTypes:    []goidc.GrantType{goidc.GrantAuthorizationCode, goidc.GrantRefreshToken},
				ResponseTypes: []goidc.ResponseType{goidc.ResponseTypeCode},
			},
		}))...)
	if err != nil {
		op.t.Fatal(err)
	}
	return p.Handler()
}

const script = "<script>alert(1)</script>" // in the provider's description of an error

// whoAreYou is the provider's login page, which turns away whom it is told to.
func whoAreYou(w http.ResponseWriter, r *http.Request, s *goidc.AuthnSession) (goidc.AuthnStatus, error) {
	switch user := r.PostFormValue("login"); user {
	case "":
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<form method="post" action="/authorize/%s"><input name="login"></form>`, s.CallbackID)
		return goidc.StatusInProgress, nil
	case "nobody":
		return goidc.StatusFailure, errors.New(script)
	default:
		s.SetUserID(user)
		s.GrantScopes(s.Scopes)
		s.GrantResources(s.Resources)
		return goidc.StatusSuccess, nil
	}
}

// watched counts. One request at a time: v0.4.0 changes the sessions in its
// store while others read them, which the race detector would report as ours.
func (op *opProvider) watched(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		op.mu.Lock()
		defer op.mu.Unlock()
		switch r.URL.Path {
		case "/token":
			r.ParseForm()
			op.grants = append(op.grants, r.PostForm)
			if op.fault != nil && op.fault(w, r) {
				return
			}
		case "/revoke":
			op.revoked++
		}
		next.ServeHTTP(w, r)
	})
}

// presented returns how many grants of a type came to the token endpoint.
func (op *opProvider) presented(grant string) (n int) {
	op.mu.Lock()
	defer op.mu.Unlock()
	for _, form := range op.grants {
		if form.Get("grant_type") == grant {
			n++
		}
	}
	return n
}

// serveAPI verifies the access token with the provider's keys. An ID token has
// another audience.
func (op *opProvider) serveAPI(w http.ResponseWriter, r *http.Request) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	id, err := op.Verifier(&oidc.Config{ClientID: aud}).Verify(r.Context(), token)
	op.mu.Lock()
	withdrawn := token == op.dead
	op.mu.Unlock()
	if err != nil || withdrawn || !op.proved(r, id, scheme, token) {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token", DPoP error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]string{"user": id.Subject})
}

// proved reports whether the token is of the scheme, and whether the sender has
// shown the key that it is bound to (RFC 9449 section 7).
func (op *opProvider) proved(r *http.Request, id *oidc.IDToken, scheme, token string) bool {
	var bound struct {
		Cnf struct{ JKT string }
	}
	if id.Claims(&bound) != nil || (scheme == "DPoP") != (bound.Cnf.JKT != "") || (scheme == "DPoP") != (op.proof != nil) {
		return false
	}
	if scheme != "DPoP" {
		return scheme == "Bearer"
	}
	proof, err := jwt.ParseSigned(r.Header.Get("DPoP"), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || proof.Headers[0].JSONWebKey == nil {
		return false
	}
	key := proof.Headers[0].JSONWebKey
	var says struct {
		Method string `json:"htm"`
		URL    string `json:"htu"`
		Hash   string `json:"ath"`
	}
	sum, err := key.Thumbprint(crypto.SHA256)
	hash := sha256.Sum256([]byte(token))
	return err == nil && proof.Claims(key, &says) == nil && base64.RawURLEncoding.EncodeToString(sum) == bound.Cnf.JKT &&
		says.Method == r.Method && says.URL == op.api.URL+r.URL.Path && says.Hash == base64.RawURLEncoding.EncodeToString(hash[:])
}

// endpoint is what a BFF refreshes and revokes with.
func (op *opProvider) endpoint() *transport.TokenEndpoint {
	e := &transport.TokenEndpoint{
		URL: op.oauth.Endpoint.TokenURL, RevocationURL: op.meta.RevocationEndpoint,
		ClientID: op.oauth.ClientID, ClientSecret: op.oauth.ClientSecret, Base: op.base,
	}
	if op.proof != nil {
		e.DPoP = op.proof
	}
	return e
}

// client calls the API for whoever is signed in.
func (op *opProvider) client() *client.Client {
	rt := &transport.Transport{Base: op.base, Origins: []string{op.api.URL}}
	if op.proof != nil {
		rt.DPoP = op.proof
	}
	return client.New(op.api.URL, rt)
}

// coordinator is one for the endpoint.
func (op *opProvider) coordinator() *tokencache.Coordinator {
	c := &tokencache.Coordinator{Refresher: op.endpoint(), Revoker: op.endpoint()}
	op.t.Cleanup(func() { c.Wait(context.Background()) })
	return c
}

// signIns is a BFF with the recipe. It has TLS, so that the cookies are those of
// production.
type signIns struct {
	*opProvider
	login *recipes.Login
	bff   *httptest.Server
}

// startSignIns has a provider that says who it is in its answers (RFC 9207).
func startSignIns(t *testing.T) *signIns {
	t.Helper()
	return startSignInsWith(t, nil, provider.WithIssuerResponseParameter())
}

func startSignInsWith(t *testing.T, proof *dpop.Prover, more ...provider.ProviderOption) *signIns {
	t.Helper()
	bff := httptest.NewUnstartedServer(nil)
	op := openID(t, "https://"+bff.Listener.Addr().String()+"/callback", proof, more...)
	auth := &middleware.Authenticator{
		Coordinator: op.coordinator(),
		Verifier:    &middleware.Verifier{Algorithms: []string{"ES256"}, JWKSURL: op.meta.JWKSURI, Issuer: op.meta.Issuer, Audience: aud, Base: op.base},
	}
	login := &recipes.Login{Auth: auth, Provider: op.Provider, Client: op.oauth, More: []string{"pay"}, Base: op.base, Prover: proof}
	if proof != nil {
		auth.Cookies.Secrets = [][]byte{[]byte(rand.Text() + rand.Text())}
	}
	mux := http.NewServeMux()
	login.Routes(mux)
	mux.Handle("/", recipes.NetHTTP(auth, op.client()))
	bff.Config.Handler = mux
	bff.StartTLS()
	t.Cleanup(bff.Close)
	return &signIns{op, login, bff}
}

// visitor is somebody's browser.
type visitor struct {
	s    *signIns
	user string
	http *http.Client
	jar  *cookiejar.Jar
	turn func(*url.URL) // changes where a redirect leads
}

func (s *signIns) visitor(user string) *visitor {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	rt := s.bff.Client().Transport.(*http.Transport).Clone()
	rt.MaxIdleConnsPerHost = 100
	s.t.Cleanup(rt.CloseIdleConnections)
	return &visitor{s, user, &http.Client{Jar: jar, Transport: rt, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, jar, nil}
}

// load loads one page, and follows nothing.
func (v *visitor) load(method, to string, form url.Values) answer {
	v.s.t.Helper()
	req, err := http.NewRequestWithContext(v.s.t.Context(), method, to, strings.NewReader(form.Encode()))
	if err != nil {
		v.s.t.Fatal(err)
	}
	req.Header = navigating.Clone()
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	resp, err := v.http.Do(req)
	if err != nil {
		v.s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		v.s.t.Fatal(err)
	}
	return answer{resp, string(body)}
}

// get loads a page of the BFF.
func (v *visitor) get(path string) answer {
	v.s.t.Helper()
	return v.load("GET", v.s.bff.URL+path, nil)
}

var formAction = regexp.MustCompile(`<form[^>]* action="([^"]*)"`)

// walk goes on from an answer, along redirects and through the provider's form,
// to the page where it ends, or to before the path.
func (v *visitor) walk(a answer, before string) (answer, *url.URL) {
	v.s.t.Helper()
	for range 10 {
		to, err := a.Location()
		switch m := formAction.FindStringSubmatch(a.body); {
		case err == nil:
			if v.turn != nil {
				v.turn(to)
			}
			if to.Path == before {
				return a, to
			}
			a = v.load("GET", to.String(), nil)
		case m != nil:
			to, err := a.Request.URL.Parse(m[1])
			if err != nil {
				v.s.t.Fatal(err)
			}
			a = v.load("POST", to.String(), url.Values{"login": {v.user}})
		default:
			return a, a.Request.URL
		}
	}
	v.s.t.Fatal("redirects without end")
	return a, nil
}

// back begins a sign-in, and returns the URL to which the provider leads back.
func (v *visitor) back(next string) *url.URL {
	v.s.t.Helper()
	_, to := v.walk(v.get("/login?next="+url.QueryEscape(next)), "/callback")
	if to.Path != "/callback" {
		v.s.t.Fatalf("%s is not sent back, but to %s", v.user, to)
	}
	return to
}

// ends fails unless the answer is what it should be.
func (v *visitor) ends(a answer, status int, body string) answer {
	v.s.t.Helper()
	if a.StatusCode != status || !strings.Contains(a.body, body) {
		v.s.t.Fatalf("%s: %d %q, want %d with %q", a.Request.URL, a.StatusCode, a.body, status, body)
	}
	return a
}

// cookies returns those in the jar whose names have the prefix.
func (v *visitor) cookies(prefix string) (all []*http.Cookie) {
	u, _ := url.Parse(v.s.bff.URL)
	for _, c := range v.jar.Cookies(u) {
		if strings.HasPrefix(c.Name, prefix) {
			all = append(all, c)
		}
	}
	return all
}

// signedIn is somebody with a session.
func (s *signIns) signedIn(user string) *visitor {
	s.t.Helper()
	v := s.visitor(user)
	a, _ := v.walk(v.get("/me"), "")
	v.ends(a, http.StatusOK, "page of "+user)
	return v
}

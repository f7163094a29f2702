package integration

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	audience = "https://api.example"   // of the access tokens
	callback = "http://127.0.0.1:9/cb" // nobody listens: the code is read off the redirect
	scope    = "openid offline_access api"
)

// The clients that every server knows, one for each way of authentication.
var (
	clients = []string{"bff", "bff-post", "spa", "bff-jwt"}
	methods = map[string]string{
		"bff":      "client_secret_basic",
		"bff-post": "client_secret_post",
		"spa":      "none",
		"bff-jwt":  "private_key_jwt",
	}
)

// An authServer is a running authorization server.
type authServer struct {
	Issuer        string `json:"issuer"`
	AuthorizeURL  string `json:"authorization_endpoint"`
	TokenURL      string `json:"token_endpoint"`
	RevokeURL     string `json:"revocation_endpoint"`
	IntrospectURL string `json:"introspection_endpoint"`
	JWKSURL       string `json:"jwks_uri"`

	secret string            // of the clients bff and bff-post
	key    *ecdsa.PrivateKey // of the client bff-jwt

	reuseError  string // what a spent refresh token is answered with, beside 400
	killsFamily bool   // and whether the newest one is dead from then on
}

func newAuthServer(t testing.TB, secret string) *authServer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return &authServer{secret: secret, key: key}
}

// discover fills in the endpoints from the server's own metadata.
func (as *authServer) discover(t testing.TB, issuer string) {
	t.Helper()
	resp, err := direct.Get(issuer + "/.well-known/openid-configuration")
	must(t, err)
	defer resp.Body.Close()
	must(t, json.NewDecoder(resp.Body).Decode(as))
	if as.Issuer != issuer || as.TokenURL == "" || as.RevokeURL == "" || as.IntrospectURL == "" {
		t.Fatalf("metadata of %s: %+v", issuer, as)
	}
}

// publicJWKS is what the server knows of the client bff-jwt.
func (as *authServer) publicJWKS() jose.JSONWebKeySet {
	return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: as.key.Public(), KeyID: "client", Algorithm: "ES256", Use: "sig"}}}
}

// assertion is a client assertion of bff-jwt (RFC 7523), good for one request.
// Its audience is the issuer: the address of the proxy would be refused.
func (as *authServer) assertion(t testing.TB) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: as.key, KeyID: "client"}}, nil)
	must(t, err)
	now := time.Now()
	s, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: "bff-jwt", Subject: "bff-jwt", Audience: jwt.Audience{as.Issuer}, ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Minute)),
	}).Serialize()
	must(t, err)
	return s
}

// An answer is what an endpoint of the server said, be it tokens or an error.
type answer struct {
	Status    int
	Access    string `json:"access_token"`
	Refresh   string `json:"refresh_token"`
	ExpiresIn int    `json:"expires_in"`
	Error     string `json:"error"`
	Active    bool   `json:"active"`

	at time.Time
}

// expiry is when the access token has certainly expired. Its exp is the moment
// of issue, cut to a second, plus ExpiresIn: never later than this.
func (a answer) expiry() time.Time { return a.at.Add(time.Duration(a.ExpiresIn) * time.Second) }

func (a answer) awaitExpiry() { time.Sleep(time.Until(a.expiry())) }

// refresh sends one refresh token grant, with nothing of rebearer in between.
func (as *authServer) refresh(t testing.TB, tokenURL, client, refreshToken string) answer {
	t.Helper()
	return as.post(t, tokenURL, client, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refreshToken}})
}

// revoke revokes a token (RFC 7009).
func (as *authServer) revoke(t testing.TB, client, token string) answer {
	t.Helper()
	return as.post(t, as.RevokeURL, client, url.Values{"token": {token}})
}

// active asks whether a token lives (RFC 7662): unlike a refresh, asking about
// a refresh token does not spend it.
func (as *authServer) active(t testing.TB, client, token string) bool {
	t.Helper()
	return as.post(t, as.IntrospectURL, client, url.Values{"token": {token}}).Active
}

// post sends a form as the client.
func (as *authServer) post(t testing.TB, to, client string, form url.Values) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, to, nil)
	must(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	form.Set("client_id", client)
	switch methods[client] {
	case "client_secret_basic":
		form.Del("client_id")
		req.SetBasicAuth(url.QueryEscape(client), url.QueryEscape(as.secret)) // RFC 6749 section 2.3.1
	case "client_secret_post":
		form.Set("client_secret", as.secret)
	case "private_key_jwt":
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", as.assertion(t))
	}
	req.Body = io.NopCloser(strings.NewReader(form.Encode()))

	resp, err := direct.Do(req)
	must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	a := answer{Status: resp.StatusCode, at: time.Now()}
	if body = bytes.TrimSpace(body); len(body) > 0 { // a revocation answers nothing
		if err := json.Unmarshal(body, &a); err != nil {
			t.Fatalf("%s: %d %s", to, resp.StatusCode, body)
		}
	}
	return a
}

// direct keeps no connection, so that no goroutine of it outlives a test.
var direct = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}

// require skips the test where a command is missing.
func require(t testing.TB, commands ...string) {
	t.Helper()
	for _, c := range commands {
		if _, err := exec.LookPath(c); err != nil {
			missing(t, c+" is not installed")
		}
	}
}

// missing ends the test for something the machine lacks: it is skipped, or has
// failed where REBEARER_TEST_REQUIRE=all says that nothing may lack.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("REBEARER_TEST_REQUIRE") == "all" {
		t.Fatal("REBEARER_TEST_REQUIRE=all: " + what)
	}
	t.Skip(what)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

package integration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/rebearer/rebearer/transport"
	"github.com/rebearer/rebearer/transport/clientassertion"
)

const (
	audience = "https://api.example"   // of the access tokens
	callback = "http://127.0.0.1:9/cb" // nobody listens: the code is read off the redirect
	scope    = "openid offline_access api"
)

// The clients that authorization servers know, one for each way of
// authentication. A cookie is none: there the refresh token is all.
var (
	clients = []string{"bff", "bff-post", "spa", "bff-jwt"}
	methods = map[string]string{
		"bff":      "client_secret_basic",
		"bff-post": "client_secret_post",
		"spa":      "none",
		"bff-jwt":  "private_key_jwt",
		"cookie":   "cookie",
	}
)

// An authServer is a running authorization server.
type authServer struct {
	server

	Issuer        string `json:"issuer"`
	AuthorizeURL  string `json:"authorization_endpoint"`
	TokenURL      string `json:"token_endpoint"`
	RevokeURL     string `json:"revocation_endpoint"`
	IntrospectURL string `json:"introspection_endpoint"`
	UserinfoURL   string `json:"userinfo_endpoint"`
	JWKSURL       string `json:"jwks_uri"`

	key  *ecdsa.PrivateKey // of the client bff-jwt
	obey func(command string) error
}

func newAuthServer(t testing.TB, s server) *authServer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return &authServer{server: s, key: key}
}

// discover fills in the endpoints from the server's own metadata.
func (as *authServer) discover(t testing.TB, issuer string) {
	t.Helper()
	resp, err := direct.Get(issuer + "/.well-known/openid-configuration")
	must(t, err)
	defer resp.Body.Close()
	must(t, json.NewDecoder(resp.Body).Decode(as))
	if as.Issuer != issuer || as.TokenURL == "" || as.RevokeURL == "" || len(as.introspects) > 0 && as.IntrospectURL == "" ||
		as.alg != "" && as.JWKSURL == "" || as.alg == "" && as.UserinfoURL == "" {
		t.Fatalf("metadata of %s: %+v", issuer, as)
	}
}

// publicJWKS is what the server knows of the client bff-jwt.
func (as *authServer) publicJWKS() jose.JSONWebKeySet {
	return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: as.key.Public(), KeyID: "client", Algorithm: "ES256", Use: "sig"}}}
}

// metadata is that of the clients as RFC 7591 has it.
func (as *authServer) metadata(t testing.TB) string {
	t.Helper()
	var list []map[string]any
	for _, id := range as.clients {
		c := map[string]any{
			"client_id":                  id,
			"token_endpoint_auth_method": methods[id],
			"redirect_uris":              []string{callback},
			"grant_types":                []string{"authorization_code", "refresh_token"},
			"response_types":             []string{"code"},
		}
		switch methods[id] {
		case "client_secret_basic", "client_secret_post":
			c["client_secret"] = as.secret
		case "private_key_jwt":
			c["jwks"] = as.publicJWKS()
		}
		list = append(list, c)
	}
	b, err := json.Marshal(list)
	must(t, err)
	return string(b)
}

func (as *authServer) tell(t testing.TB, command string) {
	t.Helper()
	must(t, as.obey(command))
}

// session implements running.
func (as *authServer) session(t *testing.T, client string) *session {
	t.Helper()
	s := &session{server: as.server, api: as.api(t), proxy: newProxy(t, as.TokenURL), login: as.signIn(t, client)}
	s.present = func(refreshToken string) answer { return as.refresh(t, direct.Transport, client, refreshToken) }
	if slices.Contains(as.introspects, client) {
		s.active = func(token string) bool { return as.active(t, client, token) }
	}
	return s.open(as.endpoint(client, s.proxy))
}

// endpoint is the token endpoint as a program of that client is configured.
func (as *authServer) endpoint(client string, base http.RoundTripper) *transport.TokenEndpoint {
	e := &transport.TokenEndpoint{
		URL: as.TokenURL, RevocationURL: as.RevokeURL, Base: base,
		ClientID: client, AuthMethod: methods[client], Dead: as.dead,
	}
	if as.issuerOnly {
		e.Audience = as.Issuer
	}
	switch methods[client] {
	case "client_secret_basic", "client_secret_post":
		e.ClientSecret = as.secret
	case "private_key_jwt":
		e.Assertion = (&clientassertion.Signer{ClientID: client, Key: as.key, Alg: "ES256", KeyID: "client"}).Assertion
	}
	return e
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

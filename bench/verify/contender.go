package main

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
)

// contender serves one request for a page, or does a part of that.
type contender struct {
	name    string
	alg     string
	ours    bool
	alone   bool // no request around it
	serve   func() error
	samples []sample
}

// contenders returns all. The page itself writes nothing, so that all that is
// seen is what stands before it.
func contenders() ([]*contender, error) {
	secret := []byte(strings.Repeat("k", 32))
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	byHS, err := token(jwt.SigningMethodHS256, secret)
	if err != nil {
		return nil, err
	}
	byRS, err := token(jwt.SigningMethodRS256, key)
	if err != nil {
		return nil, err
	}
	page := &page{}
	all := []*contender{
		{name: "the page alone", serve: serving(page, page, byHS)},
		{name: "rebearer, HS256", alg: "HS256", ours: true, serve: serving(page, handler(page, hs(secret)), byHS)},
		{name: "rebearer, RS256 by JWKS", alg: "RS256", ours: true, serve: serving(page, handler(page, rs(&key.PublicKey)), byRS)},
		{name: "golang-jwt, HS256", alg: "HS256", serve: serving(page, written(page, "HS256", secret), byHS)},
		{name: "golang-jwt, RS256", alg: "RS256", serve: serving(page, written(page, "RS256", &key.PublicKey), byRS)},
		{name: "ParseWithClaims alone, HS256", alg: "HS256", alone: true, serve: parsing("HS256", secret, byHS)},
		{name: "ParseWithClaims alone, RS256", alg: "RS256", alone: true, serve: parsing("RS256", &key.PublicKey, byRS)},
	}
	for _, c := range all {
		for range 2 { // rebearer has seen the token, with the keys that there are
			if err := c.serve(); err != nil {
				return nil, errors.New(c.name + ": " + err.Error())
			}
		}
	}
	return all, nil
}

// token is of the usual length.
func token(method jwt.SigningMethod, key any) (string, error) {
	now := time.Now()
	return jwt.NewWithClaims(method, jwt.MapClaims{
		"iss": "https://as.example.com", "aud": "api", "sub": "5f0c7a1e", "client_id": "bff", "scope": "openid profile orders:read",
		"iat": now.Unix(), "exp": now.Add(24 * time.Hour).Unix(), "jti": "0f8fad5b-d9cb-469f-a165-70867728950e",
	}).SignedString(key)
}

// page is what is asked for. It knows whether it was reached.
type page struct{ served int }

func (p *page) ServeHTTP(http.ResponseWriter, *http.Request) { p.served++ }

// nowhere is a response that nobody reads.
type nowhere struct{ header http.Header }

func (w *nowhere) Header() http.Header         { return w.header }
func (w *nowhere) WriteHeader(int)             {}
func (w *nowhere) Write(p []byte) (int, error) { return len(p), nil }

var errNotServed = errors.New("the page was not served")

// serving asks h for the page as a browser would.
func serving(page *page, h http.Handler, access string) func() error {
	r, _ := http.NewRequest(http.MethodGet, "https://bff.example.com/x.html", nil)
	r.Header = http.Header{
		"User-Agent": {"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
		"Accept":     {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}, "Accept-Language": {"en-US,en;q=0.5"}, "Accept-Encoding": {"gzip, deflate, br"},
		"Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Site": {"same-origin"}, "Sec-Fetch-User": {"?1"},
		"Upgrade-Insecure-Requests": {"1"}, "Priority": {"u=0, i"},
		"Cookie": {"theme=dark; __Host-access=" + access + "; __Host-refresh=rt_ABCDEFGHIJKLMNOPQRSTUVWXYZ"},
	}
	w := &nowhere{http.Header{}}
	return func() error {
		before := page.served
		if h.ServeHTTP(w, r); page.served != before+1 {
			return errNotServed
		}
		return nil
	}
}

// What is verified with: a secret, and a published key.
func hs(secret []byte) *middleware.Verifier {
	return &middleware.Verifier{Algorithms: []string{"HS256"}, Key: secret}
}

func rs(key *rsa.PublicKey) *middleware.Verifier {
	return &middleware.Verifier{Algorithms: []string{"RS256"}, JWKSURL: "https://as.example.com/jwks", Base: published{key}}
}

func handler(next http.Handler, v *middleware.Verifier) http.Handler {
	return (&middleware.Authenticator{Coordinator: &tokencache.Coordinator{}, Verifier: v}).Handler(next)
}

// published answers with a JWK Set of one key.
type published struct{ key *rsa.PublicKey }

func (p published) RoundTrip(*http.Request) (*http.Response, error) {
	b64 := base64.RawURLEncoding.EncodeToString
	set, err := json.Marshal(map[string]any{"keys": []map[string]string{{
		"kty": "RSA", "use": "sig", "alg": "RS256", "n": b64(p.key.N.Bytes()), "e": b64(big.NewInt(int64(p.key.E)).Bytes()),
	}}})
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(set)))}, err
}

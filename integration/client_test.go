package integration

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// What follows is a client of the authorization server with nothing of rebearer
// in it.

// An answer is what an endpoint of the server said, be it tokens or an error.
type answer struct {
	Status    int
	Access    string `json:"access_token"`
	Refresh   string `json:"refresh_token"`
	ExpiresIn int    `json:"expires_in"`
	Error     string `json:"error"`
	Active    bool   `json:"active"`
	Subject   string `json:"sub"`

	at time.Time
}

// expiry is when the access token has certainly ended. What a server says in
// expires_in may be rounded otherwise than the exp of the token.
func (a answer) expiry() time.Time {
	ends := a.at.Add(time.Duration(a.ExpiresIn) * time.Second)
	if exp := expOf(a.Access); exp.After(ends) {
		return exp
	}
	return ends
}

func (a answer) awaitExpiry() { time.Sleep(time.Until(a.expiry())) }

// expOf reads the exp of a token, be it good for anything or not.
func expOf(token string) time.Time {
	var claims jwt.Claims
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256, jose.RS256, jose.HS256, jose.EdDSA})
	if err != nil || parsed.UnsafeClaimsWithoutVerification(&claims) != nil || claims.Expiry == nil {
		return time.Time{}
	}
	return claims.Expiry.Time()
}

// refresh sends one refresh token grant.
func (as *authServer) refresh(t testing.TB, through http.RoundTripper, client, refreshToken string) answer {
	t.Helper()
	return as.post(t, through, as.TokenURL, client, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refreshToken}})
}

// revoke revokes a token (RFC 7009).
func (as *authServer) revoke(t testing.TB, client, token string) answer {
	t.Helper()
	return as.post(t, direct.Transport, as.RevokeURL, client, url.Values{"token": {token}})
}

// active asks whether a token lives (RFC 7662): unlike a refresh, asking about
// a refresh token does not spend it.
func (as *authServer) active(t testing.TB, client, token string) bool {
	t.Helper()
	if as.asker != "" {
		client = as.asker
	}
	return as.post(t, direct.Transport, as.IntrospectURL, client, url.Values{"token": {token}}).Active
}

func (as *authServer) post(t testing.TB, through http.RoundTripper, to, client string, form url.Values) answer {
	t.Helper()
	a, err := as.send(t.Context(), through, to, client, form)
	must(t, err)
	return a
}

// send sends a form as the client.
func (as *authServer) send(ctx context.Context, through http.RoundTripper, to, client string, form url.Values) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, nil)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	form.Set("client_id", client)
	switch methods[client] {
	case "client_secret_basic":
		form.Del("client_id")
		req.SetBasicAuth(url.QueryEscape(client), url.QueryEscape(as.secret)) // RFC 6749 section 2.3.1
	case "client_secret_post":
		form.Set("client_secret", as.secret)
	case "private_key_jwt":
		assertion, err := as.assertion()
		if err != nil {
			return answer{}, err
		}
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion)
	}
	req.Body = io.NopCloser(strings.NewReader(form.Encode()))

	resp, err := through.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	return read(resp)
}

// read reads an answer. A revocation answers nothing.
func read(resp *http.Response) (answer, error) {
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{Status: resp.StatusCode, at: time.Now()}
	if body = bytes.TrimSpace(body); len(body) > 0 {
		if err := json.Unmarshal(body, &a); err != nil {
			return answer{}, fmt.Errorf("%s: %d %s", resp.Request.URL, resp.StatusCode, body)
		}
	}
	return a, nil
}

// assertion is a client assertion of bff-jwt (RFC 7523), good for one request.
func (as *authServer) assertion() (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: as.key, KeyID: "client"}}, nil)
	if err != nil {
		return "", err
	}
	audience := as.TokenURL
	if as.issuerOnly {
		audience = as.Issuer
	}
	now := time.Now()
	return jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: "bff-jwt", Subject: "bff-jwt", Audience: jwt.Audience{audience}, ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Minute)),
	}).Serialize()
}

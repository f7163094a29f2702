package integration

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// A resourceAPI demands the server's access tokens and verifies them for real:
// signature, issuer, audience and expiry. It says in the header Subject whose
// the token was, and answers a POST with the body it got.
type resourceAPI struct {
	URL string

	issuer       string
	keys         jose.JSONWebKeySet
	succeeded    atomic.Int64
	unauthorized atomic.Int64
}

// api starts an API that trusts the authorization server.
func (as *authServer) api(t testing.TB) *resourceAPI {
	t.Helper()
	api := &resourceAPI{issuer: as.Issuer}
	resp, err := direct.Get(as.JWKSURL)
	must(t, err)
	defer resp.Body.Close()
	must(t, json.NewDecoder(resp.Body).Decode(&api.keys))
	srv := httptest.NewServer(api)
	t.Cleanup(srv.Close)
	api.URL = srv.URL
	return api
}

func (api *resourceAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	subject, err := api.verify(r.Header.Get("Authorization"))
	if err != nil {
		api.unauthorized.Add(1)
		challenge := "Bearer" // RFC 6750 section 3.1: no error where there is no token
		if r.Header.Get("Authorization") != "" {
			challenge = `Bearer error="invalid_token"`
		}
		w.Header().Set("WWW-Authenticate", challenge)
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	// All of the body, and only then the answer: once net/http has begun an
	// answer, what is left of an HTTP/1 body may be dropped.
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the caller left
	}
	api.succeeded.Add(1)
	w.Header().Set("Subject", subject)
	w.Write(body)
}

func (api *resourceAPI) verify(authorization string) (subject string, err error) {
	token, ok := strings.CutPrefix(authorization, "Bearer ")
	if !ok {
		return "", errors.New("no bearer token")
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return "", err
	}
	if typ := parsed.Headers[0].ExtraHeaders[jose.HeaderType]; typ != "at+jwt" { // RFC 9068: an ID token is none
		return "", errors.New("not an access token")
	}
	var claims jwt.Claims
	if err := parsed.Claims(api.keys, &claims); err != nil {
		return "", err
	}
	want := jwt.Expected{Issuer: api.issuer, AnyAudience: jwt.Audience{audience}, Time: time.Now()}
	if claims.Expiry == nil {
		return "", errors.New("no expiry")
	}
	return claims.Subject, claims.ValidateWithLeeway(want, 0)
}

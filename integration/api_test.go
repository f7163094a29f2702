package integration

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// A resourceAPI demands access tokens. It says in the header Subject whose the
// token was, and answers a POST with the body it got.
type resourceAPI struct {
	URL string

	subject      func(ctx context.Context, token string) (string, error)
	silent       bool // its 401 says nothing of Bearer, as NestJS does not
	succeeded    atomic.Int64
	unauthorized atomic.Int64
}

func newAPI(t testing.TB, subject func(ctx context.Context, token string) (string, error)) *resourceAPI {
	t.Helper()
	api := &resourceAPI{subject: subject}
	srv := httptest.NewServer(api)
	t.Cleanup(srv.Close)
	api.URL = srv.URL
	return api
}

// api starts an API that trusts the authorization server: it verifies JWTs
// itself, and has the server judge anything else, each time.
func (as *authServer) api(t testing.TB) *resourceAPI {
	t.Helper()
	if as.alg != "" {
		return newAPI(t, as.verifier().subject)
	}
	return newAPI(t, func(ctx context.Context, token string) (string, error) {
		return ask(ctx, as.UserinfoURL, token) // OpenID Connect Core section 5.3
	})
}

// ask has somebody else judge a token, who answers with its sub.
func ask(ctx context.Context, url, token string) (subject string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := direct.Do(req)
	if err != nil {
		return "", errUnavailable
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 && resp.StatusCode < 500 {
		return "", errors.New(resp.Status)
	}
	var claims struct{ Sub string }
	if json.NewDecoder(resp.Body).Decode(&claims) != nil || claims.Sub == "" {
		return "", errUnavailable
	}
	return claims.Sub, nil
}

// errUnavailable says that nobody knows now whether the token is good.
var errUnavailable = errors.New("the authorization server is not there")

func (api *resourceAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	subject, err := "", errors.New("no bearer token")
	if bearer {
		subject, err = api.subject(r.Context(), token)
	}
	switch {
	case errors.Is(err, errUnavailable):
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	case err != nil:
		api.unauthorized.Add(1)
		challenge := "Bearer" // RFC 6750 section 3.1: no error where there is no token
		if r.Header.Get("Authorization") != "" {
			challenge = `Bearer error="invalid_token"`
		}
		if !api.silent {
			w.Header().Set("WWW-Authenticate", challenge)
		}
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

// A verifier verifies access tokens that are JWTs for real: signature, type,
// issuer, audience and expiry. It does so with go-jose, and with no code of
// rebearer's.
type verifier struct {
	issuer, keysURL, alg, typ string

	mu   sync.Mutex
	keys jose.JSONWebKeySet
}

func (as *authServer) verifier() *verifier {
	return &verifier{issuer: as.Issuer, keysURL: as.JWKSURL, alg: as.alg, typ: as.typ}
}

func (v *verifier) subject(_ context.Context, token string) (string, error) {
	var claims jwt.Claims
	err := v.verify(token, audience, &claims)
	return claims.Subject, err
}

// verify reads what the token says into more, if it is good.
func (v *verifier) verify(token, audience string, more ...any) error {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(v.alg)})
	if err != nil {
		return err
	}
	if typ, _ := parsed.Headers[0].ExtraHeaders[jose.HeaderType].(string); typ != v.typ { // RFC 9068: an ID token is none
		return errors.New("not an access token")
	}
	keys, err := v.keysFor(parsed.Headers[0].KeyID)
	if err != nil {
		return err
	}
	var claims jwt.Claims
	if err := parsed.Claims(keys, append(more, &claims)...); err != nil {
		return err
	}
	if claims.Expiry == nil {
		return errors.New("no expiry")
	}
	return claims.ValidateWithLeeway(jwt.Expected{Issuer: v.issuer, AnyAudience: jwt.Audience{audience}, Time: time.Now()}, 0)
}

// keysFor are the keys of the server, fetched anew if that one is not known.
func (v *verifier) keysFor(kid string) (jose.JSONWebKeySet, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.keys.Key(kid)) > 0 {
		return v.keys, nil
	}
	resp, err := direct.Get(v.keysURL)
	if err != nil {
		return v.keys, errUnavailable
	}
	defer resp.Body.Close()
	var keys jose.JSONWebKeySet
	if err := json.NewDecoder(resp.Body).Decode(&keys); err != nil {
		return v.keys, errUnavailable
	}
	v.keys = keys
	return keys, nil
}

package transport

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rebearer/rebearer/internal/claims"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// TokenEndpoint refreshes tokens with the refresh token grant (RFC 6749
// section 6) and revokes them (RFC 7009). It is a [tokencache.Refresher] and a
// [tokencache.Revoker].
//
// Each refresh is one request, but for a DPoP nonce that the server wants first
// (RFC 9449 section 8): no redirect is followed, nothing else is retried and no
// second way of client authentication is tried, since the refresh token may be
// spent by the first.
//
// Printing a TokenEndpoint shows no secret. In an unexported field of another
// struct it would: there fmt calls no method.
type TokenEndpoint struct {
	// URL is the token endpoint. It must be https, or of a loopback host.
	URL string
	// RevocationURL is the revocation endpoint (RFC 7009). If empty, Revoke
	// says so with reason.Endpoint: the server was not told.
	RevocationURL string

	// ClientID identifies the client.
	ClientID string
	// ClientSecret authenticates it. If empty, and Assertion is nil, the
	// client is public.
	ClientSecret string
	// Assertion returns a signed JWT for the audience (RFC 7523 section 2.2),
	// a new one for each call. Package clientassertion makes them.
	Assertion func(ctx context.Context, audience string) (string, error)
	// Audience is what Assertion is called with: the issuer, where the
	// authorization server asks for that. If empty, URL.
	Audience string
	// AuthMethod is the client authentication method by its registered name:
	// client_secret_basic, client_secret_post, private_key_jwt or none. If
	// empty, private_key_jwt with an Assertion, else client_secret_basic with
	// a ClientSecret, else none.
	AuthMethod string

	// Scope narrows what is asked for, names separated by spaces. If empty,
	// the scope stays as it is.
	Scope string
	// Resource is the resource indicator (RFC 8707) of the session's own
	// access token. If empty, none is sent, and the server decides.
	Resource string
	// ResourceScopes are for servers that know no resource parameter: for each
	// resource that is asked for, see [Transport].Resources, the scope that
	// asks for it. One that is not listed is asked for by its indicator.
	ResourceScopes map[string]string

	// DPoP binds the access tokens to the key of their session (RFC 9449), and
	// the refresh tokens of a public client, too. A session that has no key, or
	// has lost it, is given a new one, which a public client's server will
	// refuse. An answer with a token of another type is an error. If nil, the
	// tokens are bearer tokens.
	DPoP Prover

	// Dead lists the answers which prove that the grant is dead, beside the
	// standard's "invalid_grant": an error code such as "bad_refresh_token",
	// or one with its status, such as "400 invalid_request". An answer that
	// is not listed never ends a session.
	Dead []string

	// Base sends the requests. If nil, http.DefaultTransport. It must not be
	// a Transport.
	Base http.RoundTripper
	// InsecureNoTLS permits plain http to a host that is not loopback.
	InsecureNoTLS bool
}

// Refresh implements [tokencache.Refresher].
func (e *TokenEndpoint) Refresh(ctx context.Context, spent tokencache.Token) (tokencache.Token, error) {
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {spent.Refresh()}}
	e.ask(form, spent.Resource())
	a, key, err := e.present(ctx, form, spent)
	if err != nil {
		return tokencache.Token{}, err
	}
	m, bad := members(a.body)
	access, _ := m.text("access_token")
	if code := a.code(m, bad); a.status >= 300 || code != "" && !sendable(access) {
		return tokencache.Token{}, a.failure(code, append([]string{"invalid_grant"}, e.Dead...))
	}
	if bad != nil {
		return tokencache.Token{}, &tokencache.Error{Reason: reason.Malformed, Status: a.status, Err: bad}
	}
	return m.token(a.status, time.Now(), key)
}

// ask says what the access token is to be good for.
func (e *TokenEndpoint) ask(form url.Values, resource string) {
	scope, asked := e.ResourceScopes[resource]
	switch {
	case resource == "":
		scope, resource = e.Scope, e.Resource
	case asked:
		resource = ""
	}
	if scope != "" {
		form.Set("scope", scope)
	}
	if resource != "" {
		form.Set("resource", resource)
	}
}

// present sends the grant. With DPoP it is proved by the session's key, and sent
// once more if all the server wants is its nonce in the proof (RFC 9449 section
// 8): it has not looked at the grant.
func (e *TokenEndpoint) present(ctx context.Context, form url.Values, spent tokencache.Token) (*answer, crypto.Signer, error) {
	if e.DPoP == nil && isBound(spent) {
		return nil, nil, unbinding()
	}
	if e.DPoP == nil {
		a, err := e.post(ctx, e.URL, form, nil)
		return a, nil, err
	}
	key := spent.Key()
	if key == nil {
		var err error
		if key, err = e.DPoP.NewKey(); err != nil {
			return nil, nil, &tokencache.Error{Reason: reason.Configuration, Unsent: true, Err: err}
		}
	}
	for first := true; ; first = false {
		a, err := e.post(ctx, e.URL, form, key)
		if err != nil {
			return nil, nil, err
		}
		code := a.proofError()
		again := e.DPoP.Learn(a.from, a.header, key, code)
		if code != "use_dpop_nonce" || !again || !first {
			return a, key, nil
		}
	}
}

// Revoke implements [tokencache.Revoker]. It revokes the refresh token, and
// then the access token, which not every server lets be revoked.
func (e *TokenEndpoint) Revoke(ctx context.Context, t tokencache.Token) error {
	if e.RevocationURL == "" {
		return misconfigured("there is no revocation endpoint") // nothing was confirmed
	}
	var failed error
	if t.Refresh() != "" {
		failed = e.revoke(ctx, t.Refresh(), "refresh_token")
	}
	if t.Access() != "" {
		if err := e.revoke(ctx, t.Access(), "access_token"); t.Refresh() == "" {
			failed = err
		}
	}
	return failed
}

func (e *TokenEndpoint) revoke(ctx context.Context, token, hint string) error {
	a, err := e.post(ctx, e.RevocationURL, url.Values{"token": {token}, "token_type_hint": {hint}}, nil)
	if err != nil {
		return err
	}
	if a.status >= 300 {
		m, _ := members(a.body)
		return a.failure(m.code(), nil)
	}
	return nil
}

// post sends the form with the client's authentication (RFC 6749 section 2.3),
// and proves the key if there is one. Its error is a *tokencache.Error.
func (e *TokenEndpoint) post(ctx context.Context, to string, form url.Values, key crypto.Signer) (*answer, error) {
	u, bad := endpointURL(to, e.InsecureNoTLS)
	if bad != nil {
		return nil, bad
	}
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	if err := e.authenticate(ctx, header, form); err != nil {
		return nil, err
	}
	var sign func(*http.Request) error
	if key != nil {
		sign = func(req *http.Request) error { return prove(e.DPoP, req, key, "") }
	}
	a, failed := post(ctx, e.Base, u, header, form.Encode(), sign)
	if failed != nil {
		return nil, failed
	}
	return a, nil
}

func (e *TokenEndpoint) authenticate(ctx context.Context, header http.Header, form url.Values) error {
	method := e.AuthMethod
	switch {
	case method != "":
	case e.Assertion != nil:
		method = "private_key_jwt"
	case e.ClientSecret != "":
		method = "client_secret_basic"
	default:
		method = "none"
	}
	switch method {
	case "client_secret_basic":
		// The parts are form-urlencoded first (RFC 6749 section 2.3.1).
		r := http.Request{Header: header}
		r.SetBasicAuth(url.QueryEscape(e.ClientID), url.QueryEscape(e.ClientSecret))
		return nil
	case "client_secret_post":
		form.Set("client_secret", e.ClientSecret)
	case "private_key_jwt":
		if err := e.assert(ctx, form); err != nil {
			return err
		}
	case "none":
	default:
		return &tokencache.Error{Reason: reason.Configuration, Unsent: true,
			Err: fmt.Errorf("unknown client authentication method %q", method)}
	}
	if e.ClientID != "" {
		form.Set("client_id", e.ClientID)
	}
	return nil
}

func (e *TokenEndpoint) assert(ctx context.Context, form url.Values) error {
	if e.Assertion == nil {
		return &tokencache.Error{Reason: reason.Configuration, Unsent: true,
			Err: errors.New("private_key_jwt needs an Assertion")}
	}
	audience := e.Audience
	if audience == "" {
		audience = e.URL
	}
	jwt, err := e.Assertion(ctx, audience)
	if err != nil {
		return &tokencache.Error{Reason: reason.Configuration, Unsent: true, Err: err}
	}
	form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	form.Set("client_assertion", jwt)
	return nil
}

// token makes the Token of a successful answer (RFC 6749 section 5.1). By now
// the old refresh token is spent: nothing but the access token itself, and a
// type that we could not use it with, makes the answer worthless.
func (m object) token(status int, now time.Time, key crypto.Signer) (tokencache.Token, error) {
	malformed := func(why string) (tokencache.Token, error) {
		return tokencache.Token{}, &tokencache.Error{Reason: reason.Malformed, Status: status, Err: errors.New(why)}
	}
	access, ok := m.text("access_token")
	if !ok || !sendable(access) {
		return malformed("no usable access_token")
	}
	refresh, _ := m.text("refresh_token")
	if !keepable(refresh) {
		refresh = "" // the old one stays
	}
	// RFC 6749 section 7.1: must not be used. RFC 9449 section 5: nor one that
	// is less than was asked for.
	switch typ, ok := m.text("token_type"); {
	case key != nil && !strings.EqualFold(typ, "DPoP"):
		return malformed("token_type is not DPoP")
	case key == nil && ok && !isBearer(typ):
		return malformed("token_type is not Bearer")
	}
	f := tokencache.TokenFields{Access: access, Refresh: refresh, Issued: now, Expiry: m.in("expires_in", now), Key: key}
	for _, name := range []string{"refresh_token_expires_in", "refresh_expires_in"} {
		if f.RefreshExpiry.IsZero() {
			f.RefreshExpiry = m.in(name, now)
		}
	}
	if id, ok := m.text("id_token"); ok {
		f.Subject = claims.Parse(id).Subject
	}
	return tokencache.NewToken(f), nil
}

// Format prints no secret, whatever the verb.
func (e TokenEndpoint) Format(f fmt.State, _ rune) {
	io.WriteString(f, "TokenEndpoint(…)")
}

// LogValue logs no secret.
func (e TokenEndpoint) LogValue() slog.Value { return slog.StringValue("TokenEndpoint(…)") }

// MarshalJSON returns an error.
func (e TokenEndpoint) MarshalJSON() ([]byte, error) {
	return nil, errors.New("transport: a TokenEndpoint holds secrets and has no encoding")
}

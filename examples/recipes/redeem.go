package recipes

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/rebearer/rebearer/tokencache"
	"golang.org/x/oauth2"
)

var errRefused = errors.New("recipes: the provider signed nobody in")

// redeem exchanges the code, once, and nowhere that a redirect leads to.
func (l *Login) redeem(ctx context.Context, q, kept url.Values) (none tokencache.Token, err error) {
	var as map[string]any
	if err := l.Provider.Claims(&as); err != nil {
		return none, err
	}
	// Another server's code is not for this one's token endpoint (RFC 9207 section 2.4).
	if (q.Has("iss") || as["authorization_response_iss_parameter_supported"] == true) && q.Get("iss") != as["issuer"] {
		return none, fmt.Errorf("%w: the answer is another's", errRefused)
	}
	if q.Has("error") { // its error_description could be anybody's text
		return none, fmt.Errorf("%w: %.40q", errRefused, q.Get("error"))
	}
	client := &http.Client{
		Transport: l.Base, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	var key crypto.Signer
	if l.Prover != nil {
		if key, err = l.Prover.NewKey(); err != nil {
			return none, err
		}
		client = l.Prover.Client(key, l.Base) // follows no redirect either
	}
	client.Timeout = 10 * time.Second
	ctx = oidc.ClientContext(ctx, client) // which x/oauth2 uses, too
	now := time.Now()
	t, err := l.Client.Exchange(ctx, q.Get("code"), oauth2.VerifierOption(kept.Get("verifier")))
	if e := (*oauth2.RetrieveError)(nil); errors.As(err, &e) { // whose own text has the body
		err = fmt.Errorf("the token endpoint answered %d %.40q", e.Response.StatusCode, e.ErrorCode)
		if e.ErrorCode == "invalid_grant" {
			err = fmt.Errorf("%w: %w", errRefused, err)
		}
	}
	if err != nil {
		return none, err
	}
	raw, _ := t.Extra("id_token").(string)
	id, err := l.Provider.Verifier(&oidc.Config{ClientID: l.Client.ClientID}).Verify(ctx, raw)
	if err == nil && id.Nonce != kept.Get("nonce") {
		err = fmt.Errorf("%w: the ID token is of another sign-in", errRefused)
	}
	if err != nil {
		return none, err
	}
	return tokencache.NewToken(tokencache.TokenFields{
		Access: t.AccessToken, Refresh: t.RefreshToken, Type: t.TokenType, Key: key,
		Issued: now, Expiry: t.Expiry, Subject: id.Subject,
	}), nil
}

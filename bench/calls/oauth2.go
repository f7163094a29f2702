package main

import (
	"context"
	"net/http"
	"time"

	"golang.org/x/oauth2"
)

// A Transport of x/oauth2 has one TokenSource, and so one user: a BFF has a
// Transport for each. Here there is one user, which is its best case. It looks
// at the expiry and at no 401.

var oauth2Static = contender{name: "x/oauth2, StaticTokenSource", renews: never, open: func(s *site) *door {
	source := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: s.user.first})
	return overHTTP(s.url, &oauth2.Transport{Source: source, Base: s.base}, http.NewRequestWithContext)
}}

var oauth2Reuse = contender{name: "x/oauth2, ReuseTokenSource", renews: never, open: func(s *site) *door {
	first := &oauth2.Token{AccessToken: s.user.first, Expiry: time.Now().Add(life)}
	source := oauth2.ReuseTokenSource(first, tokenSource{s.user})
	return overHTTP(s.url, &oauth2.Transport{Source: source, Base: s.base}, http.NewRequestWithContext)
}}

// tokenSource has a new token each time.
type tokenSource struct{ user *user }

func (t tokenSource) Token() (*oauth2.Token, error) {
	access, err := t.user.exchange(context.Background())
	return &oauth2.Token{AccessToken: access, Expiry: time.Now().Add(life)}, err
}

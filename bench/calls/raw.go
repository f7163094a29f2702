package main

import (
	"context"
	"io"
	"net/http"
)

// raw is what all are compared with: net/http, nobody is signed in.
var raw = contender{name: "net/http, unsigned", renews: never, anonymous: true, open: func(s *site) *door {
	return overHTTP(s.url, s.base, http.NewRequestWithContext)
}}

// byHand is what one writes without any library.
var byHand = contender{name: "net/http, signed by hand", renews: never, open: func(s *site) *door {
	token := s.user.first
	return overHTTP(s.url, s.base, func(ctx context.Context, method, url string, body io.Reader) (*http.Request, error) {
		req, err := http.NewRequestWithContext(ctx, method, url, body)
		if err == nil {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		return req, err
	})
}}

// cheat is the least that a signed call can cost: a RoundTripper that writes into
// the caller's request, which none may do (http.RoundTripper), and has all requests
// share one header.
var cheat = contender{name: "a RoundTripper that cheats", renews: never, open: func(s *site) *door {
	value := []string{"Bearer " + s.user.first}
	d := overHTTP(s.url, cheating{s.base, value, http.Header{"Authorization": value}}, http.NewRequestWithContext)
	d.trip = nil // alone it is but the base
	return d
}}

type cheating struct {
	base   http.RoundTripper
	value  []string
	header http.Header
}

func (c cheating) RoundTrip(req *http.Request) (*http.Response, error) {
	if len(req.Header) == 0 {
		req.Header = c.header
	} else {
		req.Header["Authorization"] = c.value
	}
	return c.base.RoundTrip(req)
}

package main

import (
	"log"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"
	"k8s.io/client-go/transport"
)

// The round trippers of client-go have one user, too.

var clientgoStatic = contender{name: "client-go, BearerAuth", renews: never, open: func(s *site) *door {
	return overHTTP(s.url, transport.NewBearerAuthRoundTripper(s.user.first, s.base), http.NewRequestWithContext)
}}

// clientgoFile reads its token from a file, again each minute.
var clientgoFile = contender{name: "client-go, BearerAuthWithRefresh", renews: never, open: func(s *site) *door {
	f, err := os.CreateTemp("", "token")
	if err != nil {
		log.Fatal(err)
	}
	f.WriteString(s.user.first)
	f.Close()
	end := s.close
	s.close = func() { os.Remove(f.Name()); end() }
	rt, err := transport.NewBearerAuthWithRefreshRoundTripper("", f.Name(), s.base)
	if err != nil {
		log.Fatal(err)
	}
	return overHTTP(s.url, rt, http.NewRequestWithContext)
}}

// clientgoSource drops its token when it meets a 401, for the call after that.
var clientgoSource = contender{name: "client-go, ResettableTokenSource", renews: nextTime, open: func(s *site) *door {
	source := transport.NewCachedTokenSource(&firstSource{user: s.user})
	return overHTTP(s.url, transport.ResettableTokenSourceWrapTransport(source)(s.base), http.NewRequestWithContext)
}}

// firstSource has the first token once, and then what the exchange brings.
type firstSource struct {
	user *user
	had  atomic.Bool
}

func (f *firstSource) Token() (*oauth2.Token, error) {
	if f.had.Swap(true) {
		return tokenSource{f.user}.Token()
	}
	return &oauth2.Token{AccessToken: f.user.first, Expiry: time.Now().Add(life)}, nil
}

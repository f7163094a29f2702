package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport"
)

// backend is where the authorization server and the API are.
type backend struct {
	api      string // base URL
	login    string
	refresh  string
	revoke   string // "" if there is nothing to tell of a logout
	verifier *middleware.Verifier
}

const (
	maxBody  = 16 << 20 // of a request, in bytes; as much is kept for a second attempt
	maxConns = 256      // to the API: a fanout of 1,000 must not use up the file descriptors
)

// connect finds the backend, or starts one.
func (b *bff) connect() {
	base, api := b.config.api, b.config.api
	if api == "" {
		b.demo = startDemo(&b.config, b.timeline)
		base, api = b.demo.as.URL, b.demo.api.URL // two servers, where others have one
	}
	or := func(v, otherwise string) string {
		if v == "" {
			return otherwise
		}
		return v
	}
	b.backend = backend{
		api: api, login: base + "/auth/login", refresh: base + "/auth/restore-token", revoke: base + "/auth/logout",
		verifier: b.config.verifier(),
	}
	if b.style == styleOAuth2 {
		b.backend.refresh = or(b.tokenURL, base+"/token")
		b.backend.login = b.backend.refresh
		b.backend.revoke = b.revokeURL
	}
	if b.demo != nil {
		b.backend.verifier = &middleware.Verifier{Algorithms: []string{"HS256"}, Key: b.demo.as.Key()}
		if b.style == styleOAuth2 {
			b.backend.revoke = b.demo.as.RevokeURL()
		}
	}
	if b.backend.revoke == "" {
		b.log.Warn("BFF_REVOKE_URL is not set: after a logout, the authorization server keeps the session")
	}
}

// verifier returns nil if nothing is said: then the API alone decides.
func (c *config) verifier() *middleware.Verifier {
	switch {
	case c.jwtSecret != "":
		return &middleware.Verifier{Algorithms: []string{"HS256"}, Key: []byte(c.jwtSecret)}
	case c.jwksURL != "":
		// No HS256: with it, whoever can read a public key could sign.
		return &middleware.Verifier{Algorithms: []string{"RS256", "PS256", "ES256", "EdDSA"}, JWKSURL: c.jwksURL}
	}
	return nil
}

// endpoint returns what refreshes and what revokes; there may be nothing that
// revokes.
func (b *bff) endpoint(base http.RoundTripper) (tokencache.Refresher, tokencache.Revoker) {
	if b.style == styleCookie {
		e := &transport.CookieEndpoint{URL: b.backend.refresh, LogoutURL: b.backend.revoke, Base: base}
		return e, e
	}
	e := &transport.TokenEndpoint{
		URL: b.backend.refresh, RevocationURL: b.backend.revoke,
		ClientID: b.clientID, ClientSecret: b.clientSecret, Base: base,
	}
	if b.backend.revoke == "" {
		return e, nil
	}
	return e, e
}

// base returns a pool of connections of its own.
func (b *bff) base() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 64
	t.ResponseHeaderTimeout = 30 * time.Second
	b.bases = append(b.bases, t)
	return t
}

// close ends what newBFF began.
func (b *bff) close() {
	b.timeline.close()
	for _, t := range b.bases {
		t.CloseIdleConnections()
	}
	if b.store != nil {
		b.store.close()
	}
	if b.demo != nil {
		b.demo.close()
	}
}

// shutdown lets requests end, and then the exchanges that outlive them: a
// successor that is not stored is a session that is lost.
func (b *bff) shutdown(server *http.Server) int {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err := server.Shutdown(ctx)
	if err != nil {
		server.Close()
	}
	if err = b.wait(ctx, err); err != nil {
		b.log.Error("not all that was going on has ended", "err", err)
		return 1
	}
	return 0
}

// wait waits for the exchanges of all replicas.
func (b *bff) wait(ctx context.Context, err error) error {
	for _, r := range b.replicas {
		err = errors.Join(err, r.coordinator.Wait(ctx))
	}
	return err
}

// originOf returns the origin of a URL that checkURL has let through.
func originOf(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// noRedirect hands a redirect on as it is, rather than a body or a password to
// where it leads.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// browsable returns the URL of a listener. That of one for all addresses leads
// to this machine.
func browsable(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return "http://127.0.0.1:" + port
	}
	return "http://" + a.String()
}

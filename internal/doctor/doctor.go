// Package doctor examines an authorization server: what it says of itself, and
// what it does to refresh tokens that somebody hands over to be spent on that.
//
// Everything goes through [wire], which counts each presentation of a token and
// refuses one that the [Plan] has not announced.
package doctor

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rebearer/rebearer/internal/origin"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport"
	"github.com/rebearer/rebearer/transport/clientassertion"
	"github.com/rebearer/rebearer/transport/dpop"
)

// Config says whom to examine, as which client, and with what.
type Config struct {
	// Issuer leads to the metadata. If empty, TokenURL is all that is known.
	Issuer string
	// TokenURL, RevocationURL and JWKSURL go before what the metadata say.
	TokenURL, RevocationURL, JWKSURL string
	// Cookie says that TokenURL is of the cookie style, and RevocationURL its
	// logout. The names are those of transport.CookieEndpoint.
	Cookie                                    bool
	AccessCookie, RefreshCookie, AccessMember string

	// ClientID and the rest are as in transport.TokenEndpoint. Key signs client
	// assertions, by Alg and with KeyID.
	ClientID, Secret string
	Key              crypto.Signer
	Alg, KeyID       string
	AuthMethod       string // if empty, what works
	Audience         string // of a client assertion. If empty, what works
	Scope, Resource  string
	DPoP             bool

	// Sessions are refresh tokens to be spent, each of a session of its own.
	Sessions []string
	// Logins is how many more sessions are to be made by signing in, at
	// RedirectURL. If that names no port, any free one is taken.
	Logins      int
	RedirectURL string

	// GraceLimit is for how long a second use of a refresh token is tried. If
	// zero, 30 s; if negative, only at once.
	GraceLimit time.Duration
	// Insecure permits plain http to a host that is not loopback.
	Insecure bool

	// Base sends the requests. If nil, a transport that keeps no connection:
	// on an old one net/http may send a request twice.
	Base http.RoundTripper
	// Wait waits. If nil, by the clock.
	Wait func(ctx context.Context, d time.Duration) error
	// Say is told what goes on, where that takes its time, and where to sign in.
	// If nil, nobody is.
	Say func(line string)
}

// A Doctor examines one authorization server, once. It is not safe for
// concurrent use.
type Doctor struct {
	config   Config
	wire     *wire
	secrets  *secrets
	metadata metadata
	endpoint interface {
		tokencache.Refresher
		tokencache.Revoker
	}
	signer   *clientassertion.Signer
	prover   *dpop.Prover
	sessions []tokencache.Token
	untold   bool // a wrong client and a made-up token are answered in the same way
	report   Report
}

// New checks the Config.
func New(c Config) (*Doctor, error) {
	switch {
	case c.Issuer == "" && c.TokenURL == "":
		return nil, errors.New("neither an issuer nor a token endpoint is given")
	case c.Cookie && c.TokenURL == "":
		return nil, errors.New("the cookie style has no metadata: the token endpoint is needed")
	case c.Logins > 0 && (c.Issuer == "" || c.Cookie):
		return nil, errors.New("signing in needs the issuer, whose metadata say where")
	case c.Logins < 0 || c.Logins > maxLogins:
		return nil, fmt.Errorf("sign-ins: 1 to %d", maxLogins)
	case !c.Cookie && c.ClientID == "" && len(c.Sessions)+c.Logins > 0:
		return nil, errors.New("a refresh token is a client's: the client ID is needed")
	case !slices.Contains([]string{"", "client_secret_basic", "client_secret_post", "private_key_jwt", "none"}, c.AuthMethod):
		return nil, fmt.Errorf("unknown client authentication method %q", c.AuthMethod)
	case c.AuthMethod == "private_key_jwt" && c.Key == nil, strings.HasPrefix(c.AuthMethod, "client_secret") && c.Secret == "":
		return nil, fmt.Errorf("%s needs its secret or key", c.AuthMethod)
	}
	for _, u := range []string{c.Issuer, c.TokenURL, c.RevocationURL, c.JWKSURL} {
		if err := safe(u, c.Insecure); err != nil {
			return nil, err
		}
	}
	for i, s := range c.Sessions {
		if slices.Contains(c.Sessions[:i], s) {
			return nil, fmt.Errorf("refresh token %d is the same as one before: each has to be of a session of its own", i+1)
		}
	}
	if c.GraceLimit == 0 {
		c.GraceLimit = 30 * time.Second
	}
	if c.Wait == nil {
		c.Wait = wait
	}
	if c.Say == nil {
		c.Say = func(string) {}
	}
	d := &Doctor{config: c, secrets: &secrets{}}
	d.secrets.add(c.Secret)
	d.wire = &wire{base: c.Base, secrets: d.secrets, cookie: refreshCookie(c)}
	if c.Base == nil {
		d.wire.base = &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, ResponseHeaderTimeout: patience}
	}
	for _, s := range c.Sessions {
		d.secrets.add(s)
		d.sessions = append(d.sessions, tokencache.NewToken(tokencache.TokenFields{Refresh: s}))
	}
	if c.Key != nil {
		d.signer = &clientassertion.Signer{ClientID: c.ClientID, Key: c.Key, Alg: c.Alg, KeyID: c.KeyID}
	}
	if c.DPoP {
		d.prover = &dpop.Prover{}
	}
	return d, nil
}

const patience = 20 * time.Second

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// safe reports what is wrong with sending a secret to a URL; "" is no URL.
func safe(raw string, insecure bool) error {
	if raw == "" {
		return nil
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.Fragment != "":
		return errors.New("a URL has to be absolute, of https, and without user or fragment")
	case u.Scheme == "http" && !insecure && !origin.Loopback(u):
		return fmt.Errorf("%s is plain http to another machine: whoever is in between reads along (-insecure permits it)", raw)
	}
	return nil
}

func refreshCookie(c Config) string {
	switch {
	case !c.Cookie:
		return ""
	case c.RefreshCookie == "":
		return "refreshToken"
	}
	return c.RefreshCookie
}

// Examine does what the Plan says: nothing of it is harmless. Look comes first.
func (d *Doctor) Examine(ctx context.Context) error {
	if d.metadata.TokenURL == "" {
		return errors.New("there is no token endpoint to examine")
	}
	d.endpointOf("", "")
	if err := d.probe(ctx); err != nil {
		return err
	}
	if err := d.logIn(ctx); err != nil {
		return err
	}
	d.spend(ctx)
	d.report.Spent = d.wire.spent
	return ctx.Err()
}

// spend uses up the sessions. What may end all sessions of a user comes last,
// and what was revoked is presented after that.
func (d *Doctor) spend(ctx context.Context) {
	var other, revoked tokencache.Token
	var met, gone bool
	if len(d.sessions) > 2 {
		d.wire.allow(1, 0)
		other, met = d.meet(ctx, d.sessions[2])
	}
	if len(d.sessions) > 1 {
		d.wire.allow(revocationMost-1, 1)
		revoked, gone = d.revocation(ctx, d.sessions[1])
	}
	if len(d.sessions) > 0 {
		d.wire.allow(reuseMost(d.config.GraceLimit), 0)
		d.reuse(ctx, d.sessions[0])
	}
	if met {
		d.wire.allow(1, 0)
		d.neighbour(ctx, other)
	}
	if gone {
		d.wire.allow(1, 0)
		d.afterRevocation(ctx, revoked)
	}
	d.wire.allow(0, 0)
}

// endpointOf makes the endpoint as it is configured for that method and
// audience, if they are not given.
func (d *Doctor) endpointOf(method, audience string) {
	c := d.config
	if c.Cookie {
		d.endpoint = &transport.CookieEndpoint{
			URL: d.metadata.TokenURL, LogoutURL: d.metadata.RevocationURL, Base: d.wire, InsecureNoTLS: c.Insecure,
			AccessCookie: c.AccessCookie, RefreshCookie: c.RefreshCookie, AccessMember: c.AccessMember,
		}
		return
	}
	d.endpoint = d.tokenEndpoint(method, audience, c.ClientID, c.Secret, d.signer)
}

func (d *Doctor) tokenEndpoint(method, audience, clientID, secret string, signer *clientassertion.Signer) *transport.TokenEndpoint {
	e := &transport.TokenEndpoint{
		URL: d.metadata.TokenURL, RevocationURL: d.metadata.RevocationURL, Base: d.wire, InsecureNoTLS: d.config.Insecure,
		ClientID: clientID, ClientSecret: secret, AuthMethod: method, Audience: audience,
		Scope: d.config.Scope, Resource: d.config.Resource,
	}
	if signer != nil {
		e.Assertion = signer.Assertion
	}
	if d.prover != nil {
		e.DPoP = d.prover
	}
	return e
}

// Format prints nothing: a Doctor holds tokens.
func (d *Doctor) Format(f fmt.State, _ rune) { io.WriteString(f, "Doctor(…)") }

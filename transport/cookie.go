package transport

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/rebearer/rebearer/internal/claims"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// CookieEndpoint refreshes tokens at a backend that keeps them in cookies: a
// POST with the refresh token as its one cookie is answered with the access
// token in JSON, and with Set-Cookie for what has changed. It is a
// [tokencache.Refresher] and a [tokencache.Revoker].
//
// The refresh token is the value of its cookie as that was written: if it was in
// quotes, they are a part of it (RFC 6265 section 4.1.1), which a program that
// signs in finds in [http.Cookie].Quoted.
//
// Each call is one request, as with a [TokenEndpoint]. No other cookie of the
// browser is sent, and only the two that are named here are read.
type CookieEndpoint struct {
	// URL refreshes, such as "https://api.example.com/auth/restore-token". It
	// must be https, or of a loopback host.
	URL string
	// LogoutURL ends the session. If empty, Revoke says so with
	// reason.Endpoint: the backend was not told.
	LogoutURL string

	// AccessCookie and RefreshCookie are the names of the cookies. If empty,
	// "accessToken" and "refreshToken".
	AccessCookie, RefreshCookie string
	// AccessMember is the JSON member that holds the access token. If empty,
	// "accessToken". The access token's cookie is taken where there is none.
	AccessMember string

	// Dead lists the answers which prove that the session is dead, as in
	// [TokenEndpoint].Dead, where a bare status such as "401" is good as
	// well. If nil, "401" and "403".
	Dead []string

	// Base sends the requests. If nil, http.DefaultTransport. It must not be
	// a Transport.
	Base http.RoundTripper
	// InsecureNoTLS permits plain http to a host that is not loopback.
	InsecureNoTLS bool
}

// Refresh implements [tokencache.Refresher].
func (e *CookieEndpoint) Refresh(ctx context.Context, spent tokencache.Token) (tokencache.Token, error) {
	if isBound(spent) {
		return tokencache.Token{}, unbinding()
	}
	if spent.Resource() != "" {
		return tokencache.Token{}, &tokencache.Error{Reason: reason.Configuration, Unsent: true,
			Err: errors.New("the cookie style has one access token, and none for a further resource")}
	}
	a, err := e.post(ctx, e.URL, spent)
	if err != nil {
		return tokencache.Token{}, err
	}
	m, bad := members(a.body)
	now := time.Now()
	set := a.cookies(now)
	accessCookie := set[name(e.AccessCookie, "accessToken")]
	access, _ := m.text(name(e.AccessMember, "accessToken"))
	if !sendable(access) || bad != nil {
		access = accessCookie.value
	}
	if code := a.code(m, bad); a.status >= 300 || code != "" && !sendable(access) {
		dead := e.Dead
		if dead == nil {
			dead = []string{"401", "403"}
		}
		return tokencache.Token{}, a.failure(code, dead)
	}
	if !sendable(access) {
		return tokencache.Token{}, &tokencache.Error{Reason: reason.Malformed, Status: a.status,
			Err: errors.New("no usable access token")}
	}
	f := tokencache.TokenFields{Access: access, Issued: now}
	if accessCookie.value == access && claims.Parse(access).Expiry.IsZero() {
		f.Expiry = accessCookie.ends // a cookie may outlive the token in it
	}
	if r := set[name(e.RefreshCookie, "refreshToken")]; keepable(r.value) {
		f.Refresh, f.RefreshExpiry = r.written, r.ends
	}
	return tokencache.NewToken(f), nil
}

// Revoke implements [tokencache.Revoker]: it logs out.
func (e *CookieEndpoint) Revoke(ctx context.Context, t tokencache.Token) error {
	if e.LogoutURL == "" {
		return misconfigured("there is no logout endpoint") // nothing was confirmed
	}
	if t.Refresh() == "" {
		return nil
	}
	a, err := e.post(ctx, e.LogoutURL, t)
	if err != nil {
		return err
	}
	// A backend that no longer knows the session has nothing left to end.
	if a.status >= 300 && a.status != http.StatusUnauthorized {
		return a.failure("", nil)
	}
	return nil
}

// post sends the refresh token as the only cookie. Its error is a
// *tokencache.Error.
func (e *CookieEndpoint) post(ctx context.Context, to string, t tokencache.Token) (*answer, error) {
	u, bad := endpointURL(to, e.InsecureNoTLS)
	if bad != nil {
		return nil, bad
	}
	c := http.Cookie{Name: name(e.RefreshCookie, "refreshToken"), Value: t.Refresh()}
	if n := len(c.Value); n > 1 && c.Value[0] == '"' && c.Value[n-1] == '"' {
		c.Value = c.Value[1 : n-1] // is what has to be valid
	}
	if c.Valid() != nil {
		return nil, &tokencache.Error{Reason: reason.Unrecognised, Unsent: true, Err: tokencache.ErrMalformedToken}
	}
	// Written as it is: what came from a cookie goes back the same, in quotes if
	// those were there (RFC 6265 sections 4.1.1 and 5.4).
	a, failed := post(ctx, e.Base, u, http.Header{"Cookie": {c.Name + "=" + t.Refresh()}}, "", nil)
	if failed != nil {
		return nil, failed
	}
	return a, nil
}

type setCookie struct {
	value        string
	written      string // value, in quotes if those were there
	ends         time.Time
	domain, path string
}

// cookies returns the cookies that the answer sets, without those that it
// deletes. The last one of a name counts. Deleting one leaves alone what has the
// same name but another domain or path (RFC 6265 section 5.3), as when a
// backend sets a cookie and clears where it used to be.
func (a *answer) cookies(now time.Time) map[string]setCookie {
	set := map[string]setCookie{}
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		ends := c.Expires
		if c.MaxAge > 0 {
			ends = now.Add(time.Duration(min(c.MaxAge, int(tenYears.Seconds()))) * time.Second)
		}
		if c.MaxAge < 0 || c.Value == "" || !ends.IsZero() && !ends.After(now) {
			if was := set[c.Name]; was.domain == c.Domain && was.path == c.Path {
				delete(set, c.Name)
			}
			continue
		}
		written := c.Value
		if c.Quoted {
			written = `"` + c.Value + `"`
		}
		set[c.Name] = setCookie{c.Value, written, ends, c.Domain, c.Path}
	}
	return set
}

func name(n, otherwise string) string {
	if n == "" {
		return otherwise
	}
	return n
}

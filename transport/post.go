package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rebearer/rebearer/internal/origin"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// answer is what came back from the authorization server.
type answer struct {
	from   *url.URL
	status int
	header http.Header
	body   []byte
}

// maxAnswer bounds an answer after decompression, in bytes.
const maxAnswer = 1 << 20

// post sends one request to the authorization server, exactly once. It calls
// the RoundTripper itself: an http.Client would follow a redirect and hand the
// refresh token to wherever that leads (RFC 9700 section 4.12), and would add
// cookies of its own. sign, if there is one, adds to the header in the end.
func post(ctx context.Context, base http.RoundTripper, to *url.URL, header http.Header, form string, sign func(*http.Request) error) (*answer, *tokencache.Error) {
	if base == nil {
		base = http.DefaultTransport
	}
	// The token leaves this machine only once there is a connection. net/http
	// looks for another one if the first turns out to be of no use, but only
	// if nothing was written to it.
	var unsent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { unsent.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { unsent.Store(false) },
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), strings.NewReader(form))
	if err != nil {
		return nil, misconfigured("invalid URL of the token endpoint")
	}
	req.Header = header
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Cache-Control", "no-store") // whatever stands between must not answer
	if sign != nil {
		if err := sign(req); err != nil {
			return nil, &tokencache.Error{Reason: reason.Configuration, Unsent: true, Err: err}
		}
	}
	resp, err := answered(base.RoundTrip(req))
	if err != nil {
		e := broken(ctx, err)
		e.Unsent = unsent.Load() || e.Reason.Misconfigured()
		if !e.Unsent {
			e.Err = told(err)
		}
		return nil, e
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil && resp.StatusCode < 300:
		e := broken(ctx, err)
		e.Status, e.Err = resp.StatusCode, told(err)
		return nil, e
	case len(body) > maxAnswer:
		body = nil
	}
	return &answer{sentTo(req), resp.StatusCode, resp.Header, body}, nil
}

// proofError returns what the answer finds wrong with the DPoP proof (RFC 9449
// sections 5 and 8), or "".
func (a *answer) proofError() string {
	if a.status != http.StatusBadRequest && a.status != http.StatusUnauthorized {
		return ""
	}
	m, _ := members(a.body)
	switch code := m.code(); code {
	case "use_dpop_nonce", "invalid_dpop_proof":
		return code
	}
	return ""
}

// broken classifies an error of the network.
func broken(ctx context.Context, err error) *tokencache.Error {
	e := &tokencache.Error{Reason: reason.Network, Err: err}
	switch {
	case errors.Is(err, tokencache.ErrReentrant):
		e.Reason = reason.Configuration
	case ctx.Err() != nil, isTimeout(err):
		e.Reason = reason.Timeout
	}
	return e
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

var errBroken = errors.New("the connection broke, or what came over it was not HTTP")

// told returns err if its text is that of the network alone. Others quote what
// they stumbled over, which may be an answer with tokens.
func told(err error) error {
	var op *net.OpError
	switch {
	case errors.As(err, &op):
		return op
	case isTimeout(err), errors.Is(err, errNoAnswer), errors.Is(err, context.Canceled), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return err
	}
	return errBroken
}

func misconfigured(why string) *tokencache.Error {
	return &tokencache.Error{Reason: reason.Endpoint, Unsent: true, Err: errors.New(why)}
}

// endpointURL parses the URL of an endpoint, which must be such that a secret
// may be sent there.
func endpointURL(raw string, insecure bool) (*url.URL, *tokencache.Error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, misconfigured("the URL of the endpoint must be absolute, of https")
	case u.User != nil || u.Fragment != "":
		return nil, misconfigured("the URL of the endpoint must have neither userinfo nor fragment")
	case u.Scheme == "http" && !insecure && !origin.Loopback(u):
		return nil, &tokencache.Error{Reason: reason.Endpoint, Unsent: true, Err: ErrInsecure}
	}
	return u, nil
}

// code returns the error code of an answer, m being what could be read of it. Half
// of a success proves no failure: who knows what the other half says.
func (a *answer) code(m object, bad error) string {
	if bad != nil && a.status < 300 {
		return ""
	}
	return m.code()
}

// failure classifies an answer that is no success. Which answers prove that
// the grant is dead differs from server to server, and no status code does so
// by itself: what is not known to be dead is not dead.
func (a *answer) failure(code string, dead []string) *tokencache.Error {
	e := &tokencache.Error{Status: a.status, Code: plain(code), RetryAfter: retryAfter(a.header.Get("Retry-After"), time.Now())}
	e.Unsent = a.proofError() == "use_dpop_nonce" // the grant was not looked at
	switch {
	case a.status >= 500:
		e.Reason = reason.Unavailable
	case a.status == http.StatusTooManyRequests:
		e.Reason = reason.RateLimited
	case a.status == http.StatusRequestTimeout, a.status == http.StatusTooEarly:
		e.Reason = reason.Unavailable
	case isDead(a.status, code, dead):
		e.Reason = reason.Refused
	case isClientRefused(code):
		e.Reason = reason.ClientRefused
	case a.status >= 300 && a.status < 400,
		a.status == http.StatusNotFound, a.status == http.StatusMethodNotAllowed, a.status == http.StatusGone:
		e.Reason = reason.Endpoint
	default:
		e.Reason = reason.Unrecognised
	}
	return e
}

// plain returns code if it looks like one, else "": the text of an error holds
// no prose of somebody else.
func plain(code string) string {
	if len(code) > 64 || strings.Trim(code, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") != "" {
		return ""
	}
	return code
}

// isDead matches an answer against entries such as "invalid_grant", "401" and
// "400 invalid_request".
func isDead(status int, code string, dead []string) bool {
	number := strconv.Itoa(status)
	for _, d := range dead {
		if d != "" && (d == code || d == number || d == number+" "+code) {
			return true
		}
	}
	return false
}

// isClientRefused reports whether a code of RFC 6749 section 5.2 or RFC 8707
// section 2 blames the client and not the grant.
func isClientRefused(code string) bool {
	switch code {
	case "invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope", "invalid_target":
		return true
	}
	return false
}

// retryAfter reads a Retry-After header (RFC 9110 section 10.2.3): seconds or
// a date.
func retryAfter(v string, now time.Time) time.Duration {
	s, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
	if err == nil || errors.Is(err, strconv.ErrRange) { // which is a long time, too
		return time.Duration(min(max(s, 0), 1<<31)) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

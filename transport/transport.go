package transport

import (
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rebearer/rebearer/internal/challenge"
	"github.com/rebearer/rebearer/internal/origin"
	"github.com/rebearer/rebearer/internal/reentry"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// ErrInsecure is returned for a request that would send a token over plain
// http to another machine; see [Transport].InsecureNoTLS.
var ErrInsecure = errors.New("rebearer: refusing to send a token over plain http")

// Transport is an http.RoundTripper that signs requests with the access token
// of their context (RFC 6750 section 2.1). If the API answers 401, it has the
// token refreshed, once however many requests are hit, and sends the request a
// second time. The second answer is passed on, whatever it is.
//
// Which user's token a request gets follows from its context alone, see
// [tokencache.NewContext], so one Transport and its connection pool serve all
// users. A request passes through untouched if its context carries no Cache,
// if its URL is not of an allowed origin, if a redirect has led it away from
// the allowed origins before, or if it has an Authorization header of its own.
//
// A 401 is an answer and not an error: it is returned if the refresh fails, if
// the body cannot be sent again, or if a refresh would not help. Why a refresh
// failed is told by [tokencache.Cache.Err]. An error is returned if the access
// token is known to have ended and no other could be had, since there is then
// no answer to return.
//
// A Transport is safe for concurrent use and must not be copied or changed
// after first use.
type Transport struct {
	// Base sends the requests. If nil, http.DefaultTransport.
	Base http.RoundTripper

	// Origins are where the tokens may go, such as "https://api.example.com"
	// or "http://127.0.0.1:8080": scheme, host and port, compared exactly. If
	// empty, and Resources too, no request is signed.
	Origins []string

	// InsecureNoTLS permits tokens over plain http to hosts that are not
	// loopback: 127.0.0.0/8, ::1, and localhost in no other spelling, since
	// net/http asks HTTP_PROXY for LOCALHOST and api.localhost. Whoever can
	// listen on the way has them.
	InsecureNoTLS bool

	// MaxBody is how much of a request body is kept for a second attempt, in
	// bytes, where the request has no GetBody. A longer body is sent once,
	// and its 401 is returned. If zero, 1 MiB; if negative, nothing is kept.
	MaxBody int64

	// Resources name the origins whose APIs want an access token of their own,
	// with the resource indicator (RFC 8707) that it is asked for by. It is
	// had with the session's one refresh token. They need not stand in
	// Origins; an origin that does not stand here gets the session's own
	// access token.
	Resources map[string]string

	// DPoP proves possession of the key of a token that is bound to one (RFC
	// 9449 section 7). Without it a request with such a token is not sent but
	// returns an error. Other tokens need none.
	DPoP Prover

	// Unauthorized reports whether an answer means that the access token was
	// rejected. It must not read the body. If nil, that is status 401.
	Unauthorized func(*http.Response) bool

	once    sync.Once
	origins atomic.Pointer[origin.Set]
	bad     error // of Origins
}

const (
	defaultMaxBody = 1 << 20
	// patience is how long a second attempt waits for the first one's 401 to
	// be read to its end, and then for its request body to be closed.
	patience = time.Second
)

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, base := req.Context(), t.base()
	if reentry.Marked(ctx) {
		return nil, closing(req, tokencache.ErrReentrant)
	}
	cache := tokencache.FromContext(ctx)
	if cache == nil || req.URL == nil {
		return base.RoundTrip(req)
	}
	origins, err := t.allowed()
	resource, allowed := origins.Lookup(req.URL)
	if err == nil && (!allowed || strayed(req, origins)) {
		return base.RoundTrip(req)
	}
	if err == nil && cache.Token().IsZero() {
		return base.RoundTrip(req) // nobody is signed in
	}
	if err == nil && req.URL.Scheme == "http" && !t.InsecureNoTLS && !origin.Loopback(req.URL) {
		err = ErrInsecure
	}
	signed, theirs := copyOf(req, base)
	if theirs {
		return base.RoundTrip(req)
	}
	if err != nil {
		return nil, closing(req, err)
	}
	token, err := cache.FreshFor(ctx, resource)
	if err != nil {
		return nil, closing(req, endOr(ctx, err))
	}
	if token.Access() == "" {
		return base.RoundTrip(req) // nor can there be one
	}
	a := attempt{t: t, base: base, req: req, signed: signed, bound: isBound(token)}
	return a.serve(cache, token)
}

// rejected reports whether a refresh may help. Where another proof does not, the
// token may be bound to another key than we have.
func (t *Transport) rejected(resp *http.Response) bool {
	if !t.unauthorized(resp) {
		return false
	}
	v := challenge.Decide(resp.Header).Verdict
	return v == challenge.Refresh || v == challenge.Proof
}

func (t *Transport) unauthorized(resp *http.Response) bool {
	if t.Unauthorized != nil {
		return t.Unauthorized(resp)
	}
	return resp.StatusCode == http.StatusUnauthorized
}

func (t *Transport) base() http.RoundTripper {
	if t.Base != nil {
		return t.Base
	}
	return http.DefaultTransport
}

// allowed returns the parsed Origins.
func (t *Transport) allowed() (*origin.Set, error) {
	if s := t.origins.Load(); s != nil {
		return s, nil
	}
	t.once.Do(func() {
		s, err := origin.Parse(t.Origins, t.Resources)
		if err != nil {
			t.bad = &tokencache.Error{Reason: reason.Configuration, Err: err}
			return
		}
		t.origins.Store(s)
	})
	return t.origins.Load(), t.bad
}

// CloseIdleConnections closes those of Base.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.base().(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// closing closes the body of a request that is not sent, and returns err.
func closing(req *http.Request, err error) error {
	if req.Body != nil {
		req.Body.Close()
	}
	return err
}

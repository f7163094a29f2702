package transport_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/internal/leak"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport"
)

func TestMain(m *testing.M) { leak.Main(m) }

// endpoint is what both endpoints are.
type endpoint interface {
	tokencache.Refresher
	tokencache.Revoker
}

// style is one of the two ways to refresh.
type style struct {
	name string
	new  func(*authtest.AS) endpoint
	at   func(url string, base http.RoundTripper) endpoint
}

var grantStyle = style{
	name: "grant",
	new: func(as *authtest.AS) endpoint {
		return &transport.TokenEndpoint{URL: as.TokenURL(), RevocationURL: as.RevokeURL(), ClientID: "bff", Base: as.Transport()}
	},
	at: func(url string, base http.RoundTripper) endpoint {
		return &transport.TokenEndpoint{URL: url, RevocationURL: url, ClientID: "bff", Base: base}
	},
}

var cookieStyle = style{
	name: "cookie",
	new: func(as *authtest.AS) endpoint {
		return &transport.CookieEndpoint{URL: as.RestoreURL(), LogoutURL: as.LogoutURL(), Base: as.Transport()}
	},
	at: func(url string, base http.RoundTripper) endpoint {
		return &transport.CookieEndpoint{URL: url, LogoutURL: url, Base: base}
	},
}

func bothStyles(t *testing.T, f func(t *testing.T, s style)) {
	for _, s := range []style{grantStyle, cookieStyle} {
		t.Run(s.name, func(t *testing.T) { f(t, s) })
	}
}

// world is an authorization server, an API, and a program between them.
type world struct {
	as          *authtest.AS
	api         *authtest.API
	base        *http.Transport
	coordinator *tokencache.Coordinator
	transport   *transport.Transport
	client      *http.Client
}

func newWorld(t *testing.T, s style, config authtest.ASConfig) *world {
	t.Helper()
	w := &world{as: authtest.NewAS(config)}
	t.Cleanup(w.as.Close)
	w.api = w.as.NewAPI()
	t.Cleanup(w.api.Close)
	e := s.new(w.as)
	w.coordinator = &tokencache.Coordinator{Refresher: e, Revoker: e}
	settle(t, w.coordinator)
	w.base = w.api.Transport()
	w.transport = &transport.Transport{Base: w.base, Origins: []string{w.api.URL}}
	w.client = &http.Client{Transport: w.transport}
	return w
}

// settle has the exchanges end before the servers do.
func settle(t *testing.T, c *tokencache.Coordinator) {
	t.Cleanup(func() { c.Wait(context.Background()) })
}

// signIn returns the context of a request that shows a new session's tokens.
func (w *world) signIn(user string) (context.Context, *tokencache.Cache) {
	return w.show(w.as.SignIn(user))
}

func (w *world) show(token tokencache.Token) (context.Context, *tokencache.Cache) {
	cache := tokencache.New(w.coordinator, token)
	return tokencache.NewContext(context.Background(), cache), cache
}

func (w *world) get(t *testing.T, ctx context.Context, path string) answer {
	t.Helper()
	return call(t, w.client, newRequest(ctx, "GET", w.api.URL+path, nil))
}

// rig is an API of a few lines, for what authtest's does not do. Its tokens are
// called access-0, access-1 and so on.
type rig struct {
	issuer      *issuer
	url         string
	server      *httptest.Server
	base        *http.Transport
	coordinator *tokencache.Coordinator
	transport   *transport.Transport
	client      *http.Client
	cache       *tokencache.Cache
	ctx         context.Context
	left        chan struct{} // closed by a test when its request has ended
}

func newRig(t *testing.T, api http.HandlerFunc) *rig {
	t.Helper()
	return newRigOn(t, httptest.NewUnstartedServer(api))
}

func newRigOn(t *testing.T, server *httptest.Server) *rig {
	t.Helper()
	r := &rig{issuer: &issuer{}, server: server}
	switch {
	case server.URL != "":
	case server.EnableHTTP2:
		server.StartTLS()
	default:
		server.Start()
	}
	t.Cleanup(server.Close)
	r.url = server.URL
	r.base = server.Client().Transport.(*http.Transport)
	r.coordinator = &tokencache.Coordinator{Refresher: r.issuer}
	settle(t, r.coordinator)
	r.transport = &transport.Transport{Base: r.base, Origins: []string{r.url}}
	r.client = &http.Client{Transport: r.transport}
	r.cache = tokencache.New(r.coordinator, r.issuer.token(0))
	r.ctx = tokencache.NewContext(context.Background(), r.cache)
	return r
}

func newHTTP2Rig(t *testing.T, api http.HandlerFunc) *rig {
	t.Helper()
	server := httptest.NewUnstartedServer(api)
	server.EnableHTTP2 = true
	return newRigOn(t, server)
}

func (r *rig) get(t *testing.T) answer {
	t.Helper()
	return call(t, r.client, newRequest(r.ctx, "GET", r.url, nil))
}

func (r *rig) wantRefreshes(t *testing.T, n int) {
	t.Helper()
	equal(t, "refreshes", int(r.issuer.calls.Load()), n)
}

// issuer is a Refresher that exchanges refresh-0 and access-0 for refresh-1 and
// access-1, and so on.
type issuer struct {
	calls  atomic.Int32
	before func(context.Context) error
}

func (*issuer) token(n int32) tokencache.Token {
	return tokencache.NewToken(tokencache.TokenFields{
		Access: fmt.Sprint("access-", n), Refresh: fmt.Sprint("refresh-", n), Issued: time.Now(),
	})
}

func (i *issuer) Refresh(ctx context.Context, _ tokencache.Token) (tokencache.Token, error) {
	n := i.calls.Add(1)
	if i.before != nil {
		if err := i.before(ctx); err != nil {
			return tokencache.Token{}, err
		}
	}
	return i.token(n), nil
}

// refresherFunc is a Refresher.
type refresherFunc func(context.Context, tokencache.Token) (tokencache.Token, error)

func (f refresherFunc) Refresh(ctx context.Context, t tokencache.Token) (tokencache.Token, error) {
	return f(ctx, t)
}

// stale reports whether the request has the token that a rig starts with.
func stale(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer access-0" }

// echo answers with the body, its length and its framing, but 401 to a stale
// token after it has read the body.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("X-Length", fmt.Sprint(r.ContentLength))
	w.Header().Set("X-Framing", fmt.Sprint(r.TransferEncoding))
	if stale(r) {
		unauthorized(w)
		return
	}
	w.Write(body)
}

func unauthorized(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	w.WriteHeader(http.StatusUnauthorized)
	io.WriteString(w, "who are you?")
}

// baseFunc is a Base.
type baseFunc func(*http.Request) (*http.Response, error)

func (f baseFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// recorder is a Base that keeps the Authorization headers that it was given.
type recorder struct {
	http.RoundTripper
	mu   sync.Mutex
	seen []string
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	r.seen = append(r.seen, strings.Join(req.Header["Authorization"], "|"))
	r.mu.Unlock()
	if r.RoundTripper == nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: req}, nil
	}
	return r.RoundTripper.RoundTrip(req)
}

// newRequest makes every other request by the second door: what holds for any
// request holds for those of NewRequest.
func newRequest(ctx context.Context, method, url string, body io.Reader) *http.Request {
	made := http.NewRequestWithContext
	if doors.Add(1)%2 == 0 {
		made = transport.NewRequest
	}
	req, err := made(ctx, method, url, body)
	if err != nil {
		panic(err)
	}
	return req
}

var doors atomic.Int64

func mustParse(raw string) *url.URL {
	u, err := url.Parse(raw)
	if err != nil {
		panic(err)
	}
	return u
}

// unrewindable hides what http.NewRequest would make GetBody of.
func unrewindable(body []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(body)) }

// answer is an answer that was read to its end.
type answer struct {
	*http.Response
	status int
	body   string
}

// call may be used in any goroutine: an error makes an answer of status 0.
func call(t *testing.T, client *http.Client, req *http.Request) answer {
	t.Helper()
	a, err := try(client, req)
	if err != nil {
		t.Error(err)
	}
	return a
}

func try(client *http.Client, req *http.Request) (answer, error) {
	resp, err := client.Do(req)
	if err != nil {
		return answer{Response: &http.Response{}}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp, resp.StatusCode, string(body)}, err
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func wantStatus(t *testing.T, a answer, status int) {
	t.Helper()
	equal(t, "status", a.status, status)
}

func wantPresentations(t *testing.T, as *authtest.AS, n int) {
	t.Helper()
	equal(t, "presentations", as.Counts().Presentations, n)
}

// newSession returns the context of a session of its own, whose token is stale.
func newSession(r *rig) context.Context {
	n := sessions.Add(1)
	token := tokencache.NewToken(tokencache.TokenFields{Access: "access-0", Refresh: fmt.Sprint("refresh of session ", n)})
	return tokencache.NewContext(context.Background(), tokencache.New(r.coordinator, token))
}

var sessions atomic.Int32

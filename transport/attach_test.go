package transport_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httputil"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/internal/reentry"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
	"github.com/rebearer/rebearer/transport"
)

// B1
func TestTheCallersRequestStaysAsItWas(t *testing.T) {
	r := newRig(t, echo)
	// A Base that adds headers, as tracing does.
	r.transport.Base = baseFunc(func(req *http.Request) (*http.Response, error) {
		req.Header.Add("X-Trace", "added")
		req.Header.Set("Authorization-Info", "added")
		return r.base.RoundTrip(req)
	})
	body := io.NopCloser(strings.NewReader("body"))
	req := newRequest(r.ctx, "POST", r.url+"/path?query", body)
	req.Header["X-Trace"] = append(make([]string, 0, 8), "mine") // with room for more
	req.Header.Set("Connection", "close")
	before, header := *req, maps.Clone(req.Header)

	stop, reader := make(chan struct{}), sync.WaitGroup{}
	reader.Go(func() { // for the race detector
		for {
			select {
			case <-stop:
				return
			default:
				req.Header.Clone()
				_ = req.Header["X-Trace"][:1:8][:8][1] // what lies behind is the caller's, too
				_ = req.URL.String()
			}
		}
	})
	resp, err := r.transport.RoundTrip(req)
	close(stop)
	reader.Wait()
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	wantStatus(t, answer{status: resp.StatusCode}, 200)
	r.wantRefreshes(t, 1) // so it was sent twice
	if !reflect.DeepEqual(req.Header, header) || req.Body != before.Body || req.URL != before.URL ||
		req.GetBody != nil || req.ContentLength != before.ContentLength || req.Host != before.Host {
		t.Errorf("the request has changed: %v", req.Header)
	}
	equal(t, "the room behind a header", req.Header["X-Trace"][:2][1], "")
}

// B2, T-C9
func TestARequestWithItsOwnAuthorizationIsNotOurs(t *testing.T) {
	for _, name := range []string{"Authorization", "authorization", "AUTHORIZATION"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Seen"] = r.Header["Authorization"]
				unauthorized(w)
			})
			req := newRequest(r.ctx, "GET", r.url, nil)
			req.Header[name] = []string{"Basic b3duOm93bg=="}
			a := call(t, r.client, req)
			wantStatus(t, a, 401)
			equal(t, "Authorization", strings.Join(a.Header["Seen"], "|"), "Basic b3duOm93bg==")
			r.wantRefreshes(t, 0)
		})
	}
	t.Run("userinfo in the URL, which http.Client makes one of", func(t *testing.T) {
		r := newRig(t, func(w http.ResponseWriter, r *http.Request) { unauthorized(w) })
		u := mustParse(r.url)
		wantStatus(t, call(t, r.client, newRequest(r.ctx, "GET", "http://user:pw@"+u.Host, nil)), 401)
		r.wantRefreshes(t, 0)
	})
}

// B6, T-I4
func TestNothingLeadsBackToTheSignedCopy(t *testing.T) {
	r := newRig(t, echo)
	for name, body := range map[string]io.Reader{"without": nil, "with": strings.NewReader("x")} {
		t.Run(name+" a body", func(t *testing.T) {
			req := newRequest(r.ctx, "POST", r.url, body)
			resp, err := r.transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.Request != req || resp.Request.Header.Get("Authorization") != "" {
				t.Error("resp.Request is not the caller's")
			}
			dump, err := httputil.DumpRequestOut(resp.Request, false)
			if err != nil || bytes.Contains(dump, []byte("access-")) {
				t.Errorf("a dump of resp.Request: %s, %v", dump, err)
			}
		})
	}
	t.Run("in the second 401", func(t *testing.T) {
		r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { unauthorized(w) })
		req := newRequest(r.ctx, "GET", r.url, nil)
		resp, err := r.transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.Request != req {
			t.Error("resp.Request is not the caller's")
		}
	})
	t.Run("with http.Client.Timeout, which copies the request", func(t *testing.T) {
		client := &http.Client{Transport: r.transport, Timeout: 1e10}
		a := call(t, client, newRequest(r.ctx, "GET", r.url, nil))
		equal(t, "Authorization", a.Request.Header.Get("Authorization"), "")
	})
}

// closes is a body that counts how often it is closed.
type closes struct {
	io.Reader
	n atomic.Int32
}

func (c *closes) Close() error { c.n.Add(1); return nil }

// B7: net/http closes a body that it was given at its own time, but what never
// reaches it is closed before RoundTrip returns.
func TestTheBodyIsClosedOnEveryPath(t *testing.T) {
	failing := func(context.Context) error { return errors.New("no") }
	for _, test := range []struct {
		name   string
		change func(*rig, *http.Request) *http.Request
		err    error // nil: there is an answer
	}{
		{"the token is replaced", same, nil},
		{"no Cache in the context", func(_ *rig, req *http.Request) *http.Request { return req.WithContext(context.Background()) }, nil},
		{"the refresh fails", func(r *rig, req *http.Request) *http.Request { r.issuer.before = failing; return req }, nil},
		{"too long to be kept", func(r *rig, req *http.Request) *http.Request { r.transport.MaxBody = 2; return req }, nil},
		{"no token can be had", func(r *rig, req *http.Request) *http.Request {
			r.issuer.before = failing
			return onlyRefresh(r, req, "refresh-0")
		}, errAny},
		{"inside an exchange", func(_ *rig, req *http.Request) *http.Request { return req.WithContext(reentry.Mark(req.Context())) },
			tokencache.ErrReentrant},
		{"plain http", func(r *rig, req *http.Request) *http.Request {
			r.transport.Origins = []string{"http://api.example"}
			req.URL = mustParse("http://api.example/")
			return req
		}, transport.ErrInsecure},
		{"origins that are none", func(r *rig, req *http.Request) *http.Request { r.transport.Origins = []string{"x"}; return req }, errAny},
		{"a token that cannot be sent", func(r *rig, req *http.Request) *http.Request {
			return withToken(r, req, tokencache.TokenFields{Access: "a\r\nb"})
		}, tokencache.ErrMalformedToken},
		{"the context has ended", func(r *rig, req *http.Request) *http.Request {
			ctx, cancel := context.WithCancel(req.Context())
			cancel()
			return req.WithContext(ctx)
		}, context.Canceled},
		{"nobody listens", func(r *rig, req *http.Request) *http.Request { r.server.Close(); return req }, errAny},
	} {
		for _, rewindable := range []bool{false, true} {
			t.Run(test.name, func(t *testing.T) {
				r := newRig(t, echo)
				body := &closes{Reader: strings.NewReader("body")}
				req := newRequest(r.ctx, "POST", r.url, body)
				if rewindable {
					req.GetBody = func() (io.ReadCloser, error) { return unrewindable([]byte("body")), nil }
				}
				resp, err := r.transport.RoundTrip(test.change(r, req))
				switch {
				case test.err == nil && err == nil:
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				case (err == nil) != (test.err == nil), test.err != errAny && !errors.Is(err, test.err):
					t.Fatalf("%v, want %v", err, test.err)
				}
				if n := body.n.Load(); n != 1 && !rewindable || n == 0 {
					t.Errorf("closed %d times", n)
				}
			})
		}
	}
}

// errAny is for an error of no particular kind.
var errAny = errors.New("any")

func same(_ *rig, req *http.Request) *http.Request { return req }

func withToken(r *rig, req *http.Request, f tokencache.TokenFields) *http.Request {
	cache := tokencache.New(r.coordinator, tokencache.NewToken(f))
	return req.WithContext(tokencache.NewContext(req.Context(), cache))
}

func onlyRefresh(r *rig, req *http.Request, token string) *http.Request {
	return withToken(r, req, tokencache.TokenFields{Refresh: token})
}

// B9, T-A5
func TestATokenThatMayNotStandInAHeaderIsNotSent(t *testing.T) {
	for name, token := range map[string]string{
		"CR LF":             "a\r\nX-Evil: 1",
		"LF":                "a\nb",
		"NUL":               "a\x00b",
		"a space":           "a b",
		"DEL":               "a\x7f",
		"beyond ASCII":      "tökén",
		"more than 64 KiB":  strings.Repeat("x", 64<<10+1),
		"a tab at its end":  "a\t",
		"only a line break": "\n",
	} {
		t.Run(name, func(t *testing.T) {
			var seen recorder
			tr := &transport.Transport{Base: &seen, Origins: []string{"https://h"}}
			cache := tokencache.New(nil, tokencache.NewToken(tokencache.TokenFields{Access: token}))
			_, err := tr.RoundTrip(newRequest(tokencache.NewContext(t.Context(), cache), "GET", "https://h/", nil))
			if !errors.Is(err, tokencache.ErrMalformedToken) || strings.Contains(err.Error(), token) {
				t.Errorf("%v", err)
			}
			equal(t, "requests", len(seen.seen), 0)
		})
	}
}

// B10
func TestWithoutATokenARequestPassesThrough(t *testing.T) {
	for name, change := range map[string]func(*rig, *http.Request) *http.Request{
		"no Cache": func(_ *rig, req *http.Request) *http.Request { return req.WithContext(context.Background()) },
		"a nil Cache": func(_ *rig, req *http.Request) *http.Request {
			return req.WithContext(tokencache.NewContext(context.Background(), nil))
		},
		"an empty Cache": func(r *rig, req *http.Request) *http.Request { return withToken(r, req, tokencache.TokenFields{}) },
		"no origins":     func(r *rig, req *http.Request) *http.Request { r.transport.Origins = nil; return req },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { unauthorized(w) })
			seen := &recorder{RoundTripper: r.base}
			r.transport.Base = seen
			resp, err := r.transport.RoundTrip(change(r, newRequest(r.ctx, "GET", r.url, nil)))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			equal(t, "status", resp.StatusCode, 401)
			equal(t, "Authorization", strings.Join(seen.seen, ","), "")
			r.wantRefreshes(t, 0)
		})
	}
}

// B10
func TestBaseIsTheDefaultTransportAndItsIdleConnectionsAreClosed(t *testing.T) {
	r := newRig(t, echo)
	r.transport.Base = nil
	wantStatus(t, r.get(t), 200)

	base := &idleCloser{RoundTripper: r.base}
	(&transport.Transport{Base: base}).CloseIdleConnections()
	equal(t, "calls", base.n, 1)
	(&transport.Transport{Base: baseFunc(nil)}).CloseIdleConnections() // has none
	(&http.Client{Transport: r.transport}).CloseIdleConnections()
}

type idleCloser struct {
	http.RoundTripper
	n int
}

func (c *idleCloser) CloseIdleConnections() { c.n++ }

// T-A6: RFC 9110 section 7.6.1
func TestOurHeaderCannotBeNamedHopByHop(t *testing.T) {
	for _, test := range []struct {
		name, key string
		values    []string
		want      []string
	}{
		{"alone", "Connection", []string{"Authorization"}, nil},
		{"among others", "Connection", []string{"keep-alive, authorization , X-Mine"}, []string{"keep-alive, X-Mine"}},
		{"on a line of its own", "Connection", []string{"X-Mine", "AUTHORIZATION"}, []string{"X-Mine"}},
		{"under a key in lower case", "connection", []string{"authorization"}, nil},
		{"not at all", "Connection", []string{"close"}, []string{"close"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			tr := &transport.Transport{Origins: []string{"https://h"}, Base: baseFunc(func(req *http.Request) (*http.Response, error) {
				got = req.Header[test.key]
				return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
			})}
			cache := tokencache.New(nil, tokencache.NewToken(tokencache.TokenFields{Access: "a"}))
			req := newRequest(tokencache.NewContext(t.Context(), cache), "GET", "https://h/", nil)
			req.Header[test.key] = test.values
			if _, err := tr.RoundTrip(req); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("Connection: %q, want %q", got, test.want)
			}
		})
	}
}

// B1: what http.NewRequest fills in may be missing.
func TestARequestOfFewWords(t *testing.T) {
	r := newRig(t, echo)
	resp, err := r.transport.RoundTrip((&http.Request{URL: mustParse(r.url)}).WithContext(r.ctx))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	equal(t, "status", resp.StatusCode, 200)
	r.wantRefreshes(t, 1)

	if _, err := r.transport.RoundTrip((&http.Request{Header: http.Header{}}).WithContext(r.ctx)); err == nil {
		t.Error("a request without a URL was sent")
	}
}

// A stub of somebody's test may leave the body out, which http.Client forgives.
func TestAnAnswerWithoutABody(t *testing.T) {
	r := newRig(t, echo)
	r.transport.Base = baseFunc(func(req *http.Request) (*http.Response, error) {
		if stale(req) {
			return &http.Response{StatusCode: 401}, nil
		}
		return &http.Response{StatusCode: 200}, nil
	})
	wantStatus(t, r.get(t), 200)
}

// B10: the context decides, also that of a copy of the request.
func TestTheContextOfTheRequestDecidesWhoseTokenItGets(t *testing.T) {
	w := newWorld(t, grantStyle, authtest.ASConfig{})
	ann, _ := w.signIn("ann")
	bob, _ := w.signIn("bob")
	req := newRequest(ann, "GET", w.api.URL+"/users/me", nil)
	for user, ctx := range map[string]context.Context{"ann": ann, "bob": bob} {
		a := call(t, w.client, req.Clone(ctx))
		equal(t, "user", a.Header.Get(authtest.UserHeader), user)
	}
}

// As http.Client says it, which is above and too late.
func TestABaseThatReturnsNothingIsAnError(t *testing.T) {
	r := newRig(t, nil)
	r.transport.Base = baseFunc(func(*http.Request) (*http.Response, error) { return nil, nil })
	resp, err := r.transport.RoundTrip(newRequest(r.ctx, "GET", r.url, nil))
	if resp != nil || err == nil {
		t.Errorf("%v, %v", resp, err)
	}
	bothStyles(t, func(t *testing.T, s style) {
		_, err := s.at("https://as.example/", r.transport.Base).Refresh(t.Context(), (&issuer{}).token(0))
		if e := wantReason(t, err, reason.Network); e.Unsent {
			t.Error("nobody knows whether it was sent")
		}
	})
}

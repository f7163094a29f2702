package main

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/rebearer/rebearer/tokencache"
)

// visit is one request of a browser.
type visit struct {
	number int64
	cache  *tokencache.Cache // what its tokens were and became; nil if no session was asked for
}

// call is one call of the API, which may take two attempts.
type call struct{ attempts atomic.Int32 }

type (
	visitKey struct{}
	callKey  struct{}
)

// number returns " #12" for what happens on behalf of visit 12.
func number(ctx context.Context) string {
	if v, ok := ctx.Value(visitKey{}).(*visit); ok {
		return fmt.Sprintf(" #%d", v.number)
	}
	return ""
}

// watch notes each request and what became of it. It goes around everything, so
// that it sees the cookies that the Authenticator sets.
func (t *timeline) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.mu.Lock()
		t.visits++
		v := &visit{number: t.visits}
		t.mu.Unlock()
		began := time.Now()
		t.add(laneBrowser, "start", "#%d %s %s", v.number, r.Method, r.URL.Path)
		a := &answer{ResponseWriter: w}
		defer func() { // also for a handler that panics to cut the connection
			kind, cookies := v.outcome(a)
			t.add(laneBrowser, kind, "#%d %s %s: %s after %d ms%s", v.number, r.Method, r.URL.Path,
				status(a.status), time.Since(began).Milliseconds(), cookies)
		}()
		next.ServeHTTP(a, r.WithContext(context.WithValue(r.Context(), visitKey{}, v)))
		a.note(http.StatusOK) // what net/http sends for a handler that wrote nothing
	})
}

// watchCache shows the visit its Cache. It goes inside of the Authenticator,
// which makes that.
func watchCache(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if v, ok := r.Context().Value(visitKey{}).(*visit); ok {
			v.cache = tokencache.FromContext(r.Context())
		}
		next.ServeHTTP(w, r)
	})
}

// outcome says what the answer did to the cookies.
func (v *visit) outcome(a *answer) (kind, text string) {
	_, changed := v.cache.Changed()
	switch {
	case a.cleared:
		return "cleared", ", cookies cleared"
	case a.set && changed && !v.cache.Presented():
		return "cookies", ", new cookies set: the successor was known already"
	case a.set:
		return "cookies", ", new cookies set"
	case changed:
		return "parked", ", too late for cookies: the next request gets them"
	}
	return "end", ""
}

// answer notes the status and what becomes of cookies, at the moment when the
// header goes out. What it does not wrap is found through Unwrap.
type answer struct {
	http.ResponseWriter
	status       int
	set, cleared bool
}

func (a *answer) note(status int) {
	if a.status != 0 || status < 200 && status != http.StatusSwitchingProtocols {
		return
	}
	a.status = status
	for _, line := range a.Header()["Set-Cookie"] {
		if c, err := http.ParseSetCookie(line); err == nil {
			a.set = a.set || c.MaxAge >= 0
			a.cleared = a.cleared || c.MaxAge < 0
		}
	}
}

func (a *answer) WriteHeader(status int) {
	a.note(status)
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	a.note(http.StatusOK)
	return a.ResponseWriter.Write(p)
}

// FlushError is for http.ResponseController.
func (a *answer) FlushError() error {
	a.note(http.StatusOK)
	return http.NewResponseController(a.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// calls goes around a Transport: what it marks as one call is told from a
// second call below, in attempts.
func (t *timeline) calls(next http.RoundTripper) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		return next.RoundTrip(r.WithContext(context.WithValue(r.Context(), callKey{}, new(call))))
	})
}

// attempts is the Base of a Transport: it notes what is really sent.
func (t *timeline) attempts(base http.RoundTripper) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		resp, err := base.RoundTrip(r)
		kind, again := "call", ""
		if c, ok := r.Context().Value(callKey{}).(*call); ok && c.attempts.Add(1) > 1 {
			kind, again = "replay", ", sent again"
		} else if err == nil && resp.StatusCode == http.StatusUnauthorized {
			kind = "unauthorized"
		}
		t.add(laneAPI, kind, "%s %s%s: %s%s", r.Method, r.URL.Path, again, outcome(resp, err), number(r.Context()))
		return resp, err
	})
}

// exchanges is the Base of a token endpoint. Whatever is sent to refreshURL
// presents a refresh token. No visit is named: the exchange belongs to none.
func (t *timeline) exchanges(base http.RoundTripper, refreshURL string) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		began := time.Now()
		refresh := r.URL.String() == refreshURL
		if refresh {
			t.add(laneAS, "presented", "a refresh token is presented")
		}
		resp, err := base.RoundTrip(r)
		ms := time.Since(began).Milliseconds()
		switch {
		case !refresh:
			t.add(laneAS, "revoked", "revocation: %s after %d ms", outcome(resp, err), ms)
		case err == nil && resp.StatusCode < 300:
			t.add(laneAS, "exchanged", "%s after %d ms: the successor is here", outcome(resp, err), ms)
		default:
			t.add(laneAS, "failed", "%s after %d ms: no successor", outcome(resp, err), ms)
		}
		return resp, err
	})
}

// signIns notes what is sent to sign somebody in.
func (t *timeline) signIns(base http.RoundTripper) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		resp, err := base.RoundTrip(r)
		t.add(laneAS, "signin", "sign-in: %s%s", outcome(resp, err), number(r.Context()))
		return resp, err
	})
}

// outcome quotes no error: its text is somebody else's.
func outcome(resp *http.Response, err error) string {
	if err != nil {
		return "no answer"
	}
	return status(resp.StatusCode)
}

func status(code int) string {
	if code == 0 {
		return "cut off"
	}
	return fmt.Sprintf("%d %s", code, http.StatusText(code))
}

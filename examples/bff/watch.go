package main

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

// visit is one request of a browser.
type visit struct {
	number  int64
	replica int
	calls   atomic.Int64
}

// call is one call of the API, which may take two attempts.
type call struct {
	number   int64
	attempts atomic.Int32
}

type (
	visitKey struct{}
	callKey  struct{}
)

// about returns an entry about what is done on behalf of a visit and a call.
func about(ctx context.Context, kind string) entry {
	e := entry{Kind: kind}
	if v, ok := ctx.Value(visitKey{}).(*visit); ok {
		e.Visit, e.Replica = v.number, v.replica
	}
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		e.Call = c.number
	}
	return e
}

// watch notes each request and what became of it. It goes around everything, so
// that it sees the cookies that the Authenticator sets.
func (t *timeline) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.mu.Lock()
		t.visits++
		t.running++
		v := &visit{number: t.visits}
		t.mu.Unlock()
		began := time.Now()
		ctx := context.WithValue(r.Context(), visitKey{}, v)
		a := &answer{ResponseWriter: w}
		defer func() { // also for a handler that panics to cut the connection
			e := about(ctx, kindEnd)
			e.Status, e.What = a.status, r.Method+" "+r.URL.Path
			t.add(e, began, "The browser's %s is answered %s after %d ms%s.", e.What, status(a.status),
				time.Since(began).Milliseconds(), a.cookies())
			t.mu.Lock()
			t.running--
			t.mu.Unlock()
		}()
		next.ServeHTTP(a, r.WithContext(ctx))
		a.note(http.StatusOK) // what net/http sends for a handler that wrote nothing
	})
}

// assign notes who serves a visit.
func (t *timeline) assign(r *http.Request, replica int) {
	v, ok := r.Context().Value(visitKey{}).(*visit)
	if !ok {
		return
	}
	v.replica = replica
	e := about(r.Context(), kindStart)
	e.What = r.Method + " " + r.URL.Path
	t.add(e, time.Time{}, "The browser sends %s.", e.What)
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

// cookies says what the answer does to those of the browser.
func (a *answer) cookies() string {
	switch {
	case a.set:
		return ", and sets cookies"
	case a.cleared:
		return ", and clears the cookies"
	}
	return ""
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
func (b *replica) calls(next http.RoundTripper) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		c := new(call)
		if v, ok := r.Context().Value(visitKey{}).(*visit); ok {
			c.number = v.calls.Add(1)
		}
		return next.RoundTrip(r.WithContext(context.WithValue(r.Context(), callKey{}, c)))
	})
}

// attempts is the Base of a Transport: it notes what is really sent, but for the
// second time, of which the Transport tells.
func (b *replica) attempts(base http.RoundTripper) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		if c, ok := r.Context().Value(callKey{}).(*call); ok && c.attempts.Add(1) > 1 {
			return base.RoundTrip(r)
		}
		began := time.Now()
		resp, err := base.RoundTrip(r)
		e := about(r.Context(), kindCall)
		e.What = r.Method + " " + r.URL.Path
		if err == nil {
			e.Status = resp.StatusCode
		}
		if e.Status == http.StatusUnauthorized {
			e.Kind = kindUnauthorized
		}
		b.timeline.add(e, began, "The API answers %s: %s.", e.What, outcome(resp, err))
		return resp, err
	})
}

// exchanges is the Base of a token endpoint. What is sent to its refresh URL
// presents a refresh token, of which the Coordinator tells when it is over. No
// visit is named: the exchange belongs to none.
func (b *replica) exchanges(base http.RoundTripper) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.URL.String() == b.backend.refresh {
			b.timeline.add(entry{Kind: kindPresenting, Replica: b.number}, time.Time{}, "A refresh token is presented.")
			return base.RoundTrip(r)
		}
		began := time.Now()
		resp, err := base.RoundTrip(r)
		b.timeline.add(entry{Kind: kindRevoked, Replica: b.number}, began, "The authorization server is told of the end of a session: %s.", outcome(resp, err))
		return resp, err
	})
}

// signingIn notes what is sent to sign somebody in.
func (b *replica) signingIn(base http.RoundTripper) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		began := time.Now()
		resp, err := base.RoundTrip(r)
		b.timeline.add(about(r.Context(), kindSignIn), began, "The authorization server is asked to sign somebody in: %s.", outcome(resp, err))
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
		return "with nothing, cut off"
	}
	return fmt.Sprintf("%d %s", code, http.StatusText(code))
}

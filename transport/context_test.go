package transport_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/internal/reentry"
	"github.com/rebearer/rebearer/tokencache"
)

// B21, B43, T-J7, T-D16: wherever a request waits, it ends with its context: at
// once, with that error, and with its body closed.
func TestARequestEndsWithItsContext(t *testing.T) {
	hang := func(r *rig, reached func()) {
		left := r.left
		r.issuer.before = func(context.Context) error { reached(); <-left; return nil }
	}
	for _, test := range []struct {
		name string
		// prepare has reached called when the request waits where it should.
		prepare func(r *rig, req *http.Request, reached func()) *http.Request
		api     func(w http.ResponseWriter, r *http.Request, reached func())
	}{
		{"waiting for a first token", func(r *rig, req *http.Request, reached func()) *http.Request {
			hang(r, reached)
			return onlyRefresh(r, req, "refresh-0")
		}, nil},
		{"waiting for the first answer", nil, func(_ http.ResponseWriter, r *http.Request, reached func()) {
			reached()
			<-r.Context().Done()
		}},
		{"reading the 401", nil, func(w http.ResponseWriter, r *http.Request, reached func()) {
			unauthorized(w)
			w.(http.Flusher).Flush()
			reached()
			<-r.Context().Done()
		}},
		{"waiting for the refresh", func(r *rig, req *http.Request, reached func()) *http.Request {
			hang(r, reached)
			return req
		}, func(w http.ResponseWriter, _ *http.Request, _ func()) { unauthorized(w) }},
		{"waiting for the second answer", nil, func(w http.ResponseWriter, r *http.Request, reached func()) {
			if stale(r) {
				unauthorized(w)
				return
			}
			reached()
			<-r.Context().Done()
		}},
	} {
		for _, how := range []string{"cancelled", "past its deadline", "past the client's timeout"} {
			t.Run(test.name+", "+how, func(t *testing.T) {
				t.Parallel()
				reached := make(chan struct{}, 2)
				arrive := func() { reached <- struct{}{} }
				r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
					io.Copy(io.Discard, r.Body)
					if test.api != nil {
						test.api(w, r, arrive)
					}
				})
				r.left = make(chan struct{}) // until then the exchange goes on
				client := *r.client
				ctx, cancel := context.WithCancel(r.ctx)
				defer cancel()
				want := context.DeadlineExceeded
				switch how {
				case "cancelled":
					want = context.Canceled
					go func() { <-reached; cancel() }()
				case "past its deadline":
					ctx, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
					defer cancel()
				default:
					client.Timeout = 50 * time.Millisecond
				}
				body := &closes{Reader: strings.NewReader("body")}
				req := newRequest(ctx, "POST", r.url, body)
				if test.prepare != nil {
					req = test.prepare(r, req, arrive)
				}
				began := time.Now()
				_, err := try(&client, req)
				if !errors.Is(err, want) {
					t.Errorf("%v, want %v", err, want)
				}
				if how != "cancelled" && !os.IsTimeout(err) {
					t.Errorf("%v is no timeout", err)
				}
				if waited := time.Since(began); waited > 3*time.Second {
					t.Errorf("left after %v", waited)
				}
				close(r.left)
				r.server.CloseClientConnections()
				r.coordinator.Wait(t.Context())
				if body.n.Load() == 0 {
					t.Error("the body is open")
				}
			})
		}
	}
}

// B20, B40: the exchange goes on, and serves the next call.
func TestTheRefreshOutlivesTheRequestThatBeganIt(t *testing.T) {
	r := newRig(t, echo)
	ctx, cancel := context.WithCancel(r.ctx)
	release := make(chan struct{})
	r.issuer.before = func(context.Context) error { cancel(); <-release; return nil }
	if _, err := try(r.client, newRequest(ctx, "GET", r.url, nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	close(release)
	wantStatus(t, r.get(t), 200)
	r.wantRefreshes(t, 1)
}

// B43: why a request was given up is told as net/http tells it.
func TestARequestEndsWithTheCauseOfItsContext(t *testing.T) {
	cause := errors.New("the browser has left")
	for name, wait := range map[string]func(*rig, *http.Request) *http.Request{
		"waiting for the refresh":     func(_ *rig, req *http.Request) *http.Request { return req },
		"waiting for a first token":   func(r *rig, req *http.Request) *http.Request { return onlyRefresh(r, req, "refresh-0") },
		"net/http, before it is sent": func(r *rig, req *http.Request) *http.Request { return req },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, echo)
			ctx, cancel := context.WithCancelCause(r.ctx)
			release := make(chan struct{})
			r.issuer.before = func(context.Context) error { cancel(cause); <-release; return nil }
			client := r.client
			if strings.HasPrefix(name, "net/http") {
				client = &http.Client{Transport: r.base}
				cancel(cause)
			}
			_, err := try(client, wait(r, newRequest(ctx, "GET", r.url, nil)))
			close(release)
			if !errors.Is(err, cause) {
				t.Errorf("%v, want %v", err, cause)
			}
		})
	}
}

// B84, T-B14: a Refresher that goes through the Transport.
func TestTheTransportRefusesToRunInsideAnExchange(t *testing.T) {
	var seen []any
	r := newRig(t, echo)
	type key struct{}
	r.coordinator.Refresher = refresherFunc(func(ctx context.Context, _ tokencache.Token) (tokencache.Token, error) {
		seen = append(seen, ctx.Value(key{}), tokencache.FromContext(ctx) != nil)
		_, err := try(r.client, newRequest(ctx, "POST", r.url+"/token", nil))
		return tokencache.Token{}, err
	})
	ctx := context.WithValue(r.ctx, key{}, "of the request")
	wantStatus(t, call(t, r.client, newRequest(ctx, "GET", r.url, nil)), 401)
	if err := r.cache.Err(); !errors.Is(err, tokencache.ErrReentrant) {
		t.Errorf("%v", err)
	}
	inner := reentry.Mark(r.ctx) // as a Store is called with
	for name, ctx := range map[string]context.Context{"a Cache outside": inner, "and one inside": tokencache.NewContext(inner, r.cache)} {
		if _, err := try(r.client, newRequest(ctx, "GET", r.url, nil)); !errors.Is(err, tokencache.ErrReentrant) {
			t.Errorf("with %s: %v", name, err)
		}
	}
	if len(seen) != 2 || seen[0] != nil || seen[1] != false {
		t.Errorf("the exchange sees %v of the request", seen)
	}
}

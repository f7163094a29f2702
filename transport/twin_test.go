package transport_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rebearer/rebearer/transport"
)

// made returns a request of NewRequest.
func made(t *testing.T, ctx context.Context, url string) *http.Request {
	t.Helper()
	req, err := transport.NewRequest(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

type tenant struct{}

// B1, B8: an http.Transport shows the request to the function that picks a proxy.
func TestAProxyFunctionMayWriteToTheHeader(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) { io.WriteString(w, req.Header.Get("X-Tenant")) })
	r.base.Proxy = func(req *http.Request) (*url.URL, error) {
		req.Header.Del("X-Tenant")
		if name, ok := req.Context().Value(tenant{}).(string); ok {
			req.Header.Set("X-Tenant", name)
		}
		return nil, nil
	}
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() { // for the race detector
			ctx, want := r.ctx, ""
			if i%2 == 0 {
				ctx, want = context.WithValue(r.ctx, tenant{}, "ann's"), "ann's"
			}
			equal(t, "tenant", call(t, r.client, made(t, ctx, r.url+"/")).body, want)
		})
	}
	all.Wait()
}

// A loop that makes each request with the context of the last one, as one that
// turns pages does, does not grow.
func TestRequestsThatAreMadeOfEachOtherDoNotAddUp(t *testing.T) {
	ctx, before := t.Context(), live()
	for range 10_000 {
		ctx = made(t, ctx, "https://api.example/").Context()
	}
	if grown := live() - before; grown > 1<<20 {
		t.Errorf("10,000 requests keep %d bytes", grown)
	}
	runtime.KeepAlive(ctx)
}

// A Conn that keeps the context it was dialled with keeps no body.
func TestTheContextOfARequestKeepsNoBody(t *testing.T) {
	r := newRig(t, echo)
	var kept []context.Context
	r.transport.Base = baseFunc(func(req *http.Request) (*http.Response, error) {
		kept = append(kept, req.Context())
		return r.base.RoundTrip(req)
	})
	var gone atomic.Bool
	func() {
		body := new([1 << 20]byte)
		runtime.AddCleanup(body, func(int) { gone.Store(true) }, 0)
		req := made(t, r.ctx, r.url+"/")
		req.Method, req.Body, req.ContentLength = "POST", unrewindable(body[:]), 1<<20
		call(t, r.client, req)
	}()
	for i := 0; !gone.Load() && i < 100; i++ {
		r.get(t) // the connection and the server have something else to remember
		runtime.GC()
	}
	if !gone.Load() {
		t.Error("1 MiB of a request that is over is kept")
	}
	runtime.KeepAlive(kept)
}

// ended is a context of the caller's that is no standard one.
type ended struct {
	context.Context
	done  chan struct{}
	calls atomic.Int32
}

func (c *ended) Done() <-chan struct{} { return c.done }
func (c *ended) AfterFunc(func()) func() bool {
	c.calls.Add(1)
	return func() bool { return true }
}

// What net/http derives from the context costs no goroutine that it would not:
// package context takes AfterFunc where there is one.
func TestAContextOfTheCallersKeepsItsAfterFunc(t *testing.T) {
	ctx := &ended{Context: t.Context(), done: make(chan struct{})}
	_, cancel := context.WithCancel(made(t, ctx, "https://api.example/").Context())
	defer cancel()
	equal(t, "calls of AfterFunc", ctx.calls.Load(), 1)
}

// A function of the caller's that sets what it may not is no reason to panic.
func TestAnAuthorizationHeaderThatComesBetweenTheSendings(t *testing.T) {
	r := newRig(t, echo)
	req := newRequest(r.ctx, "POST", r.url, strings.NewReader("body"))
	rewind := req.GetBody
	req.GetBody = func() (io.ReadCloser, error) {
		req.Header.Set("Authorization", "Basic own")
		return rewind()
	}
	wantStatus(t, call(t, r.client, req), 200)
}

// B2: not even what is wrong with our configuration keeps it from being sent.
func TestARequestWithItsOwnAuthorizationIsSentWhateverTheOrigins(t *testing.T) {
	r := newRig(t, echo)
	for _, origins := range [][]string{{"http://api.example"}, {"no origin"}, {"https://api.example"}} {
		for _, name := range []string{"Authorization", "authorization"} {
			rec := &recorder{}
			rt := &transport.Transport{Base: rec, Origins: origins}
			req := newRequest(r.ctx, "GET", "http://api.example/", nil)
			req.Header[name] = []string{"Basic own"}
			if _, err := rt.RoundTrip(req); err != nil {
				t.Errorf("origins %q: %v", origins, err)
			}
			equal(t, "sendings", len(rec.seen), 1)
		}
	}
}

package transport_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport"
)

// cost is what one call of f allocates, in pieces and in bytes.
type cost struct{ allocs, bytes float64 }

func costOf(f func()) cost {
	const runs = 1000
	bytes := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.TotalAlloc
	}
	allocs := testing.AllocsPerRun(runs, f)
	before := bytes()
	for range runs {
		f()
	}
	return cost{allocs, float64(bytes()-before) / runs}
}

// within checks what is added to bare.
func within(t *testing.T, what string, c, bare cost, allocs, bytes float64) {
	t.Helper()
	t.Logf("%s: %+.0f allocations, %+.0f bytes", what, c.allocs-bare.allocs, c.bytes-bare.bytes)
	if c.allocs-bare.allocs > allocs || c.bytes-bare.bytes > bytes {
		t.Errorf("%s may add %.0f allocations and %.0f bytes", what, allocs, bytes)
	}
}

func skipUnderRace(t *testing.T) {
	t.Helper()
	if underRace {
		t.Skip("the race detector allocates")
	}
}

// lasting returns a context whose token is good for an hour.
func lasting(ctx context.Context) context.Context {
	return tokencache.NewContext(ctx, tokencache.New(&tokencache.Coordinator{Refresher: &issuer{}}, tokencache.NewToken(tokencache.TokenFields{
		Access: "access", Refresh: "refresh", Issued: time.Now(), Expiry: time.Now().Add(time.Hour),
	})))
}

// Any request costs a shallow copy, and a copy of its header, which takes two
// allocations. The contract of http.RoundTripper allows no less.
func TestAllocAnyRequest(t *testing.T) {
	skipUnderRace(t)
	resp := &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}
	base := baseFunc(func(*http.Request) (*http.Response, error) { return resp, nil })
	for _, headers := range []int{0, 3, 7} {
		req, err := http.NewRequestWithContext(lasting(t.Context()), "GET", "https://api.example/users/me", nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range headers {
			req.Header.Set(fmt.Sprint("X-", i), "value")
		}
		send := func(rt http.RoundTripper) cost {
			return costOf(func() {
				if _, err := rt.RoundTrip(req); err != nil {
					t.Fatal(err)
				}
			})
		}
		bare := send(base)
		within(t, fmt.Sprintf("signing a request with %d headers", headers), send(&transport.Transport{Base: base, Origins: []string{"https://api.example"}}), bare, 3, 730)
		within(t, "passing one through", send(&transport.Transport{Base: base}), bare, 0, 0)
		req = req.WithContext(tokencache.NewContext(t.Context(), tokencache.New(&tokencache.Coordinator{}, tokencache.Token{})))
		within(t, "nobody's request", send(&transport.Transport{Base: base, Origins: []string{"https://api.example"}}), bare, 0, 0)
	}
}

// A request of NewRequest is made and signed with no more allocations than another
// one is made with, if its header is empty. A header takes two, for its copy.
func TestAllocNewRequest(t *testing.T) {
	skipUnderRace(t)
	base := wired()
	defer base.CloseIdleConnections()
	signing := &transport.Transport{Base: base, Origins: []string{"http://127.0.0.1"}}
	call := func(rt http.RoundTripper, headers int, of maker) cost {
		ctx, client := lasting(t.Context()), &http.Client{Transport: rt}
		return costOf(func() {
			req, err := of(ctx, "GET", "http://127.0.0.1/users/me?fields=name", nil)
			if err != nil {
				t.Fatal(err)
			}
			for i := range headers {
				req.Header["X-Name"[:5+i]] = []string{"value"}
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		})
	}
	for headers, added := range []float64{0, 2, 2} {
		bare := call(base, headers, http.NewRequestWithContext)
		within(t, fmt.Sprintf("NewRequest, %d headers", headers), call(signing, headers, transport.NewRequest), bare, added, 800)
		within(t, fmt.Sprintf("any request, %d headers", headers), call(signing, headers, http.NewRequestWithContext), bare, 3, 730)
	}
}

// B39: a body with GetBody is not copied.
func TestAllocBody(t *testing.T) {
	skipUnderRace(t)
	base := baseFunc(func(req *http.Request) (*http.Response, error) {
		io.Copy(io.Discard, req.Body)
		req.Body.Close()
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	})
	body := bytes.Repeat([]byte("x"), 1<<20)
	send := func(rt http.RoundTripper) cost {
		ctx := lasting(t.Context())
		return costOf(func() {
			req, err := http.NewRequestWithContext(ctx, "POST", "https://api.example/", bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := rt.RoundTrip(req); err != nil {
				t.Fatal(err)
			}
		})
	}
	within(t, "1 MiB with GetBody", send(&transport.Transport{Base: base, Origins: []string{"https://api.example"}}), send(base), 3, 1024)
}

// holding is a Refresher that waits to be let go.
type holding chan struct{}

func (h holding) Refresh(context.Context, tokencache.Token) (tokencache.Token, error) {
	<-h
	return tokencache.NewToken(tokencache.TokenFields{Access: "new", Refresh: "next"}), nil
}

// B14, B76: all who wait share the few goroutines of the exchange.
func TestAllocStorm(t *testing.T) {
	const n = 1000
	for name, shared := range map[string]bool{"one page": true, "a page each": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				held := make(holding)
				coordinator := &tokencache.Coordinator{Refresher: held, Timeout: time.Hour}
				rt := &transport.Transport{Origins: []string{"https://api.example"}, Base: baseFunc(func(req *http.Request) (*http.Response, error) {
					status := http.StatusUnauthorized
					if req.Header.Get("Authorization") == "Bearer new" {
						status = http.StatusOK
					}
					return &http.Response{StatusCode: status, ContentLength: 100, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(make([]byte, 100)))}, nil
				})}
				token := tokencache.NewToken(tokencache.TokenFields{Access: "old", Refresh: "refresh"})
				page := tokencache.New(coordinator, token)
				goroutines, memory := runtime.NumGoroutine(), live()
				var all sync.WaitGroup
				for range n {
					all.Go(func() {
						cache := page
						if !shared {
							cache = tokencache.New(coordinator, token)
						}
						resp, err := rt.RoundTrip(newRequest(tokencache.NewContext(context.Background(), cache), "GET", "https://api.example/", nil))
						if err != nil || resp.StatusCode != http.StatusOK {
							t.Errorf("%v, %v", resp, err)
						}
					})
				}
				synctest.Wait()
				extra, each := runtime.NumGoroutine()-goroutines-n, (live()-memory)/n
				t.Logf("%d requests wait with %d more goroutines, and take %d bytes each", n, extra, each)
				if extra > 4 || each > 10<<10 && !underRace {
					t.Errorf("more than 4 goroutines, or than 10 KB each")
				}
				close(held)
				all.Wait()
			})
		})
	}
}

// live is the memory in use, stacks included.
func live() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

func BenchmarkRoundTrip(b *testing.B) {
	resp := &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}
	tr := &transport.Transport{Origins: []string{"https://api.example"}, Base: baseFunc(func(*http.Request) (*http.Response, error) { return resp, nil })}
	for _, headers := range []int{0, 3, 7} {
		req := newRequest(lasting(b.Context()), "GET", "https://api.example/", nil)
		for i := range headers {
			req.Header.Set(fmt.Sprint("X-", i), "value")
		}
		b.Run(fmt.Sprint(headers, " headers"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tr.RoundTrip(req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

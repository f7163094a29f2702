package transport_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport"
)

// TestAllocHappyPath: a shallow copy of the request, and a copy of its header,
// which takes two. The contract of http.RoundTripper allows no less.
func TestAllocHappyPath(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates")
	}
	resp := &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}
	base := baseFunc(func(*http.Request) (*http.Response, error) { return resp, nil })
	tr := &transport.Transport{Base: base, Origins: []string{"https://api.example"}}
	coordinator := &tokencache.Coordinator{Refresher: &issuer{}}
	cache := tokencache.New(coordinator, tokencache.NewToken(tokencache.TokenFields{
		Access: "access", Refresh: "refresh", Issued: time.Now(), Expiry: time.Now().Add(time.Hour),
	}))
	req := newRequest(tokencache.NewContext(t.Context(), cache), "GET", "https://api.example/users/me", nil)
	req.Header = http.Header{"Accept": {"application/json"}, "User-Agent": {"test"}, "X-Request-Id": {"1"}}
	measure := func(rt http.RoundTripper) float64 {
		return testing.AllocsPerRun(1000, func() {
			if _, err := rt.RoundTrip(req); err != nil {
				t.Fatal(err)
			}
		})
	}
	alone, with := measure(base), measure(tr)
	t.Logf("%v allocations alone, %v with a Transport", alone, with)
	if with-alone > 3 {
		t.Errorf("%v allocations over Base, want 3", with-alone)
	}
	passed := measure(&transport.Transport{Base: base})
	equal(t, "allocations of what passes through", passed-alone, 0)
}

func BenchmarkHappyPath(b *testing.B) {
	resp := &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}
	tr := &transport.Transport{Origins: []string{"https://api.example"}, Base: baseFunc(func(*http.Request) (*http.Response, error) { return resp, nil })}
	cache := tokencache.New(&tokencache.Coordinator{}, tokencache.NewToken(tokencache.TokenFields{Access: "access", Refresh: "refresh"}))
	req := newRequest(tokencache.NewContext(b.Context(), cache), "GET", "https://api.example/", nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tr.RoundTrip(req); err != nil {
			b.Fatal(err)
		}
	}
}

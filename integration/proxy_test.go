package integration

import (
	"bytes"
	"crypto/sha256"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
)

// A countingProxy stands in front of the authorization server's token endpoint
// and counts how often which refresh token is presented. The server's own log
// would not do: it is the server that is counted against.
type countingProxy struct {
	// TokenURL is the token endpoint behind the proxy.
	TokenURL string

	mu    sync.Mutex
	shown map[[sha256.Size]byte]int
}

// proxy starts a counting proxy. Logins and everything else that the test does
// not count go to the server directly.
func (as *authServer) proxy(t testing.TB) *countingProxy {
	t.Helper()
	target, err := url.Parse(as.TokenURL)
	must(t, err)
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	forward := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			// The Host is the server's too: it is part of what a client assertion is for.
			r.SetURL(&url.URL{Scheme: target.Scheme, Host: target.Host})
		},
	}
	p := &countingProxy{shown: map[[sha256.Size]byte]int{}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.Path == target.Path {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				panic(http.ErrAbortHandler) // the caller left in mid-request
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			p.count(string(body))
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		srv.Close()
		transport.CloseIdleConnections()
	})
	p.TokenURL = srv.URL + target.Path
	return p
}

func (p *countingProxy) count(body string) {
	form, err := url.ParseQuery(body)
	if err != nil || form.Get("grant_type") != "refresh_token" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shown[sha256.Sum256([]byte(form.Get("refresh_token")))]++
}

// total is how many refreshes were asked for.
func (p *countingProxy) total() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, shown := range p.shown {
		n += shown
	}
	return n
}

// of is how often this refresh token was presented.
func (p *countingProxy) of(refreshToken string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.shown[sha256.Sum256([]byte(refreshToken))]
}

// reused is how many refresh tokens were presented more than once.
func (p *countingProxy) reused() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, shown := range p.shown {
		if shown > 1 {
			n++
		}
	}
	return n
}

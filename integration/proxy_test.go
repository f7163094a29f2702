package integration

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// A countingProxy is a proxy in the sense of RFC 9110 section 3.7, and counts how
// often which refresh token is presented. The client speaks to the authorization
// server by its own name, as the htu of a DPoP proof and the aud of a client
// assertion have to be. The server's own log would not do: it is the server that
// is counted against.
type countingProxy struct {
	// Transport goes through the proxy to the token endpoint, and to everything
	// else directly.
	*http.Transport
	// away: the proxy is not there, so that a server that is down refuses the
	// client's own connection.
	away atomic.Bool

	mu       sync.Mutex
	shown    map[[sha256.Size]byte]int
	demanded int // answers that demanded a nonce, and had not looked at the token
}

func newProxy(t testing.TB, tokenURL string) *countingProxy {
	t.Helper()
	token, err := url.Parse(tokenURL)
	must(t, err)
	p := &countingProxy{shown: map[[sha256.Size]byte]int{}}
	onward := &http.Transport{DisableKeepAlives: true} // Node ends an idle connection after 5 s, maybe while it is taken for the next request
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.forward(w, r, onward) }))
	through, err := url.Parse(srv.URL)
	must(t, err)
	p.Transport = &http.Transport{MaxIdleConnsPerHost: 64, Proxy: func(r *http.Request) (*url.URL, error) {
		if r.URL.Host == token.Host && r.URL.Path == token.Path && !p.away.Load() {
			return through, nil
		}
		return nil, nil
	}}
	t.Cleanup(func() {
		p.CloseIdleConnections()
		srv.Close()
		onward.CloseIdleConnections()
	})
	return p
}

// forward passes a request on. If there is no answer it breaks the connection:
// an answer of its own would be one that the server never gave.
func (p *countingProxy) forward(w http.ResponseWriter, r *http.Request, onward http.RoundTripper) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the caller left in mid-request
	}
	req, err := http.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), bytes.NewReader(body))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	req.Header = r.Header.Clone()
	resp, err := onward.RoundTrip(req)
	if err != nil {
		var op *net.OpError
		if !errors.As(err, &op) || op.Op != "dial" {
			p.count(r, body, nil) // the server may have seen it
		}
		panic(http.ErrAbortHandler)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	p.count(r, body, answer)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(resp.StatusCode)
	w.Write(answer)
}

func (p *countingProxy) count(r *http.Request, body, answer []byte) {
	form, err := url.ParseQuery(string(body))
	token := form.Get("refresh_token")
	if c, none := r.Cookie("refreshToken"); none == nil { // the cookie style
		token = c.Value
	} else if err != nil || form.Get("grant_type") != "refresh_token" {
		token = ""
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case r.Method != http.MethodPost:
	case strings.Contains(string(answer), "use_dpop_nonce"):
		p.demanded++
	case token != "":
		p.shown[sha256.Sum256([]byte(token))]++
	}
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

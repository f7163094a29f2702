package transport_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport"
)

// hop is a server that keeps the Authorization headers of the paths that it was
// asked for, and redirects where it is told to.
type hop struct {
	*httptest.Server
	mu   sync.Mutex
	to   map[string]string
	seen map[string]string
}

func newHop(t *testing.T, start func(*httptest.Server)) *hop {
	h := &hop{to: map[string]string{}, seen: map[string]string{}}
	h.Server = httptest.NewUnstartedServer(h)
	start(h.Server)
	t.Cleanup(h.Close)
	return h
}

func (h *hop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen[r.URL.Path] = r.Header.Get("Authorization")
	if to := h.to[r.URL.Path]; to != "" {
		http.Redirect(w, r, to, http.StatusTemporaryRedirect)
	}
}

// wantSigned checks the paths in turn; one that begins with "!" must have come
// without a token.
func (h *hop) wantSigned(t *testing.T, paths ...string) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, path := range paths {
		path, not := strings.CutPrefix(path, "!")
		got, came := h.seen[path]
		if want := (map[bool]string{false: "Bearer access", true: ""})[not]; !came || got != want {
			t.Errorf("%s came: %v, with %q, want %q", path, came, got, want)
		}
	}
}

// follow has an http.Client with a Transport for the origins follow redirects.
func follow(t *testing.T, base http.RoundTripper, from string, origins ...string) {
	t.Helper()
	client := &http.Client{Transport: &transport.Transport{Base: base, Origins: origins}}
	cache := tokencache.New(nil, tokencache.NewToken(tokencache.TokenFields{Access: "access"}))
	ctx := tokencache.NewContext(t.Context(), cache)
	wantStatus(t, call(t, client, newRequest(ctx, "POST", from, strings.NewReader("body"))), 200)
}

var plain = (*httptest.Server).Start

// B4, T-A2, T-A3: B differs from A in the port only, and net/http would go on
// sending what a caller had set.
func TestARedirectTakesNoTokenAlong(t *testing.T) {
	a, b := newHop(t, plain), newHop(t, plain)
	defer a.Client().CloseIdleConnections()
	a.to["/1"] = b.URL + "/2"
	follow(t, a.Client().Transport, a.URL+"/1", a.URL)
	a.wantSigned(t, "/1")
	b.wantSigned(t, "!/2")
}

// B4: golang/oauth2#805
func TestARedirectThatComesBackStaysStripped(t *testing.T) {
	a, b := newHop(t, plain), newHop(t, plain)
	a.to["/1"], b.to["/2"] = b.URL+"/2", a.URL+"/3"
	a.to["/3"] = a.URL + "/4"
	follow(t, a.Client().Transport, a.URL+"/1", a.URL)
	a.wantSigned(t, "/1", "!/3", "!/4")
	b.wantSigned(t, "!/2")
}

// B4
func TestARedirectBetweenAllowedOriginsKeepsTheToken(t *testing.T) {
	a, b := newHop(t, plain), newHop(t, plain)
	a.to["/1"], a.to["/2"], b.to["/3"] = "/2", b.URL+"/3", a.URL+"/4"
	follow(t, a.Client().Transport, a.URL+"/1", a.URL, b.URL)
	a.wantSigned(t, "/1", "/2", "/4")
	b.wantSigned(t, "/3")
}

// B4: whoever asks for a foreign page may be sent to an API path of the page's
// choice.
func TestARedirectFromElsewhereIsNotSigned(t *testing.T) {
	a, b := newHop(t, plain), newHop(t, plain)
	b.to["/1"] = a.URL + "/2"
	follow(t, a.Client().Transport, b.URL+"/1", a.URL)
	a.wantSigned(t, "!/2")
}

// B4, T-A3
func TestARedirectFromHTTPSToHTTPTakesNoTokenAlong(t *testing.T) {
	a, b := newHop(t, (*httptest.Server).StartTLS), newHop(t, plain)
	a.to["/1"], b.to["/2"] = b.URL+"/2", a.URL+"/3"
	follow(t, a.Client().Transport, a.URL+"/1", a.URL)
	a.wantSigned(t, "/1", "!/3")
	b.wantSigned(t, "!/2")
}

// B4: an answer need not say which request it is of, if Base does not.
func TestARedirectOfUnknownOriginIsNotSigned(t *testing.T) {
	a, b := newHop(t, plain), newHop(t, plain)
	a.to["/1"], b.to["/2"] = b.URL+"/2", a.URL+"/3"
	forgetful := baseFunc(func(req *http.Request) (*http.Response, error) {
		resp, err := a.Client().Transport.RoundTrip(req)
		if resp != nil {
			resp.Request = nil
		}
		return resp, err
	})
	follow(t, forgetful, a.URL+"/1", a.URL)
	a.wantSigned(t, "/1", "!/3")
}

// B4, B6: the second attempt's redirect is followed like the first one's.
func TestAReplayIsRedirectedWithoutItsToken(t *testing.T) {
	b := newHop(t, plain)
	r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
		if stale(r) {
			unauthorized(w)
			return
		}
		http.Redirect(w, r, b.URL+"/2", http.StatusFound)
	})
	wantStatus(t, r.get(t), 200)
	r.wantRefreshes(t, 1)
	b.wantSigned(t, "!/2")
}

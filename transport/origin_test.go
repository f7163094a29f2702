package transport_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
	"github.com/rebearer/rebearer/transport"
)

// signed returns whether a request to the URL gets a token.
func signed(t *testing.T, tr *transport.Transport, to *url.URL) (bool, error) {
	t.Helper()
	seen := &recorder{}
	tr.Base = seen
	cache := tokencache.New(nil, tokencache.NewToken(tokencache.TokenFields{Access: "access"}))
	req := newRequest(tokencache.NewContext(t.Context(), cache), "GET", "https://placeholder/", nil)
	req.URL, req.Host = to, ""
	resp, err := tr.RoundTrip(req)
	if err != nil {
		equal(t, "requests", len(seen.seen), 0)
		return false, err
	}
	resp.Body.Close()
	return seen.seen[0] == "Bearer access", nil
}

// B3, T-A1, T-A3: what is not of an origin goes without a token and without an
// error.
func TestOnlyTheAllowedOriginsGetTheToken(t *testing.T) {
	origins := []string{"https://h", "https://p:8443", "http://127.0.0.1:8080", "https://[2001:db8::1]", "https://xn--bcher-kva.example"}
	for raw, want := range map[string]bool{
		"https://h/":                              true,
		"https://h:443/x?y":                       true,
		"https://H/":                              true,
		"https://p:8443/":                         true,
		"http://127.0.0.1:8080/":                  true,
		"https://[2001:db8:0::1]:443/":            true,
		"https://xn--bcher-kva.example/":          true,
		"https://h:8443/":                         false,
		"http://h/":                               false,
		"http://h:443/":                           false,
		"https://sub.h/":                          false,
		"https://h.evil/":                         false,
		"https://evilh/":                          false,
		"https://h@evil/":                         false,
		"https://h:443@evil/":                     false,
		"https://evil/https://h/":                 false,
		"https://evil/?https://h":                 false,
		"https://evil#@h":                         false,
		"https://user@h/":                         false,
		"https://p/":                              false,
		"https://127.0.0.1:8080/":                 false,
		"http://127.1:8080/":                      false,
		"http://[::ffff:127.0.0.1]:8080/":         false,
		"https://[2001:db8::2]/":                  false,
		"https://b\u00fccher.example/":            false,
		"https://\uff48/":                         false,
		"//h/":                                    false,
		"https:h":                                 false,
		"ftp://h/":                                false,
		"https://h\u3002evil/":                    false,
		"https://h%2eevil/":                       false,
		"https://2001:db8::1/":                    false,
		"https://xn--bcher-kva.example.evil:443/": false,
	} {
		u, err := url.Parse(raw)
		if err != nil {
			continue // net/http would never be asked
		}
		got, err := signed(t, &transport.Transport{Origins: origins}, u)
		if err != nil || got != want {
			t.Errorf("%s is signed: %v, %v, want %v", raw, got, err, want)
		}
	}
}

// B3: the URL says where a request goes; Host only says what is asked for there.
func TestTheHostHeaderIsNoOrigin(t *testing.T) {
	r := newRig(t, echo)
	req := newRequest(r.ctx, "GET", r.url, nil)
	req.Host = "public.example"
	wantStatus(t, call(t, r.client, req), 200)
	r.wantRefreshes(t, 1)

	evil := newRig(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the token goes to whoever claims to be the API")
		}
	})
	req = newRequest(r.ctx, "GET", evil.url, nil)
	req.Host = mustParse(r.url).Host
	wantStatus(t, call(t, r.client, req), 200)
}

// B3, T-A1
func TestThe401OfAnotherOriginStartsNothing(t *testing.T) {
	r := newRig(t, echo)
	other := newRig(t, func(w http.ResponseWriter, _ *http.Request) { unauthorized(w) })
	wantStatus(t, call(t, r.client, newRequest(r.ctx, "GET", other.url, nil)), 401)
	r.wantRefreshes(t, 0)
}

// B5, T-A3
func TestPlainHTTPIsForThisMachine(t *testing.T) {
	for _, test := range []struct {
		name, url string
		insecure  bool
		err       error
	}{
		{"loopback", "http://127.0.0.1:8080", false, nil},
		{"IPv6 loopback", "http://[::1]:8080", false, nil},
		{"localhost", "http://localhost", false, nil},
		{"localhost in capitals, which goes to a proxy", "http://LOCALHOST", false, transport.ErrInsecure},
		{"localhost with a dot, which goes to a proxy", "http://localhost.", false, transport.ErrInsecure},
		{"a name below localhost, which goes to a proxy", "http://api.localhost", false, transport.ErrInsecure},
		{"another machine", "http://api.example", false, transport.ErrInsecure},
		{"a name that only begins like loopback", "http://127.0.0.1.evil.example", false, transport.ErrInsecure},
		{"all interfaces", "http://0.0.0.0", false, transport.ErrInsecure},
		{"another machine, spelled out", "http://api.example", true, nil},
		{"another machine over TLS", "https://api.example", false, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			tr := &transport.Transport{Origins: []string{test.url}, InsecureNoTLS: test.insecure}
			got, err := signed(t, tr, mustParse(test.url))
			if !errors.Is(err, test.err) || got != (test.err == nil) {
				t.Errorf("signed: %v, %v, want %v", got, err, test.err)
			}
		})
	}
}

// B3: rather than a request that nobody signs.
func TestOriginsThatAreNoneFailEveryRequestOfAUser(t *testing.T) {
	for _, bad := range []string{"api.example", "https://*.example", "https://h/path", "https://user:canary@h", ""} {
		tr := &transport.Transport{Origins: []string{"https://h", bad}}
		for range 2 {
			_, err := signed(t, tr, mustParse("https://h/"))
			var e *tokencache.Error
			if !errors.As(err, &e) || e.Reason != reason.Configuration || strings.Contains(err.Error(), "canary") {
				t.Errorf("%q: %v", bad, err)
			}
		}
	}
}

// B2, B5: who has no token betrays none, over plain http either.
func TestPlainHTTPIsNoErrorForWhoIsNotSignedIn(t *testing.T) {
	seen := &recorder{}
	tr := &transport.Transport{Origins: []string{"http://api.example"}, Base: seen}
	ctx := tokencache.NewContext(t.Context(), tokencache.New(nil, tokencache.Token{}))
	resp, err := tr.RoundTrip(newRequest(ctx, "GET", "http://api.example/", nil))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	equal(t, "Authorization", strings.Join(seen.seen, "|"), "")
}

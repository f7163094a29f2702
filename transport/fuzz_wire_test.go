package transport_test

import (
	"bufio"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/internal/challenge"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport"
)

// answering is a Base that answers with these bytes, each time.
func answering(sent *int, raw string) http.RoundTripper {
	return baseFunc(func(req *http.Request) (*http.Response, error) {
		*sent++
		if req.Body != nil {
			req.Body.Close()
		}
		return http.ReadResponse(bufio.NewReader(strings.NewReader(raw)), req)
	})
}

// FuzzAnswers: whatever bytes an authorization server answers with, both
// endpoints ask once, and return a Token that can be sent or an error of the set
// that quotes nothing (B32, B80, T-B1, T-B8, T-B9, T-B18, T-I2).
func FuzzAnswers(f *testing.F) {
	for _, raw := range []string{
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"access_token\":\"a\",\"accessToken\":\"a\"}",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"acc\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}",
		"HTTP/1.1 307 Temporary Redirect\r\nLocation: https://evil.test/\r\n\r\n", "HTTP/1.1 401 x\r\nWWW-Authenticate: Basic\r\n\r\n{\"error\":\"invalid_client\"}",
		"HTTP/1.1 200 OK\r\nSet-Cookie: refreshToken=r; Max-Age=1\r\n\r\n{\"accessToken\":\"a\"}", "HTTP/1.1 503 x\r\nRetry-After: 7\r\n\r\n",
		"HTTP/1.1 429 x\r\nRetry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\n\r\n", "HTTP/1.1 101 x\r\n\r\n", "HTTP/1.1 200 OK\r\nX: canary\r\n y\r\n\r\n", "canary", "HTTP/9.9 canary",
		"HTTP/1.1 400 x\r\nDPoP-Nonce: n\r\n\r\n{\"error\":\"use_dpop_nonce\"}", "HTTP/1.1 400 x\r\n\r\n{\"error\":\"canary canary\"}",
		"HTTP/1.1 200 OK\r\n\r\n{\"error\":\"0canary\"}",
	} {
		f.Add(raw)
	}
	spent := tokencache.NewToken(tokencache.TokenFields{Access: "old", Refresh: "spent"})
	f.Fuzz(func(t *testing.T, raw string) {
		sent := 0
		base := answering(&sent, raw)
		for _, e := range []endpoint{
			&transport.TokenEndpoint{URL: "https://as.example/token", ClientID: "bff", Base: base},
			&transport.CookieEndpoint{URL: "https://as.example/restore", Base: base},
			&transport.TokenEndpoint{URL: "https://as.example/token", ClientID: "bff", Base: base, DPoP: &prover{}},
		} {
			got, err := e.Refresh(t.Context(), spent)
			wantSound(t, got, err)
			if err != nil && strings.Contains(err.Error(), "canary") && !canaryCode.MatchString(raw) {
				t.Errorf("%v quotes the answer", err)
			}
		}
		if sent != 3 && !(sent == 4 && strings.Contains(raw, "use_dpop_nonce")) {
			t.Errorf("%d requests of three endpoints", sent)
		}
	})
}

// canaryCode matches what is an error code (RFC 6749 section 5.2), which errors tell.
var canaryCode = regexp.MustCompile(`"[\w.-]{0,58}canary[\w.-]{0,58}"`)

// FuzzAPI: whatever bytes an API answers with, the Transport presents one refresh
// token at the most and sends the request twice at the most, and what comes back
// is the API's answer or an error, without a token in it (B6, B12, T-C1 to T-C7).
func FuzzAPI(f *testing.F) {
	for _, raw := range []string{
		"HTTP/1.1 401 x\r\nWWW-Authenticate: Bearer error=\"invalid_token\"\r\nContent-Length: 2\r\n\r\nno", "HTTP/1.1 401 x\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nyes",
		"HTTP/1.1 403 x\r\nWWW-Authenticate: Bearer error=\"insufficient_scope\", scope=\"a\"\r\n\r\n", "HTTP/1.1 401 x\r\nContent-Length: 9\r\n\r\nno",
		"HTTP/1.1 401 x\r\nWWW-Authenticate: Bearer error=\"insufficient_user_authentication\", max_age=1\r\n\r\n", "HTTP/1.1 407 x\r\n\r\n", "HTTP/1.1 401 x\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 401 x\r\nWWW-Authenticate: DPoP error=\"use_dpop_nonce\"\r\nDPoP-Nonce: n\r\n\r\n", "HTTP/1.1 302 x\r\nLocation: https://evil.test/\r\n\r\n", "HTTP/1.1 401 x\r\nWWW-Authenticate: Basic\r\n\r\n", "",
	} {
		f.Add(raw, "")
		f.Add(raw, "a body")
	}
	key, err := new(prover).NewKey()
	if err != nil {
		f.Fatal(err)
	}
	bound := tokencache.NewToken(tokencache.TokenFields{Access: "access-0", Refresh: "refresh-0", Key: key})
	f.Fuzz(func(t *testing.T, raw, body string) {
		throughAPI(t, raw, body, (*issuer).token(nil, 0), 1)
		throughAPI(t, raw, body, bound, 2) // if all that is wrong is the proof
	})
}

func throughAPI(t *testing.T, raw, body string, token tokencache.Token, sendings int) {
	t.Helper()
	sent := 0
	i := &issuer{}
	c := &tokencache.Coordinator{Refresher: i}
	rt := &transport.Transport{Base: answering(&sent, raw), Origins: []string{"https://api.example"}, DPoP: &prover{}}
	ctx := tokencache.NewContext(t.Context(), tokencache.New(c, token))
	method, in := "GET", ""
	if body != "" {
		method, in = "PUT", body
	}
	began := time.Now()
	req := newRequest(ctx, method, "https://api.example/x", strings.NewReader(in))
	resp, err := rt.RoundTrip(req)
	if err != nil {
		if said := err.Error(); !strings.Contains(raw, "-") && (strings.Contains(said, "access-") || strings.Contains(said, "refresh-")) {
			t.Errorf("%v quotes a token", err)
		}
	} else {
		if resp.Request != req || len(req.Header["Authorization"]) > 0 {
			t.Errorf("the answer holds the signed request: %v", resp.Request.Header)
		}
		resp.Body.Close()
	}
	c.Wait(t.Context())
	refreshes := int(i.calls.Load())
	if refreshes > 1 || sent > sendings*(1+refreshes) {
		t.Errorf("%d refreshes, %d requests", refreshes, sent)
	}
	if first, bad := http.ReadResponse(bufio.NewReader(strings.NewReader(raw)), nil); bad == nil && refreshes > 0 &&
		(first.StatusCode != 401 || challenge.Decide(first.Header).Verdict != challenge.Refresh && challenge.Decide(first.Header).Verdict != challenge.Proof) {
		t.Errorf("a refresh for %q", raw)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

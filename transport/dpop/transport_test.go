package dpop_test

import (
	"crypto"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport"
	"github.com/rebearer/rebearer/transport/dpop"
)

// T-K1, T-K4, T-J4: an API takes each nonce once and an authorization server
// wants one, too. Only what is news costs a request.
func TestTransportAndTokenEndpointProveTheKey(t *testing.T) {
	as := newServer(t, func(w http.ResponseWriter, n int, got seen) {
		w.Header().Set("DPoP-Nonce", "as")
		if got.proof.nonce != "as" {
			w.WriteHeader(400)
			io.WriteString(w, `{"error":"use_dpop_nonce"}`)
			return
		}
		fmt.Fprintf(w, `{"access_token":"a%d","refresh_token":"r%d","token_type":"DPoP","expires_in":3600}`, n, n)
	})
	good := sum("a1") // of what the second answer of the authorization server brings
	api := newServer(t, func(w http.ResponseWriter, n int, got seen) {
		w.Header().Set("DPoP-Nonce", fmt.Sprint("api-", n))
		switch {
		case got.proof.nonce != fmt.Sprint("api-", n-1):
			w.Header().Set("WWW-Authenticate", `DPoP error="use_dpop_nonce"`)
			w.WriteHeader(401)
		case got.proof.ath != good:
			w.Header().Set("WWW-Authenticate", `DPoP error="invalid_token"`)
			w.WriteHeader(401)
		default:
			io.WriteString(w, got.body)
		}
	})
	p, key := &dpop.Prover{}, newKey(t, "")
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	endpoint := &transport.TokenEndpoint{URL: as.URL + "/token", ClientID: "bff", DPoP: p, Base: base}
	cache := tokencache.New(&tokencache.Coordinator{Refresher: endpoint},
		tokencache.NewToken(tokencache.TokenFields{Access: "a", Refresh: "r", Key: key, Expiry: time.Now().Add(time.Hour)}))
	c := &http.Client{Transport: &transport.Transport{Origins: []string{api.URL}, DPoP: p, Base: base}}
	for i := range 3 {
		req, _ := http.NewRequestWithContext(tokencache.NewContext(t.Context(), cache), "POST", api.URL+"/me?x", strings.NewReader("hello"))
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || string(body) != "hello" {
			t.Fatalf("request %d: %d %q, %v", i, resp.StatusCode, body, cache.Err())
		}
	}
	// The API: refused for the nonce, refused for the token, and one each. The
	// authorization server: refused for the nonce, and one.
	if len(api.seen()) != 5 || len(as.seen()) != 2 {
		t.Errorf("%d requests at the API, %d at the authorization server", len(api.seen()), len(as.seen()))
	}
	jtis := map[string]bool{}
	for _, s := range append(api.seen(), as.seen()...) {
		jtis[s.proof.jti] = true
		if !key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(s.proof.key) {
			t.Error("a proof by another key")
		}
	}
	if len(jtis) != 7 {
		t.Errorf("%d jti in 7 requests", len(jtis))
	}
}

// T-K2
func TestTransportSendsAgainWhatTheServersClockRefused(t *testing.T) {
	api := newServer(t, func(w http.ResponseWriter, n int, got seen) {
		now := time.Now().Add(-time.Hour)
		w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
		if off := got.proof.iat - now.Unix(); off < -60 || off > 60 {
			w.Header().Set("WWW-Authenticate", `DPoP error="invalid_dpop_proof"`)
			w.WriteHeader(401)
		}
	})
	p := &dpop.Prover{}
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	cache := tokencache.New(&tokencache.Coordinator{}, tokencache.NewToken(tokencache.TokenFields{Access: "a", Key: newKey(t, "EdDSA")}))
	c := &http.Client{Transport: &transport.Transport{Origins: []string{api.URL}, DPoP: p, Base: base}}
	for range 2 {
		req, _ := http.NewRequestWithContext(tokencache.NewContext(t.Context(), cache), "GET", api.URL, nil)
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Errorf("%d", resp.StatusCode)
		}
	}
	if n := len(api.seen()); n != 3 {
		t.Errorf("%d requests, want 3", n)
	}
}

package integration

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
	"github.com/rebearer/rebearer/transport"
	"github.com/rebearer/rebearer/transport/dpop"
)

// signInBound is a login whose code is redeemed with a proof of the key.
func (as *authServer) signInBound(t testing.TB, client string, p *dpop.Prover, key crypto.Signer, base http.RoundTripper, resources ...string) tokencache.Token {
	t.Helper()
	verifier, state := rand.Text()+rand.Text(), rand.Text()
	challenge := sha256.Sum256([]byte(verifier))
	jkt, err := dpop.Thumbprint(key)
	must(t, err)
	back := as.browse(t, "alice", url.Values{
		"response_type": {"code"}, "client_id": {client}, "redirect_uri": {callback}, "dpop_jkt": {jkt},
		"scope": {scope}, "resource": resources, "state": {state}, "prompt": {"consent"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	})
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {back.Get("code")}, "redirect_uri": {callback}, "code_verifier": {verifier},
		"resource": {resources[0]},
	}
	if methods[client] == "none" {
		form.Set("client_id", client)
	}
	req, err := http.NewRequestWithContext(t.Context(), "POST", as.TokenURL, strings.NewReader(form.Encode()))
	must(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if methods[client] == "client_secret_basic" {
		req.SetBasicAuth(url.QueryEscape(client), url.QueryEscape(as.secret))
	}
	resp, err := p.Client(key, base).Do(req)
	must(t, err)
	defer resp.Body.Close()
	var got struct {
		answer
		Type string `json:"token_type"`
	}
	must(t, json.NewDecoder(resp.Body).Decode(&got))
	if resp.StatusCode != 200 || got.Type != "DPoP" || got.Refresh == "" {
		t.Fatalf("redeeming the code: %s, %s, type %q", resp.Status, got.Error, got.Type)
	}
	return tokencache.NewToken(tokencache.TokenFields{
		Access: got.Access, Refresh: got.Refresh, Key: key, Expiry: time.Now().Add(time.Hour), // the API is to say when it ends
	})
}

// boundSession is a user of rebearer with DPoP at npm's oidc-provider.
type boundSession struct {
	*session
	prover *dpop.Prover
	base   *countingProxy
}

func (as *authServer) boundSession(t *testing.T, clientID string, apis ...*boundAPI) *boundSession {
	t.Helper()
	s := &boundSession{session: &session{server: as.server}, prover: &dpop.Prover{}, base: newProxy(t, as.TokenURL)}
	endpoint := &transport.TokenEndpoint{
		URL: as.TokenURL, RevocationURL: as.RevokeURL, Base: s.base, ClientID: clientID, AuthMethod: methods[clientID],
		ClientSecret: as.secret, Resource: apis[0].audience, DPoP: s.prover,
	}
	s.coordinator = &tokencache.Coordinator{Refresher: endpoint, Revoker: endpoint, Grace: grace, Ahead: -1}
	rt := &transport.Transport{Base: s.base, DPoP: s.prover, Resources: map[string]string{}, Origins: []string{apis[0].Server.URL}}
	for _, api := range apis[1:] {
		rt.Resources[api.Server.URL] = api.audience
	}
	s.client = &http.Client{Transport: rt}
	return s
}

func (s *boundSession) get(ctx context.Context, url string) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/path?query", strings.NewReader("body"))
	if err != nil {
		return 0, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode == 200 && string(body) != "body" {
		return 0, errors.New("the body is not whole")
	}
	return resp.StatusCode, err
}

// RFC 9449 against npm's oidc-provider, which demands nonces, and an API that
// does: 200 calls on an expired token are one presentation, and what the nonces
// cost is round trips and no refresh.
func TestDPoP(t *testing.T) {
	for _, clientID := range []string{"bff", "spa"} {
		for _, alg := range []string{"ES256", "EdDSA"} {
			t.Run(methods[clientID]+" "+alg, func(t *testing.T) {
				t.Parallel()
				as := start(t, "oidc-provider", 6*time.Second, "DPOP_NONCE=1")
				api := as.boundAPI(t, audience)
				s := as.boundSession(t, clientID, api)
				s.prover.Alg = alg
				key, err := s.prover.NewKey()
				must(t, err)
				login := as.signInBound(t, clientID, s.prover, key, s.base, audience)
				if status, err := s.get(s.shows(t, login), api.Server.URL); status != 200 || err != nil {
					t.Fatalf("after the login: %d, %v", status, err)
				}
				signedIn := s.base.demanded
				for round := range 3 {
					time.Sleep(6500 * time.Millisecond)
					ctx := s.shows(t, login)
					var all sync.WaitGroup
					for range 200 {
						all.Go(func() {
							if status, err := s.get(ctx, api.Server.URL); status != 200 || err != nil {
								t.Errorf("%d, %v", status, err)
							}
						})
					}
					all.Wait()
					if n, twice := s.base.total(), s.base.reused(); n != round+1 || twice != 0 {
						t.Errorf("round %d: %d presentations, %d tokens twice", round, n, twice)
					}
					login, _ = tokencache.FromContext(ctx).Changed()
				}
				if api.unauthorized.Load() == 0 || api.demanded.Load() == 0 || api.replayed.Load() != 0 {
					t.Errorf("%d unauthorized, %d nonces demanded, %d proofs twice", api.unauthorized.Load(), api.demanded.Load(), api.replayed.Load())
				}
				t.Logf("600 calls, 3 presentations; nonces demanded: %d at sign-in, %d at refreshes, %d by the API, which answered 401 to %d tokens",
					signedIn, s.base.demanded-signedIn, api.demanded.Load(), api.unauthorized.Load())
			})
		}
	}
}

// T-K3: without its key, a confidential client's session goes on with a new one. A
// public client's refresh token is bound, too, and its session ends with proof.
func TestALostDPoPKey(t *testing.T) {
	for _, clientID := range []string{"bff", "spa"} {
		t.Run(methods[clientID], func(t *testing.T) {
			t.Parallel()
			as := start(t, "oidc-provider", time.Minute, "DPOP_NONCE=1")
			api := as.boundAPI(t, audience)
			s := as.boundSession(t, clientID, api)
			key, err := s.prover.NewKey()
			must(t, err)
			login := as.signInBound(t, clientID, s.prover, key, s.base, audience)
			lost := tokencache.NewToken(tokencache.TokenFields{Access: login.Access(), Refresh: login.Refresh(), Type: "DPoP"})
			status, err := s.get(s.shows(t, lost), api.Server.URL)
			if methods[clientID] == "none" {
				var e *tokencache.Error
				if !errors.Is(err, tokencache.ErrLoginRequired) || !errors.As(err, &e) || e.Reason != reason.Refused {
					t.Errorf("%d, %v", status, err)
				}
			} else if status != 200 || err != nil {
				t.Errorf("%d, %v", status, err)
			}
			if n, twice := s.base.total(), s.base.reused(); n != 1 || twice != 0 {
				t.Errorf("%d presentations, %d twice", n, twice)
			}
		})
	}
}

// RFC 9449 with several replicas: the key of a session comes with its tokens.
func TestTheDPoPKeyReachesTheOtherReplica(t *testing.T) {
	t.Parallel()
	as := start(t, "oidc-provider", time.Minute, "DPOP_NONCE=1")
	api := as.boundAPI(t, audience)
	store := &tokencache.MemoryStore{}
	a, b := as.boundSession(t, "spa", api), as.boundSession(t, "spa", api)
	for _, s := range []*boundSession{a, b} {
		s.coordinator.Store, s.coordinator.Realm = store, as.Issuer+" spa"
	}
	key, err := a.prover.NewKey()
	must(t, err)
	login := as.signInBound(t, "spa", a.prover, key, a.base, audience)
	_, err = a.coordinator.Refresh(t.Context(), login)
	must(t, err)
	// The browser's first request after that reaches the other one, with cookies from before.
	next, err := b.coordinator.Refresh(t.Context(), login)
	must(t, err)
	if status, err := b.get(b.shows(t, next), api.Server.URL); status != 200 || err != nil {
		t.Errorf("%d, %v", status, err)
	}
	if n := b.base.total(); n != 0 {
		t.Errorf("%d presentations by the other replica", n)
	}
}

// RFC 8707 against npm's oidc-provider: two APIs, each with tokens for it alone,
// from one refresh token.
func TestResources(t *testing.T) {
	t.Parallel()
	const files = "https://files.example"
	as := start(t, "oidc-provider", 6*time.Second)
	own, other := as.boundAPI(t, audience), as.boundAPI(t, files)
	s := as.boundSession(t, "bff", own, other)
	key, err := s.prover.NewKey()
	must(t, err)
	shown := as.signInBound(t, "bff", s.prover, key, s.base, audience, files)
	for round := range 3 {
		ctx := s.shows(t, shown)
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				if status, err := s.get(ctx, []*boundAPI{own, other}[i%2].Server.URL); status != 200 || err != nil {
					t.Errorf("%d, %v", status, err)
				}
			})
		}
		all.Wait()
		// The first round needs the one for files; each later one needs both anew.
		if n, twice := s.base.total(), s.base.reused(); n != 1+2*round || twice != 0 {
			t.Errorf("round %d: %d presentations, %d tokens twice", round, n, twice)
		}
		if next, changed := tokencache.FromContext(ctx).Changed(); changed {
			shown = next
		}
		time.Sleep(6500 * time.Millisecond)
	}
}

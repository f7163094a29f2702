package integration

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// These tests are of the harness, and of what the servers do to a client that
// is not rebearer: what rebearer is tested against has to be so.

// call sends one request to the API, with a body if there is one.
func (api *resourceAPI) call(t testing.TB, accessToken, body string) (*http.Response, string) {
	t.Helper()
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(t.Context(), method, api.URL, strings.NewReader(body))
	must(t, err)
	if accessToken != "" {
		req.Header.Set("Authorization", "Bearer "+accessToken)
	}
	keepAlive := &http.Transport{} // as rebearer's: net/http's server treats bodies otherwise where it will close
	defer keepAlive.CloseIdleConnections()
	resp, err := keepAlive.RoundTrip(req)
	must(t, err)
	defer resp.Body.Close()
	echo, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp, string(echo)
}

// What the servers do is what their rows say.
func TestServersAreWhatTheirRowsSay(t *testing.T) {
	t.Parallel()
	each(t, oauth, time.Minute, func(t *testing.T, s server, run running) {
		as := run.(*authServer)
		for _, client := range s.clients {
			t.Run(methods[client], func(t *testing.T) {
				t.Run("signs in", func(t *testing.T) { as.signsIn(t, client) })
				t.Run("spends its refresh tokens", func(t *testing.T) { as.spends(t, client) })
				t.Run("revokes", func(t *testing.T) { as.revokes(t, client) })
				if methods[client] == "client_secret_basic" {
					t.Run("has a secret", func(t *testing.T) { as.hasASecret(t, client) })
				}
			})
		}
	})
}

func (as *authServer) signsIn(t *testing.T, client string) {
	api, proxy := as.api(t), newProxy(t, as.TokenURL)
	tok := as.signInAs(t, client, "bob")
	if as.cuts && tok.ExpiresIn == 59 {
		tok.ExpiresIn++
	}
	if tok.ExpiresIn != 60 {
		t.Errorf("expires in %d s, want 60", tok.ExpiresIn)
	}
	body := strings.Repeat("body ", 20_000)
	if resp, echo := api.call(t, tok.Access, body); resp.StatusCode != 200 || resp.Header.Get("Subject") != "bob" || echo != body {
		t.Errorf("%s of %q, %d bytes of %d", resp.Status, resp.Header.Get("Subject"), len(echo), len(body))
	}
	next := as.refresh(t, proxy, client, tok.Refresh)
	if next.Status != 200 || next.Refresh == "" || next.Refresh == tok.Refresh {
		t.Errorf("a refresh answered %d %q, rotated: %t", next.Status, next.Error, next.Refresh != tok.Refresh)
	}
	if resp, _ := api.call(t, next.Access, ""); resp.StatusCode != 200 {
		t.Errorf("after the refresh %s", resp.Status)
	}
	// Not every server tells of all its tokens.
	if ended := !as.honours(t, client, tok.Access); as.honours(t, client, next.Access) && ended != as.endsAccess {
		t.Errorf("the refresh has ended the old access token: %t", ended)
	}
	if proxy.of(tok.Refresh) != 1 || proxy.total() != 1 || proxy.reused() != 0 || api.succeeded.Load() != 2 || api.unauthorized.Load() != 0 {
		t.Errorf("%d refreshes, %d of this token, %d tokens twice; %d calls, %d unauthorized",
			proxy.total(), proxy.of(tok.Refresh), proxy.reused(), api.succeeded.Load(), api.unauthorized.Load())
	}
}

// honours asks the server itself about an access token.
func (as *authServer) honours(t *testing.T, client, access string) bool {
	t.Helper()
	if slices.Contains(as.introspects, client) {
		return as.active(t, client, access)
	}
	_, err := ask(t.Context(), as.UserinfoURL, access)
	return err == nil
}

func (as *authServer) spends(t *testing.T, client string) {
	proxy := newProxy(t, as.TokenURL)
	first := as.signIn(t, client)
	second := as.refresh(t, proxy, client, first.Refresh)
	third := as.refresh(t, proxy, client, second.Refresh)
	reuse := as.refresh(t, proxy, client, first.Refresh)
	newest := as.refresh(t, proxy, client, third.Refresh)
	if reuse.Status == 200 && (reuse.Refresh == second.Refresh) != as.same {
		t.Errorf("the same again: %t", reuse.Refresh == second.Refresh)
	}
	if third.Status != 200 || (reply{reuse.Status, reuse.Error}) != as.spent || (newest.Status != 200) != as.killsFamily {
		t.Errorf("rotated with %d, reuse %d %s, then the newest %d %s",
			third.Status, reuse.Status, reuse.Error, newest.Status, newest.Error)
	}
	if proxy.of(first.Refresh) != 2 || proxy.of(third.Refresh) != 1 || proxy.total() != 4 || proxy.reused() != 1 {
		t.Errorf("the proxy saw the reused token %d times, the newest %d times, %d in all",
			proxy.of(first.Refresh), proxy.of(third.Refresh), proxy.total())
	}
}

func (as *authServer) revokes(t *testing.T, client string) {
	tok := as.signIn(t, client)
	known := slices.Contains(as.introspects, client)
	if known && !as.active(t, client, tok.Refresh) {
		t.Error("a new refresh token is not active")
	}
	if a := as.revoke(t, client, tok.Refresh); a.Status != 200 {
		t.Errorf("the revocation answered %d %s", a.Status, a.Error)
	}
	if known && as.active(t, client, tok.Refresh) {
		t.Error("a revoked refresh token is active")
	}
	if a := as.refresh(t, direct.Transport, client, tok.Refresh); a.Status != 400 {
		t.Errorf("a revoked refresh token answered %d %s", a.Status, a.Error)
	}
}

func (as *authServer) hasASecret(t *testing.T, client string) {
	tok, wrong := as.signIn(t, client), *as
	wrong.secret = "wrong"
	if a := wrong.refresh(t, direct.Transport, client, tok.Refresh); a.Status != 401 || a.Error != "invalid_client" {
		t.Errorf("a wrong secret answered %d %s", a.Status, a.Error)
	}
	if a := as.refresh(t, direct.Transport, client, tok.Refresh); a.Status != 200 {
		t.Errorf("and then the right one %d %s", a.Status, a.Error)
	}
}

// A token whose claims are right, but that somebody else signed.
func TestForgedAccessToken(t *testing.T) {
	t.Parallel()
	as, other := start(t, "go-oidc", time.Minute), start(t, "go-oidc", time.Minute)
	v := as.verifier()
	v.issuer = other.Issuer // the keys stay
	api := newAPI(t, v.subject)
	if resp, _ := api.call(t, other.signIn(t, "bff").Access, ""); resp.StatusCode != 401 {
		t.Error(resp.Status)
	}
}

func TestAccessTokenExpires(t *testing.T) {
	t.Parallel()
	each(t, oauth, 2*time.Second, func(t *testing.T, s server, run running) {
		as := run.(*authServer)
		client := s.clients[0]
		api, tok := as.api(t), as.signIn(t, client)
		if tok.ExpiresIn > 2 {
			t.Fatalf("expires in %d s, want 2", tok.ExpiresIn)
		}
		tok.awaitExpiry()
		for token, challenge := range map[string]string{
			tok.Access:       `Bearer error="invalid_token"`,
			tok.Access + "x": `Bearer error="invalid_token"`,
			"":               `Bearer`,
		} {
			resp, _ := api.call(t, token, "body")
			if got := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != 401 || got != challenge {
				t.Errorf("%s, %s, want 401, %s", resp.Status, got, challenge)
			}
		}
		if api.unauthorized.Load() != 3 || api.succeeded.Load() != 0 {
			t.Errorf("%d unauthorized, %d succeeded", api.unauthorized.Load(), api.succeeded.Load())
		}
	})
}

func TestExpiredRefreshToken(t *testing.T) {
	t.Parallel()
	as := start(t, "oidc-provider", time.Minute, "REFRESH_TTL=1")
	tok := as.signIn(t, "bff")
	time.Sleep(2 * time.Second)
	if a := as.refresh(t, direct.Transport, "bff", tok.Refresh); a.Status != 400 || a.Error != "invalid_grant" {
		t.Errorf("an expired refresh token answered %d %s", a.Status, a.Error)
	}
}

func TestProxyCountsRefreshesOnly(t *testing.T) {
	t.Parallel()
	as := start(t, "go-oidc", time.Minute)
	proxy := newProxy(t, as.TokenURL)
	for method, form := range map[string]string{
		http.MethodPost: "grant_type=authorization_code&code=none&refresh_token=no",
		http.MethodPut:  "grant_type=refresh_token&refresh_token=no",
	} {
		req, err := http.NewRequestWithContext(t.Context(), method, as.TokenURL, strings.NewReader(form))
		must(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := proxy.RoundTrip(req)
		must(t, err)
		resp.Body.Close()
	}
	if proxy.total() != 0 || proxy.of("no") != 0 {
		t.Errorf("counted %d", proxy.total())
	}
}

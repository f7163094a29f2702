package integration

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// These tests are of the harness, and of what the servers do to a client that
// is not rebearer: what rebearer is tested against has to be so.

// each runs a test against every server.
func each(t *testing.T, accessTTL time.Duration, test func(*testing.T, *authServer)) {
	t.Run("go-oidc", func(t *testing.T) {
		t.Parallel()
		test(t, goOIDC(t, accessTTL))
	})
	t.Run("oidc-provider", func(t *testing.T) {
		t.Parallel()
		test(t, oidcProvider(t, accessTTL))
	})
}

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

func TestSignIn(t *testing.T) {
	t.Parallel()
	each(t, time.Minute, func(t *testing.T, as *authServer) {
		api, proxy := as.api(t), as.proxy(t)
		for _, client := range clients {
			tok := as.signInAs(t, client, "bob")
			if tok.ExpiresIn != 60 {
				t.Errorf("%s: expires in %d s, want 60", client, tok.ExpiresIn)
			}
			body := strings.Repeat("body ", 20_000)
			if resp, echo := api.call(t, tok.Access, body); resp.StatusCode != 200 || resp.Header.Get("Subject") != "bob" || echo != body {
				t.Errorf("%s: %s of %q, %d bytes of %d", client, resp.Status, resp.Header.Get("Subject"), len(echo), len(body))
			}
			next := as.refresh(t, proxy.TokenURL, client, tok.Refresh)
			if next.Status != 200 || next.Refresh == "" || next.Refresh == tok.Refresh {
				t.Errorf("%s: a refresh answered %d %q, rotated: %t", client, next.Status, next.Error, next.Refresh != tok.Refresh)
			}
			if resp, _ := api.call(t, next.Access, ""); resp.StatusCode != 200 {
				t.Errorf("%s: after the refresh %s", client, resp.Status)
			}
			if n := proxy.of(tok.Refresh); n != 1 {
				t.Errorf("%s: the proxy saw the token %d times", client, n)
			}
		}
		if proxy.total() != len(clients) || proxy.reused() != 0 || api.succeeded.Load() != int64(2*len(clients)) || api.unauthorized.Load() != 0 {
			t.Errorf("%d refreshes, %d of them reuses; %d calls, %d unauthorized",
				proxy.total(), proxy.reused(), api.succeeded.Load(), api.unauthorized.Load())
		}
	})
}

// A token whose claims are right, but that somebody else signed.
func TestForgedAccessToken(t *testing.T) {
	t.Parallel()
	as, other := goOIDC(t, time.Minute), goOIDC(t, time.Minute)
	api := as.api(t)
	api.issuer = other.Issuer // the keys stay
	if resp, _ := api.call(t, other.signIn(t, "bff").Access, ""); resp.StatusCode != 401 {
		t.Error(resp.Status)
	}
}

func TestAccessTokenExpires(t *testing.T) {
	t.Parallel()
	each(t, time.Second, func(t *testing.T, as *authServer) {
		api := as.api(t)
		tok := as.signIn(t, "bff")
		if tok.ExpiresIn != 1 {
			t.Fatalf("expires in %d s, want 1", tok.ExpiresIn)
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

func TestReuse(t *testing.T) {
	t.Parallel()
	each(t, time.Minute, func(t *testing.T, as *authServer) {
		proxy := as.proxy(t)
		for _, client := range clients {
			first := as.signIn(t, client)
			second := as.refresh(t, proxy.TokenURL, client, first.Refresh)
			third := as.refresh(t, proxy.TokenURL, client, second.Refresh)
			reuse := as.refresh(t, proxy.TokenURL, client, first.Refresh)
			newest := as.refresh(t, proxy.TokenURL, client, third.Refresh)

			wantNewest := 200
			if as.killsFamily {
				wantNewest = 400
			}
			if third.Status != 200 || reuse.Status != 400 || reuse.Error != as.reuseError || newest.Status != wantNewest {
				t.Errorf("%s: rotated with %d, reuse %d %s, then the newest %d %s",
					client, third.Status, reuse.Status, reuse.Error, newest.Status, newest.Error)
			}
			if proxy.of(first.Refresh) != 2 || proxy.of(third.Refresh) != 1 {
				t.Errorf("%s: the proxy saw the reused token %d times, the newest %d times",
					client, proxy.of(first.Refresh), proxy.of(third.Refresh))
			}
		}
		if proxy.total() != 4*len(clients) || proxy.reused() != len(clients) {
			t.Errorf("%d refreshes, %d tokens reused", proxy.total(), proxy.reused())
		}
	})
}

func TestRevocation(t *testing.T) {
	t.Parallel()
	each(t, time.Minute, func(t *testing.T, as *authServer) {
		for _, client := range clients {
			tok := as.signIn(t, client)
			if !as.active(t, client, tok.Refresh) {
				t.Errorf("%s: a new refresh token is not active", client)
			}
			if a := as.revoke(t, client, tok.Refresh); a.Status != 200 {
				t.Errorf("%s: the revocation answered %d %s", client, a.Status, a.Error)
			}
			if as.active(t, client, tok.Refresh) {
				t.Errorf("%s: a revoked refresh token is active", client)
			}
			if a := as.refresh(t, as.TokenURL, client, tok.Refresh); a.Status != 400 {
				t.Errorf("%s: a revoked refresh token answered %d %s", client, a.Status, a.Error)
			}
		}
	})
}

func TestWrongSecret(t *testing.T) {
	t.Parallel()
	each(t, time.Minute, func(t *testing.T, as *authServer) {
		tok := as.signIn(t, "bff")
		right := as.secret
		as.secret = "wrong"
		if a := as.refresh(t, as.TokenURL, "bff", tok.Refresh); a.Status != 401 || a.Error != "invalid_client" {
			t.Errorf("a wrong secret answered %d %s", a.Status, a.Error)
		}
		as.secret = right
		if a := as.refresh(t, as.TokenURL, "bff", tok.Refresh); a.Status != 200 {
			t.Errorf("and then the right one %d %s", a.Status, a.Error)
		}
	})
}

func TestExpiredRefreshToken(t *testing.T) {
	t.Parallel()
	as := oidcProvider(t, time.Minute, "REFRESH_TTL=1")
	tok := as.signIn(t, "bff")
	time.Sleep(2 * time.Second)
	if a := as.refresh(t, as.TokenURL, "bff", tok.Refresh); a.Status != 400 || a.Error != "invalid_grant" {
		t.Errorf("an expired refresh token answered %d %s", a.Status, a.Error)
	}
}

func TestProxyCountsRefreshesOnly(t *testing.T) {
	t.Parallel()
	as := goOIDC(t, time.Minute)
	proxy := as.proxy(t)
	resp, err := direct.Post(proxy.TokenURL, "application/x-www-form-urlencoded",
		strings.NewReader("grant_type=authorization_code&code=none&refresh_token=no"))
	must(t, err)
	resp.Body.Close()
	put, err := http.NewRequest(http.MethodPut, proxy.TokenURL, strings.NewReader("grant_type=refresh_token&refresh_token=no"))
	must(t, err)
	resp, err = direct.Do(put)
	must(t, err)
	resp.Body.Close()
	if proxy.total() != 0 || proxy.of("no") != 0 {
		t.Errorf("counted %d", proxy.total())
	}
}

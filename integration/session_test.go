package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
	"github.com/rebearer/rebearer/transport"
)

// session is a user of rebearer: a client that was set up once, and what the
// browser holds.
type session struct {
	as          *authServer
	api         *resourceAPI
	proxy       *countingProxy
	coordinator *tokencache.Coordinator
	client      *http.Client
	browser     tokencache.Token
}

const grace = 2 * time.Second

func (as *authServer) session(t *testing.T, clientID string) *session {
	t.Helper()
	base := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(base.CloseIdleConnections)
	s := &session{as: as, api: as.api(t), proxy: as.proxy(t)}
	endpoint := &transport.TokenEndpoint{
		URL: s.proxy.TokenURL, RevocationURL: as.RevokeURL, Base: base,
		ClientID: clientID, ClientSecret: as.secret, AuthMethod: methods[clientID], Audience: as.Issuer,
		Assertion: func(context.Context, string) (string, error) { return as.assertion(t), nil },
	}
	if as.reuseError != "invalid_grant" {
		endpoint.Dead = []string{"400 " + as.reuseError}
	}
	s.coordinator = &tokencache.Coordinator{Refresher: endpoint, Revoker: endpoint, Grace: grace, Ahead: -1}
	s.client = &http.Client{Transport: &transport.Transport{Base: base, Origins: []string{s.api.URL}}}
	return s
}

// shows returns the context of a request that shows the token.
func (s *session) shows(t *testing.T, shown tokencache.Token) context.Context {
	return tokencache.NewContext(t.Context(), tokencache.New(s.coordinator, shown))
}

// call makes a GET, or a POST where there is a body, which must come back.
func (s *session) call(ctx context.Context, body string) error {
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, s.api.URL, strings.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	echo, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK || err != nil || string(echo) != body {
		return fmt.Errorf("%d, %v, %d bytes of %d", resp.StatusCode, err, len(echo), len(body))
	}
	return nil
}

// storm makes n calls at once, in ten tabs of one browser.
func (s *session) storm(t *testing.T, n int) {
	t.Helper()
	ctxs := make([]context.Context, 10)
	for i := range ctxs {
		ctxs[i] = s.shows(t, s.browser)
	}
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if err := s.call(ctxs[i%len(ctxs)], strings.Repeat("x", i%3*1000)); err != nil {
				t.Errorf("call %d: %v", i, err)
			}
		})
	}
	all.Wait()
	next, changed := tokencache.FromContext(ctxs[0]).Changed()
	if !changed {
		t.Fatal("the browser has nothing new to be given")
	}
	s.browser = next
}

// awaitExpiry returns when the browser's access token has ended.
func (s *session) awaitExpiry() { time.Sleep(time.Until(s.browser.Expiry()) + 50*time.Millisecond) }

// From a real login over expiry after expiry to the day when somebody shows a
// token that was spent long ago.
func TestSessionLivesOn(t *testing.T) {
	each(t, 4*time.Second, func(t *testing.T, as *authServer) {
		for _, clientID := range clients {
			t.Run(methods[clientID], func(t *testing.T) {
				t.Parallel()
				s := as.session(t, clientID)
				login := as.signIn(t, clientID)
				login.awaitExpiry()
				// The program does not know that the token has ended, so that it
				// is the API's 401 that says so.
				s.browser = tokencache.NewToken(tokencache.TokenFields{
					Access: login.Access, Refresh: login.Refresh, Expiry: time.Now().Add(time.Hour),
				})
				s.storm(t, 200)
				if n := s.proxy.total(); n != 1 {
					t.Fatalf("200 calls on an expired token: %d presentations", n)
				}
				if s.api.unauthorized.Load() == 0 {
					t.Error("the API never answered 401: nothing was shown")
				}
				spent := []tokencache.Token{}
				for range 5 {
					spent = append(spent, s.browser)
					s.awaitExpiry()
					s.storm(t, 20)
				}
				if n, again := s.proxy.total(), s.proxy.reused(); n != 6 || again != 0 {
					t.Fatalf("after five more expiries: %d presentations, %d tokens presented twice", n, again)
				}
				s.showOld(t, spent[len(spent)-2], clientID)
			})
		}
	})
}

// showOld shows a token of two generations ago: inside Grace, and after it.
func (s *session) showOld(t *testing.T, old tokencache.Token, clientID string) {
	t.Helper()
	before := s.proxy.total()
	next, err := s.coordinator.Refresh(t.Context(), old)
	if err != nil || !next.Same(s.browser) {
		t.Errorf("inside Grace the newest tokens are adopted, not: %v", err)
	}
	if n := s.proxy.total() - before; n != 0 {
		t.Errorf("inside Grace: %d presentations", n)
	}
	time.Sleep(grace)
	_, err = s.coordinator.Refresh(t.Context(), old)
	var e *tokencache.Error
	if !errors.Is(err, tokencache.ErrLoginRequired) || !errors.As(err, &e) || e.Reason != reason.Refused || e.Code != s.as.reuseError {
		t.Errorf("after Grace: %v", err)
	}
	if n := s.proxy.total() - before; n != 1 {
		t.Errorf("after Grace: %d presentations", n)
	}
	// What becomes of the newest one is up to the server.
	s.awaitExpiry()
	err = s.call(s.shows(t, s.browser), "")
	if ended := errors.Is(err, tokencache.ErrLoginRequired); ended != s.as.killsFamily {
		t.Errorf("the newest token, after an old one was shown: %v", err)
	}
}

// A logout reaches the server, and nothing brings the session back.
func TestLogout(t *testing.T) {
	each(t, time.Minute, func(t *testing.T, as *authServer) {
		for _, clientID := range clients {
			t.Run(methods[clientID], func(t *testing.T) {
				t.Parallel()
				s := as.session(t, clientID)
				login := as.signIn(t, clientID)
				first := tokencache.NewToken(tokencache.TokenFields{Access: login.Access, Refresh: login.Refresh})
				second, err := s.coordinator.Refresh(t.Context(), first)
				must(t, err)
				if !as.active(t, clientID, second.Refresh()) {
					t.Fatal("the new refresh token is not active")
				}
				// The browser still shows the first one: its response is on the way.
				must(t, s.coordinator.Revoke(t.Context(), first))
				if as.active(t, clientID, second.Refresh()) {
					t.Error("the server still honours the newest refresh token")
				}
				for _, tok := range []tokencache.Token{first, second} {
					if _, err := s.coordinator.Refresh(t.Context(), tok); !errors.Is(err, tokencache.ErrLoginRequired) {
						t.Errorf("after the logout: %v", err)
					}
				}
				if n := s.proxy.total(); n != 1 {
					t.Errorf("%d presentations", n)
				}
			})
		}
	})
}

// A server that does not know the client ends no session.
func TestWrongSecretEndsNoSession(t *testing.T) {
	each(t, time.Minute, func(t *testing.T, as *authServer) {
		s := as.session(t, "bff")
		login := as.signIn(t, "bff")
		tok := tokencache.NewToken(tokencache.TokenFields{Access: login.Access, Refresh: login.Refresh})
		wrong := *as
		wrong.secret = "not the secret"
		_, err := wrong.session(t, "bff").coordinator.Refresh(t.Context(), tok)
		var e *tokencache.Error
		if !errors.As(err, &e) || e.Reason != reason.ClientRefused {
			t.Errorf("%v, not %s", err, reason.ClientRefused)
		}
		if _, err := s.coordinator.Refresh(t.Context(), tok); err != nil {
			t.Errorf("the session is lost: %v", err)
		}
	})
}

package integration

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// Sessions at every server, from a real login to their end.
func TestSessions(t *testing.T) {
	t.Parallel()
	each(t, all, 6*time.Second, func(t *testing.T, s server, run running) {
		t.Run("live on", func(t *testing.T) {
			for _, client := range s.clients {
				t.Run(methods[client], func(t *testing.T) {
					t.Parallel()
					run.session(t, client).livesOn(t, client)
				})
			}
		})
		t.Run("end with a logout", func(t *testing.T) {
			for _, client := range s.clients {
				t.Run(methods[client], func(t *testing.T) {
					t.Parallel()
					run.session(t, client).logsOut(t)
				})
			}
		})
		if oauth(s) {
			for _, client := range []string{"bff", "bff-jwt"} {
				t.Run("outlive a client that is refused, "+methods[client], func(t *testing.T) { refusedClient(t, run.(*authServer), client) })
			}
		}
		t.Run("outlive a restart of the server", func(t *testing.T) { restart(t, s, run) })
		t.Log(measured.of(s))
	})
}

// livesOn is expiry after expiry, until the day when somebody shows a token that
// was spent long ago.
func (s *session) livesOn(t *testing.T, client string) {
	// The program does not know when the token ends, so that it is the API's 401
	// that says so.
	s.browser = tokencache.NewToken(tokencache.TokenFields{
		Access: s.login.Access, Refresh: s.login.Refresh, Expiry: time.Now().Add(time.Hour),
	})
	s.login.awaitExpiry()
	s.storm(t, 200)
	if n := s.proxy.total(); n != 1 {
		t.Fatalf("200 calls on an expired token: %d presentations", n)
	}
	if s.api.unauthorized.Load() == 0 {
		t.Error("the API never answered 401: nothing was shown")
	}
	measured.note(s.server, client, "200 calls, presentations", s.proxy.total())
	measured.note(s.server, client, "401s", s.api.unauthorized.Load())
	spent := []tokencache.Token{}
	for range 5 {
		spent = append(spent, s.browser)
		s.awaitExpiry()
		s.storm(t, 20)
	}
	n, again := s.proxy.total(), s.twice()
	measured.note(s.server, client, "6 expiries, presentations", n)
	measured.note(s.server, client, "twice", again)
	if n != 6 || again != 0 {
		t.Fatalf("after five more expiries: %d presentations, %d tokens presented twice", n, again)
	}
	s.showOld(t, client, spent)
}

// showOld shows a token of two generations ago: inside Grace, and after it.
func (s *session) showOld(t *testing.T, client string, spent []tokencache.Token) {
	t.Helper()
	old := spent[len(spent)-2]
	s.adopts(t, old)
	if s.keeps { // there are no generations
		return
	}
	time.Sleep(grace)
	if s.forgives {
		s.isForgiven(t, client, spent[len(spent)-1])
	}
	if s.spent.status == 200 {
		s.isHonoured(t, client, old, spent[len(spent)-1])
	} else {
		s.isRefused(t, client, old)
	}
	// What becomes of the newest one is up to the server.
	s.awaitExpiry()
	err := s.call(s.shows(t, s.browser), "")
	ended := errors.Is(err, tokencache.ErrLoginRequired)
	if ended != s.killsFamily || !ended && err != nil {
		t.Errorf("the newest token, after an old one was shown: %v", err)
	}
	measured.note(s.server, client, "the newest then", map[bool]string{true: "dead", false: "lives"}[ended])
}

// isRefused shows an old token whose successor is known no more.
func (s *session) isRefused(t *testing.T, client string, old tokencache.Token) {
	t.Helper()
	before := s.proxy.total()
	_, err := s.coordinator.Refresh(t.Context(), old)
	var e *tokencache.Error
	if !errors.Is(err, tokencache.ErrLoginRequired) || !errors.As(err, &e) ||
		e.Reason != reason.Refused || (reply{e.Status, e.Code}) != s.spent {
		t.Errorf("after Grace: %v", err)
	} else {
		measured.note(s.server, client, "too old a token", fmt.Sprint(e.Status, " ", e.Code))
	}
	if n := s.proxy.total() - before; n != 1 {
		t.Errorf("after Grace: %d presentations", n)
	}
}

// isHonoured is the same, where that is no offence at this age.
func (s *session) isHonoured(t *testing.T, client string, old, next tokencache.Token) {
	t.Helper()
	before := s.proxy.total()
	again, err := s.coordinator.Refresh(t.Context(), old)
	if same := again.Refresh() == next.Refresh(); err != nil || same != s.same {
		t.Errorf("after our Grace, and not the server's: %v, the same again: %t", err, same)
	}
	if n := s.proxy.total() - before; n != 1 {
		t.Errorf("after Grace: %d presentations", n)
	}
	measured.note(s.server, client, "too old a token", s.brings())
}

// adopts shows an old token whose successor is known.
func (s *session) adopts(t *testing.T, old tokencache.Token) {
	t.Helper()
	before := s.proxy.total()
	next, err := s.coordinator.Refresh(t.Context(), old)
	if err != nil || !next.Same(s.browser) {
		t.Errorf("inside Grace the newest tokens are adopted, not: %v", err)
	}
	if n := s.proxy.total() - before; n != 0 {
		t.Errorf("inside Grace: %d presentations", n)
	}
}

// isForgiven shows the token before the newest to a program that knows nothing
// of it, as after a restart.
func (s *session) isForgiven(t *testing.T, client string, parent tokencache.Token) {
	t.Helper()
	before := s.proxy.total()
	forgetful := &tokencache.Coordinator{Refresher: s.endpoint}
	next, err := forgetful.Refresh(t.Context(), parent)
	if err != nil {
		t.Errorf("the token before the newest: %v", err)
		return
	}
	if same := next.Refresh() == s.browser.Refresh(); same != s.same {
		t.Errorf("the token before the newest brings the newest: %t", same)
	}
	if n := s.proxy.total() - before; n != 1 {
		t.Errorf("the token before the newest: %d presentations", n)
	}
	if err := s.call(s.shows(t, next), ""); err != nil {
		t.Errorf("what the token before the newest has brought: %v", err)
	}
	measured.note(s.server, client, "the one before the newest", s.brings())
}

// brings is what a spent refresh token brings, if anything.
func (s *session) brings() string {
	if s.same {
		return "200, the same again"
	}
	return "200, another one"
}

// logsOut: a logout reaches the server, and nothing brings the session back.
func (s *session) logsOut(t *testing.T) {
	first := s.browser
	second, err := s.coordinator.Refresh(t.Context(), first)
	must(t, err)
	if s.active != nil && !s.active(second.Refresh()) {
		t.Fatal("the new refresh token is not active")
	}
	// The browser still shows the first one: its response is on the way.
	must(t, s.coordinator.Revoke(t.Context(), first))
	if s.active != nil && s.active(second.Refresh()) {
		t.Error("the server still honours the newest refresh token")
	}
	if a := s.present(second.Refresh()); a.Status < 400 || a.Access != "" {
		t.Errorf("the newest refresh token was answered with %d", a.Status)
	}
	for _, tok := range []tokencache.Token{first, second} {
		if _, err := s.coordinator.Refresh(t.Context(), tok); !errors.Is(err, tokencache.ErrLoginRequired) {
			t.Errorf("after the logout: %v", err)
		}
	}
	if n := s.proxy.total(); n != 1 {
		t.Errorf("%d presentations", n)
	}
}

// A client that the server does not take for the one it says it is ends no
// session.
func refusedClient(t *testing.T, as *authServer, client string) {
	want := reason.ClientRefused
	if as.blamesGrant && methods[client] == "private_key_jwt" {
		want = reason.Refused // which nobody can tell from a session that is over
	}
	s, wrong := as.session(t, client), newAuthServer(t, as.server) // with another key
	wrong.TokenURL, wrong.Issuer, wrong.secret = as.TokenURL, as.Issuer, "not the secret"
	_, err := (&tokencache.Coordinator{Refresher: wrong.endpoint(client, s.proxy)}).Refresh(t.Context(), s.browser)
	var e *tokencache.Error
	if !errors.As(err, &e) || e.Reason != want {
		t.Errorf("%v, not %s", err, want)
	}
	if _, err := s.coordinator.Refresh(t.Context(), s.browser); err != nil {
		t.Errorf("the session is lost: %v", err)
	}
}

package authtest_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rebearer/rebearer/authtest"
)

func TestSignIn(t *testing.T) {
	as := newAS(t, authtest.ASConfig{AccessTTL: 90 * time.Second, RefreshTTL: 2 * time.Hour})
	token := as.SignIn("alice")
	if !strings.HasPrefix(token.Refresh(), "rt_") {
		t.Error("the refresh token has no prefix to search for")
	}
	equal(t, "life", token.Expiry().Sub(token.Issued()), 90*time.Second)
	equal(t, "refresh life", token.RefreshExpiry().Sub(token.Issued()), 2*time.Hour)
	equal(t, "alive", as.Alive(token.Refresh()), true)
	equal(t, "counts", as.Counts(), authtest.Counts{})
}

func TestStrictRotation(t *testing.T) {
	bothStyles(t, func(t *testing.T, s style) {
		as := newAS(t, authtest.ASConfig{})
		other := as.SignIn("alice").Refresh()
		first := as.SignIn("alice").Refresh()
		_, second := s.refresh(t, as, first)
		equal(t, "first alive", as.Alive(first), false)
		equal(t, "second alive", as.Alive(second), true)

		s.refuse(t, as, first)
		equal(t, "second alive after the reuse of the first", as.Alive(second), false)
		equal(t, "the other session of the user alive", as.Alive(other), true)
		s.refuse(t, as, second)
		equal(t, "counts", as.Counts(), authtest.Counts{
			Presentations: 3, Refreshes: 1, Refused: 2, Reuses: 1, MaxInFlight: 1,
		})
		equal(t, "presentations of the first", as.PresentationsOf(first), 2)

		as.ResetCounts()
		equal(t, "counts after reset", as.Counts(), authtest.Counts{})
		equal(t, "presentations after reset", as.PresentationsOf(first), 0)
	})
}

func TestGraceToleratesOnlyThePreviousGeneration(t *testing.T) {
	bothStyles(t, func(t *testing.T, s style) {
		as := newAS(t, authtest.ASConfig{Rotation: authtest.Grace})
		first := as.SignIn("alice").Refresh()
		_, second := s.refresh(t, as, first)
		_, third := s.refresh(t, as, first)
		equal(t, "second alive, now the previous", as.Alive(second), true)
		equal(t, "third alive", as.Alive(third), true)
		equal(t, "first alive, two generations behind", as.Alive(first), false)

		s.refuse(t, as, first)
		equal(t, "third alive", as.Alive(third), false)
		equal(t, "counts", as.Counts(), authtest.Counts{
			Presentations: 3, Refreshes: 2, Tolerated: 1, Refused: 1, Reuses: 1, MaxInFlight: 1,
		})
	})
}

func TestGraceEnds(t *testing.T) {
	bothStyles(t, func(t *testing.T, s style) {
		as := newAS(t, authtest.ASConfig{Rotation: authtest.Grace, GraceFor: 20 * time.Second})
		first := as.SignIn("alice").Refresh()
		_, second := s.refresh(t, as, first)
		as.Advance(20 * time.Second)
		equal(t, "first alive", as.Alive(first), false)
		equal(t, "second alive", as.Alive(second), true)
		s.refuse(t, as, first)
		equal(t, "second alive after the reuse", as.Alive(second), false)
	})
}

func TestNoRotation(t *testing.T) {
	bothStyles(t, func(t *testing.T, s style) {
		as := newAS(t, authtest.ASConfig{Rotation: authtest.NoRotation})
		token := as.SignIn("alice").Refresh()
		for range 3 {
			_, next := s.refresh(t, as, token)
			equal(t, "new refresh token", next, "")
		}
		equal(t, "counts", as.Counts(), authtest.Counts{Presentations: 3, Refreshes: 3, MaxInFlight: 1})
	})
}

func TestRefreshTokensExpire(t *testing.T) {
	bothStyles(t, func(t *testing.T, s style) {
		as := newAS(t, authtest.ASConfig{RefreshTTL: time.Minute})
		token := as.SignIn("alice").Refresh()
		as.Advance(time.Minute)
		equal(t, "alive", as.Alive(token), false)
		s.refuse(t, as, token)
		equal(t, "reuses", as.Counts().Reuses, 0)
	})
}

func TestEndSession(t *testing.T) {
	bothStyles(t, func(t *testing.T, s style) {
		as := newAS(t, authtest.ASConfig{})
		first := as.SignIn("alice").Refresh()
		_, second := s.refresh(t, as, first)
		as.EndSession(first)
		equal(t, "second alive", as.Alive(second), false)
		s.refuse(t, as, second)
		as.EndSession("unknown")
	})
}

// Of many presentations of one token at once exactly one is accepted, and each
// is counted.
func TestConcurrentPresentations(t *testing.T) {
	const sessions, each = 20, 50
	bothStyles(t, func(t *testing.T, s style) {
		as := newAS(t, authtest.ASConfig{})
		as.Transport().MaxConnsPerHost = 50
		var tokens []string
		for range sessions {
			tokens = append(tokens, as.SignIn("alice").Refresh())
		}
		var ok, refused atomic.Int64
		var wg sync.WaitGroup
		for range each {
			for _, token := range tokens {
				wg.Go(func() {
					a, err := s.try(as, token)
					switch {
					case err != nil:
						t.Error(err)
					case a.status == http.StatusOK:
						ok.Add(1)
					case a.status == s.dead:
						refused.Add(1)
					}
				})
			}
		}
		wg.Wait()
		equal(t, "accepted", ok.Load(), sessions)
		equal(t, "refused", refused.Load(), sessions*(each-1))
		c := as.Counts()
		if c.MaxInFlight < 1 || c.MaxInFlight > 50 {
			t.Errorf("in flight: %d over 50 connections", c.MaxInFlight)
		}
		c.MaxInFlight = 0
		equal(t, "counts", c, authtest.Counts{
			Presentations: sessions * each, Refreshes: sessions,
			Refused: sessions * (each - 1), Reuses: sessions * (each - 1),
		})
		for _, token := range tokens {
			equal(t, "presentations of one", as.PresentationsOf(token), each)
		}
	})
}

func TestMaxInFlight(t *testing.T) {
	bothStyles(t, func(t *testing.T, s style) {
		as := newAS(t, authtest.ASConfig{})
		gate := authtest.NewGate()
		as.Fail(gate.Hold)
		var wg sync.WaitGroup
		for range 7 {
			wg.Go(func() { s.refresh(t, as, as.SignIn("alice").Refresh()) })
		}
		for range 7 {
			<-gate.Arrived()
		}
		equal(t, "max in flight", as.Counts().MaxInFlight, 7)
		as.ResetCounts()
		gate.Open()
		wg.Wait()
		equal(t, "max in flight since then", as.Counts().MaxInFlight, 7)
		as.ResetCounts()
		equal(t, "max in flight later", as.Counts().MaxInFlight, 0)
	})
}

func TestMutate(t *testing.T) {
	bothStyles(t, func(t *testing.T, s style) {
		as := newAS(t, authtest.ASConfig{})
		as.Mutate(func(answer map[string]any) {
			answer["expires_in"] = "3600"
			answer["unknown"] = nil
			delete(answer, "refresh_token")
		})
		first := as.SignIn("alice").Refresh()
		a, err := s.try(as, first)
		if err != nil {
			t.Fatal(err)
		}
		_, unknown := a.members["unknown"]
		_, refresh := a.members["refresh_token"]
		equal(t, "expires_in", a.members["expires_in"], any("3600"))
		equal(t, "unknown member", unknown, true)
		equal(t, "refresh token", refresh, false)
		equal(t, "first alive", as.Alive(first), false)

		as.Mutate(nil)
		a, _ = s.try(as, as.SignIn("alice").Refresh())
		_, unknown = a.members["unknown"]
		equal(t, "unknown member", unknown, false)
	})
}

func TestNextSubject(t *testing.T) {
	bothStyles(t, func(t *testing.T, s style) {
		as := newAS(t, authtest.ASConfig{})
		api := newAPI(t, as)
		as.NextSubject("mallory")
		access, refresh := s.refresh(t, as, as.SignIn("alice").Refresh())
		equal(t, "user", get(t, api, "/users/me", access).members["user"], any("mallory"))
		access, _ = s.refresh(t, as, refresh)
		equal(t, "user later", get(t, api, "/users/me", access).members["user"], any("alice"))
	})
}

// The effect comes first: a client that leaves has lost a rotation.
func TestDelayFollowsTheEffect(t *testing.T) {
	bothStyles(t, func(t *testing.T, s style) {
		as := newAS(t, authtest.ASConfig{Delay: 20 * time.Millisecond})
		begin := time.Now()
		token := as.SignIn("alice").Refresh()
		s.refresh(t, as, token)
		if d := time.Since(begin); d < 20*time.Millisecond {
			t.Errorf("answered after %s", d)
		}
		equal(t, "alive", as.Alive(token), false)
	})
}

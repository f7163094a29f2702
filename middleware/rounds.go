package middleware

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// A round is a step-up for which a browser was sent to the login page lately,
// known by a hash of what was asked for. The browser keeps them in a cookie, so
// that there is an end of it whichever replica is asked. Who forges that cookie,
// or keeps none, has done so to himself: it lets nobody in, and its worst is a
// page with a link where a redirect could have been.

const (
	maxRounds = 4                // at a time, for an API that demands something new each time
	minRound  = 30 * time.Second // an authorization server that asks nobody answers within it
	maxRound  = 5 * time.Minute

	roundBytes = 16
	roundSize  = 22 // encoded
)

// roundOf returns the round of a demand. Those of pages and of what they fetch
// do not mix: a fetch in the background, whose answer nobody may follow, is not
// to keep a page from being redirected.
func roundOf(asked url.Values, visit bool) string {
	who := "fetch "
	if visit {
		who = "visit "
	}
	sum := sha256.Sum256([]byte("rebearer step-up " + who + asked.Encode()))
	return base64.RawURLEncoding.EncodeToString(sum[:roundBytes])
}

// rounds returns what the browser shows.
func (s *session) rounds() []string {
	c, err := s.request.Cookie(s.auth.names.rounds)
	if err != nil || len(c.Value) > maxRounds*(roundSize+1) {
		return nil
	}
	return slices.DeleteFunc(strings.Split(c.Value, "."), func(round string) bool {
		b, err := base64.RawURLEncoding.DecodeString(round)
		return err != nil || len(b) != roundBytes
	})
}

// vain reports whether the browser has been sent away for the same before, or
// too often.
func (s *session) vain(round string) bool {
	rounds := s.rounds()
	return len(rounds) >= maxRounds || slices.Contains(rounds, round)
}

// remember has the browser keep the round, but not for longer than a sign-in
// that it may lead to is recent enough: then the same demand is a new one.
func (s *session) remember(round string, maxAge time.Duration) {
	life := maxRound
	if maxAge >= 0 {
		life = min(max(maxAge, minRound), maxRound)
	}
	s.keep(append(s.rounds(), round), life)
}

// forget has the browser drop the round.
func (s *session) forget(round string) {
	rounds := slices.DeleteFunc(s.rounds(), func(r string) bool { return r == round })
	if len(rounds) >= maxRounds {
		rounds = nil
	}
	s.keep(rounds, maxRound)
}

// keep sets the cookie beside those of the tokens.
func (s *session) keep(rounds []string, life time.Duration) {
	line := s.auth.Cookies.rounds(s.auth.names.rounds, rounds, life).String()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.beside = []string{line}
	if s.alone || s.done {
		s.dress()
	}
}

// rounds returns the cookie. An authorization server sends the browser back from
// another site, so that it is never Strict.
func (c *Cookies) rounds(name string, rounds []string, life time.Duration) *http.Cookie {
	maxAge := int(life / time.Second)
	if len(rounds) == 0 {
		maxAge = -1
	}
	cookie := c.cookie(name, strings.Join(rounds, "."), "/", maxAge)
	if cookie.SameSite != http.SameSiteNoneMode { // in a frame of another site
		cookie.SameSite = http.SameSiteLaxMode
	}
	return cookie
}

//go:build unix

package main

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"
)

// rule says how the servers treat a session.
type rule struct {
	Refresh time.Duration // what an exchange takes
	Works   bool          // the first access token does not end
	Dead    bool          // the grant is dead: invalid_grant
	Hold    bool          // an exchange is answered when told so
	Gather  int           // so many 401s are held until the last of them is due
}

// counts is what the servers saw of a session.
type counts struct {
	Presentations, Refused int
	Good                   int // calls of the API that were answered with 200
	Old                    int // 401s to the first access token
	Other                  int // 401s to a later one
	Alive                  bool
}

// calls is how many the API got.
func (c counts) calls() int { return c.Good + c.Old + c.Other }

// session is one user's, from its first pair of tokens on. A refresh token works
// once, whatever becomes of the answer; the second use of one ends the session
// (RFC 9700 section 4.14.2), and with it all of its access tokens.
type session struct {
	rule
	first    pair
	told     chan struct{} // closed when held exchanges may be answered
	gathered chan struct{} // closed when the last of those to gather is there

	mu   sync.Mutex
	live map[string]bool // refresh tokens: false if it is spent
	good map[string]bool // access tokens
	seen counts
}

func newSession(r rule) *session {
	s := &session{
		rule: r, told: make(chan struct{}), gathered: make(chan struct{}),
		live: map[string]bool{}, good: map[string]bool{}, seen: counts{Alive: true},
	}
	s.first = s.issue()
	s.good[s.first.Access] = r.Works
	if !r.Hold {
		close(s.told)
	}
	return s
}

// issue makes the next pair. The caller holds mu, or nobody else has s.
func (s *session) issue() pair {
	p := pair{Access: "at-" + rand.Text(), Refresh: "rt-" + rand.Text()}
	s.live[p.Refresh], s.good[p.Access] = true, true
	return p
}

// spend answers a presentation with the successor, as soon as it is there.
func (s *session) spend(refresh string) (next pair, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	live, known := s.live[refresh]
	if !known {
		return pair{}, false // of another session, whose round is over
	}
	s.seen.Presentations++
	if live && !s.Dead && s.seen.Alive {
		s.live[refresh] = false
		return s.issue(), true
	}
	s.seen.Refused++
	s.seen.Alive = false
	clear(s.good)
	return pair{}, false
}

// call answers a call of the API.
func (s *session) call(access string) (ok bool, wait <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.good[access]:
		s.seen.Good++
		return true, nil
	case access != s.first.Access:
		s.seen.Other++
		return false, nil
	}
	s.seen.Old++
	if s.seen.Old > s.Gather {
		return false, nil
	}
	if s.seen.Old == s.Gather {
		close(s.gathered)
	}
	return false, s.gathered
}

func (s *session) counts() counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

// token is the token endpoint (RFC 6749 section 6).
func (s *session) token(w http.ResponseWriter, r *http.Request) {
	next, ok := s.spend(r.PostFormValue("refresh_token"))
	time.Sleep(s.Refresh)
	<-s.told
	w.Header().Set("Content-Type", "application/json")
	if !ok {
		w.WriteHeader(http.StatusBadRequest)
		w.Write([]byte(`{"error":"invalid_grant"}`))
		return
	}
	json.NewEncoder(w).Encode(map[string]any{
		"access_token": next.Access, "refresh_token": next.Refresh, "token_type": "Bearer", "expires_in": 3600,
	})
}

// api is a resource server (RFC 6750).
func (s *session) api(w http.ResponseWriter, r *http.Request) {
	access, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	ok, wait := s.call(access)
	if wait != nil {
		<-wait
	}
	w.Header().Set("Content-Type", "application/json")
	if !ok {
		w.Header().Set("WWW-Authenticate", `Bearer realm="api", error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
		w.Write([]byte(`{"error":"invalid_token"}`))
		return
	}
	w.Write([]byte(`{"name":"Ann"}`))
}

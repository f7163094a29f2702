//go:build unix

package main

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// server is a strict authorization server: a refresh token works once.
type server struct {
	*httptest.Server

	mu    sync.Mutex
	delay time.Duration
	live  map[string]bool // refresh tokens
	seen  exchanges
}

// exchanges is what the server has seen since it was asked the last time.
type exchanges struct {
	Presentations, Refused int
	Next                   pair  // what was issued first
	Arrived                int64 // when the request for that did
	// Sent is when the server began to hand the answer to the kernel, by one
	// write; Written when that call had returned.
	Sent, Written int64
}

// pair is an access token and its refresh token.
type pair struct{ Access, Refresh string }

func startServer(t testing.TB) *server {
	s := &server{live: map[string]bool{}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.token))
	t.Cleanup(s.Close)
	return s
}

func (s *server) setDelay(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay = d
}

// signIn begins a session.
func (s *server) signIn() pair {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := pair{"at-" + rand.Text(), "rt-" + rand.Text()}
	s.live[p.Refresh] = true
	return p
}

// take returns what was seen, and sees anew.
func (s *server) take() exchanges {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.seen
	s.seen = exchanges{}
	return seen
}

// spend uses the refresh token up, as soon as it is shown.
func (s *server) spend(refresh string) (ok bool, delay time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen.Presentations++
	ok = s.live[refresh]
	delete(s.live, refresh)
	if !ok {
		s.seen.Refused++
	}
	return ok, s.delay
}

// token is the token endpoint (RFC 6749 section 6).
func (s *server) token(w http.ResponseWriter, r *http.Request) {
	arrived := now()
	ok, delay := s.spend(r.PostFormValue("refresh_token"))
	time.Sleep(delay)
	w.Header().Set("Content-Type", "application/json")
	if !ok {
		w.WriteHeader(http.StatusBadRequest)
		w.Write([]byte(`{"error":"invalid_grant"}`))
		return
	}
	next := s.signIn()
	body, _ := json.Marshal(map[string]any{
		"access_token": next.Access, "refresh_token": next.Refresh, "token_type": "Bearer", "expires_in": 3600,
	})
	w.Write(body) // into a buffer
	sent := now()
	http.NewResponseController(w).Flush()
	written := now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen.Sent == 0 {
		s.seen.Next, s.seen.Arrived, s.seen.Sent, s.seen.Written = next, arrived, sent, written
	}
}

package integration

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// restart has the server go down before, and come up while two sessions want new
// tokens, with 200 calls each.
func restart(t *testing.T, s server, run running) {
	var sessions []*session
	var asked []string
	for _, client := range []string{"bff", "spa", "cookie"} {
		if !s.knows(client) {
			continue
		}
		sessions, asked = append(sessions, run.session(t, client)), append(asked, client)
	}
	for _, s := range sessions {
		s.awaitExpiry()
		s.proxy.away.Store(true)
	}
	run.tell(t, "down")
	var failed, done sync.WaitGroup
	tabs, failures := make([][]context.Context, len(sessions)), make([]atomic.Int64, len(sessions))
	for i, s := range sessions {
		tabs[i] = s.tabs(t)
		s.insist(t, tabs[i], 200, &failures[i], &failed, &done)
	}
	failed.Wait() // each call, once
	for _, s := range sessions {
		s.proxy.away.Store(false)
	}
	run.tell(t, "up")
	done.Wait()
	for i, s := range sessions {
		measured.note(s.server, asked[i], "calls that failed while it was down", failures[i].Load())
		measured.note(s.server, asked[i], "presentations then", s.proxy.total())
		s.wentOn(t, asked[i])
		s.receive(t, tabs[i][0])
		before := s.proxy.total()
		s.awaitExpiry()
		s.storm(t, 20)
		if n := s.proxy.total() - before; n != 1 {
			t.Errorf("%s: %d presentations, one expiry later", asked[i], n)
		}
	}
}

// wentOn: the refresh token was presented once. On a slow machine its successor,
// which lives for seconds, may have been so too.
func (s *session) wentOn(t *testing.T, client string) {
	t.Helper()
	if n, again := s.proxy.of(s.login.Refresh), s.twice(); n != 1 && !s.keeps || n == 0 || again != 0 {
		t.Errorf("%s: %d presentations, %d tokens twice", client, n, again)
	}
}

// insist makes n calls, each until it succeeds. A server that is not there ends
// no session.
func (s *session) insist(t *testing.T, tabs []context.Context, n int, failures *atomic.Int64, failed, done *sync.WaitGroup) {
	failed.Add(n)
	for i := range n {
		done.Go(func() {
			once := sync.OnceFunc(failed.Done)
			defer once()
			first := sync.OnceFunc(func() { failures.Add(1) })
			for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
				err := s.call(tabs[i%len(tabs)], "")
				var e *tokencache.Error
				switch {
				case err == nil:
					return
				case !errors.As(err, &e) || e.Reason != reason.Network || errors.Is(err, tokencache.ErrLoginRequired):
					t.Errorf("while the server is down: %v", err)
					return
				case time.Now().After(deadline):
					t.Errorf("half a minute after the server went down: %v", err)
					return
				}
				first()
				once()
			}
		})
	}
}

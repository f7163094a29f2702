package integration

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport"
)

// session is a user of rebearer: a client that was set up once, and what the
// browser holds.
type session struct {
	server
	api         *resourceAPI
	proxy       *countingProxy
	endpoint    endpoint
	coordinator *tokencache.Coordinator
	client      *http.Client
	login       answer
	browser     tokencache.Token

	present func(refreshToken string) answer // with nothing of rebearer in between
	active  func(refreshToken string) bool   // nil: nobody tells
}

type endpoint interface {
	tokencache.Refresher
	tokencache.Revoker
}

const grace = 2 * time.Second

// open sets the client up.
func (s *session) open(e endpoint) *session {
	s.endpoint = e
	s.coordinator = &tokencache.Coordinator{Refresher: e, Revoker: e, Grace: grace, Ahead: -1}
	s.client = &http.Client{Transport: &transport.Transport{Base: s.proxy, Origins: []string{s.api.URL}}}
	s.browser = tokencache.NewToken(tokencache.TokenFields{
		Access: s.login.Access, Refresh: s.login.Refresh, Expiry: s.login.expiry(),
	})
	return s
}

// shows returns the context of a request that shows the token.
func (s *session) shows(t *testing.T, shown tokencache.Token) context.Context {
	return tokencache.NewContext(t.Context(), tokencache.New(s.coordinator, shown))
}

// tabs are requests of one browser.
func (s *session) tabs(t *testing.T) []context.Context {
	ctxs := make([]context.Context, 10)
	for i := range ctxs {
		ctxs[i] = s.shows(t, s.browser)
	}
	return ctxs
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
	tabs := s.tabs(t)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if err := s.call(tabs[i%len(tabs)], strings.Repeat("x", i%3*1000)); err != nil {
				t.Errorf("call %d: %v", i, err)
			}
		})
	}
	all.Wait()
	s.receive(t, tabs[0])
}

// receive gives the browser what a request has got.
func (s *session) receive(t *testing.T, ctx context.Context) {
	t.Helper()
	next, changed := tokencache.FromContext(ctx).Changed()
	if !changed {
		t.Fatal("the browser has nothing new to be given")
	}
	s.browser = next
}

// awaitExpiry returns when the browser's access token has ended.
func (s *session) awaitExpiry() { time.Sleep(time.Until(s.browser.Expiry()) + 50*time.Millisecond) }

// twice is how many refresh tokens were presented more than once, where they
// are good for once.
func (s *session) twice() int {
	if s.keeps {
		return 0
	}
	return s.proxy.reused()
}

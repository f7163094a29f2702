package middleware_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport"
)

// T-L4, RFC 9700 section 4.14: a thief presents a stolen refresh token before its
// owner does. The server takes the owner's presentation for the theft, and ends
// the thief's session, too. The owner's browser presents once for all of its
// tabs, is signed out once, with a reason, and shows nothing any more.
func TestAThiefWhoIsFaster(t *testing.T) {
	w := start(t)
	var mu sync.Mutex
	var log bytes.Buffer
	w.auth.Coordinator.Log = slog.New(slog.NewJSONHandler(&locked{w: &log, mu: &mu}, nil))
	s := w.pages(w.page())
	owner := s.browser()
	token := owner.expired("ada")
	thief, err := (&transport.TokenEndpoint{URL: w.as.TokenURL(), ClientID: "bff", Base: w.base}).Refresh(t.Context(), token)
	if err != nil || !w.as.Alive(thief.Refresh()) {
		t.Fatalf("the thief was not faster: %v", err)
	}
	w.as.ResetCounts()
	var tabs sync.WaitGroup
	for range 20 {
		tab := s.browser2(owner)
		tabs.Go(func() {
			a, err := tab.try("GET", "/orders", "", navigating)
			if err != nil || a.StatusCode != 303 || !a.clearsTokens() || a.Header.Get("Location") != "/login?next=%2Forders" {
				t.Errorf("%v %d %v", err, a.StatusCode, a.Header)
			}
		})
	}
	tabs.Wait()
	must(t, s.browser2(owner).visit("/orders"), 303, "") // one that is late
	if c := w.as.Counts(); c.Presentations != 1 || c.Reuses != 1 || w.as.Alive(thief.Refresh()) {
		t.Errorf("%+v; the thief is signed in: %t", c, w.as.Alive(thief.Refresh()))
	}
	mu.Lock()
	defer mu.Unlock()
	if n := strings.Count(log.String(), `"reason":"refused"`); n != 1 {
		t.Errorf("the end is logged %d times: %s", n, log.String())
	}
}

type locked struct {
	w  *bytes.Buffer
	mu *sync.Mutex
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// T-L1: cookies of somebody's invention. An expired access token that nobody
// signed says nothing of whose session it is, and each made-up refresh token is
// presented at most once, however often it is shown. Who is signed in stays so.
func TestCookiesThatSomebodyMadeUp(t *testing.T) {
	w := start(t)
	w.auth.Coordinator.MaxInFlight = 4
	s := w.pages(w.page())
	ada := s.browser()
	ada.expired("ada")
	forged := "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEiLCJleHAiOjF9."
	var all sync.WaitGroup
	for i := range 200 {
		b := s.browser()
		b.keep(forged, fmt.Sprint("made-up-", i%100))
		all.Go(func() {
			a, err := b.try("GET", "/", "", []http.Header{navigating, fetching}[i%2])
			if err != nil || a.setsTokens() || strings.Contains(a.body, "page of") {
				t.Errorf("%v %d %s", err, a.StatusCode, a.body)
			}
		})
	}
	all.Wait()
	for i := range 100 {
		b := s.browser()
		b.keep(forged, fmt.Sprint("made-up-", i))
		must(t, b.visit("/"), 303, "")
	}
	if c := w.as.Counts(); c.Presentations > 100 || c.MaxInFlight > 4 {
		t.Errorf("%d presentations of 100 made-up tokens, %d at a time", c.Presentations, c.MaxInFlight)
	}
	must(t, ada.visit("/"), 200, "page of ada")
}

// T-D10, T-H4: what is remembered of a request is remembered by the whole access
// token, so that nobody is served what was made for another, not even who shows
// another's access token beside a refresh token of his own.
func TestAnAccessTokenOfAnotherBesideOnesOwn(t *testing.T) {
	w := start(t)
	s := w.pages(w.page())
	ada, mallory := s.browser(), s.browser()
	stolen := ada.signedIn("ada")
	must(t, ada.visit("/"), 200, "page of ada")
	own := w.as.SignIn("mallory")
	mallory.keep(w.stale("ada", time.Minute), own.Refresh())
	a := mallory.visit("/")
	if strings.Contains(a.body, "page of") || !w.as.Alive(stolen.Refresh()) {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if got := tokencache.New(w.auth.Coordinator, own).Token(); !got.Same(own) {
		t.Error("a session took another's token")
	}
	must(t, ada.visit("/"), 200, "page of ada")
}

// T-F4: with the prefix __Host-Http- of RFC 10017, too, which browsers take for
// one of the prefix __Host- as well.
func TestThePrefixHostHttp(t *testing.T) {
	a := &middleware.Authenticator{Coordinator: &tokencache.Coordinator{}, Cookies: middleware.Cookies{Access: "__Host-Http-a", Refresh: "__Host-Http-r"}}
	if err := a.Validate(); err != nil {
		t.Error(err)
	}
	a = &middleware.Authenticator{Coordinator: &tokencache.Coordinator{}, Cookies: middleware.Cookies{Access: "__Host-Http-a", InsecureNoTLS: true}}
	if a.Validate() == nil {
		t.Error("no browser keeps it without Secure")
	}
}

package middleware_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/middleware"
)

// What became of the users of the memo's own system, under its circumstances,
// and what becomes of ours: a test for each sentence.

// Twenty tabs with one expired session: twenty pages.
func TestTwentyTabsOfOneSession(t *testing.T) {
	w := start(t)
	s := w.pages(w.page())
	token := w.as.SignIn("ada")
	stale := w.stale("ada", time.Minute)
	var tabs sync.WaitGroup
	for range 20 {
		tabs.Go(func() {
			b := s.browser()
			b.keep(stale, token.Refresh())
			for range 2 {
				if a, err := b.try("GET", "/", "", navigating); err != nil || a.StatusCode != 200 {
					t.Errorf("%v %d", err, a.StatusCode)
				}
			}
			if _, refresh := b.cookies(); !w.as.Alive(refresh) {
				t.Error("the tab holds a dead token")
			}
		})
	}
	tabs.Wait()
	w.presentations(1)
}

// Fifty users with ten simultaneous requests each: fifty sessions, one
// presentation for each, and nobody gets anybody else's page.
func TestFiftyUsersWithTenRequestsEach(t *testing.T) {
	w := start(t)
	s := w.pages(w.page())
	var all sync.WaitGroup
	for u := range 50 {
		user := fmt.Sprintf("user-%d", u)
		token := w.as.SignIn(user)
		stale := w.stale(user, time.Minute)
		for i := range 10 {
			all.Go(func() {
				b := s.browser()
				b.keep(stale, token.Refresh())
				h := fetching
				if i%2 == 0 {
					h = navigating
				}
				a, err := b.try("GET", "/", "", h)
				if err != nil || a.StatusCode != 200 || a.body != "page of "+user+", "+user {
					t.Errorf("%v %d %q", err, a.StatusCode, a.body)
				}
				if _, refresh := b.cookies(); !w.as.Alive(refresh) {
					t.Error("a session is lost")
				}
			})
		}
	}
	all.Wait()
	w.presentations(50)
}

// uploads forwards what it gets to the API, as a BFF does, up to a limit.
func (w *world) uploads(limit int64) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.ContentLength > limit { // before anything is sent to the API
			http.Error(rw, "too large", http.StatusRequestEntityTooLarge)
			return
		}
		body := http.MaxBytesReader(rw, r.Body, limit)
		req, _ := http.NewRequestWithContext(r.Context(), "POST", w.api.URL+"/comments", body)
		req.ContentLength = r.ContentLength
		resp, err := w.call.Do(req)
		var over *http.MaxBytesError
		switch {
		case errors.As(err, &over):
			http.Error(rw, "too large", http.StatusRequestEntityTooLarge)
			return
		case err != nil:
			w.auth.Error(rw, r, err)
			return
		}
		defer resp.Body.Close()
		rw.WriteHeader(resp.StatusCode)
		sum := sha256.New()
		io.Copy(sum, resp.Body)
		fmt.Fprint(rw, hex.EncodeToString(sum.Sum(nil)))
	})
}

// T-G7: a form of 12 MB across an expiry: whole, and saved once. Over a configured
// limit it is refused, and never cut.
func TestALargeFormAcrossAnExpiry(t *testing.T) {
	w := start(t)
	body := strings.Repeat("0123456789abcdef", 12<<16)
	sum := sha256.Sum256([]byte(body))
	b := w.pages(w.uploads(16 << 20)).browser()
	b.expired("ada")
	must(t, b.do("POST", "/", body, navigating), 200, hex.EncodeToString(sum[:]))
	if c := w.api.Counts(); c.OK != 1 {
		t.Errorf("saved %d times", c.OK)
	}
	w.presentations(1)

	b = w.pages(w.uploads(8 << 20)).browser()
	b.signedIn("grace")
	a := b.do("POST", "/", body, navigating)
	if a.StatusCode != 413 {
		t.Errorf("%d %.100s", a.StatusCode, a.body)
	}
	if c := w.api.Counts(); c.OK != 1 {
		t.Errorf("saved %d times", c.OK)
	}
}

// T-G9: twelve prefetched links: the session lives, and the page that is clicked is
// there.
func TestTwelvePrefetchedLinks(t *testing.T) {
	w := start(t)
	s := w.pages(w.page())
	b := s.browser()
	b.expired("ada")
	h := navigating.Clone()
	h.Set("Sec-Purpose", "prefetch")
	var links sync.WaitGroup
	for range 12 {
		links.Go(func() { b.try("GET", "/", "", h) })
	}
	links.Wait()
	w.presentations(0)
	must(t, b.visit("/"), 200, "page of ada")
	w.presentations(1)
}

// The API's clock is 30 s ahead: it rejects what we think lives.
func TestTheClockOfTheAPIIsAhead(t *testing.T) {
	w := start(t)
	b := w.pages(w.page()).browser()
	token := w.as.SignIn("ada")
	b.keep(w.forge(map[string]any{"exp": time.Now().Add(20 * time.Second).Unix(), "iat": time.Now().Add(-4 * time.Minute).Unix()}), token.Refresh())
	w.as.RevokeAccess()
	w.as.Advance(30 * time.Second)
	for range 3 {
		must(t, b.visit("/"), 200, "page of ada")
	}
	w.presentations(1)
}

// Signed out elsewhere: one refresh, a redirect to the login page, cookies
// cleared; and a fetch that clears nothing.
func TestSignedOutElsewhere(t *testing.T) {
	w := start(t)
	var log bytes.Buffer
	w.auth.Log = slog.New(slog.NewJSONHandler(&log, nil))
	s := w.pages(w.page())
	for _, how := range []string{"the token has ended", "the API rejects it"} {
		t.Run(how, func(t *testing.T) {
			w.as.ResetCounts()
			b := s.browser()
			var refresh string
			if how == "the token has ended" {
				refresh = b.expired("ada").Refresh()
			} else {
				refresh = b.signedIn("ada").Refresh()
				w.as.RevokeAccess()
			}
			w.as.EndSession(refresh)
			if a := b.fetch("/"); a.StatusCode != 401 || len(a.Cookies()) > 0 || a.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("a fetch: %d %v", a.StatusCode, a.Header)
			}
			a := b.visit("/orders")
			if a.StatusCode != 303 || a.Header.Get("Location") != "/login?next=%2Forders" || !a.clearsTokens() {
				t.Errorf("%d %v", a.StatusCode, a.Header)
			}
			if access, refresh := b.cookies(); access+refresh != "" {
				t.Error("the browser still has them")
			}
			w.presentations(1)
			if !strings.Contains(log.String(), `"reason":"refused"`) {
				t.Errorf("not logged: %s", log.String())
			}
		})
	}
}

// The refresh endpoint answers 503: so do we, with Retry-After, no loop, nothing
// deleted, and it heals by itself. As long as the old token lives it serves.
func TestTheAuthorizationServerIsDown(t *testing.T) {
	for _, mode := range []middleware.Mode{middleware.Inline, middleware.Redirect} {
		w := start(t, with(func(a *middleware.Authenticator) { a.Mode = mode }))
		w.auth.Coordinator.Cooldown = 50 * time.Millisecond
		w.as.Fail(authtest.RetryAfter(503, "0"))
		s := w.pages(w.page())
		b := s.browser()
		b.expired("ada")
		for _, h := range []http.Header{navigating, fetching} {
			a := b.do("GET", "/", "", h)
			if a.StatusCode != 503 || a.Header.Get("Retry-After") == "" || len(a.Cookies()) > 0 {
				t.Errorf("%d %v", a.StatusCode, a.Header)
			}
		}
		living := s.browser()
		living.keep(w.forge(map[string]any{"sub": "ada"}), "whatever")
		must(t, w.pages(still).browser2(living).visit("/"), 200, "still, ada")
		w.as.Fail(nil)
		for deadline := time.Now().Add(5 * time.Second); ; {
			a := b.visit("/")
			if a.StatusCode == 307 {
				a = b.visit("/")
			}
			if a.StatusCode == 200 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d: it does not heal", a.StatusCode)
			}
		}
		if w.as.Counts().Reuses != 0 {
			t.Error("a token was presented twice")
		}
	}
}

// browser2 is another site's browser with the same jar.
func (s *site) browser2(b *browser) *browser {
	c := s.browser()
	c.keep(b.cookies())
	return c
}

// A dead session in twenty tabs: one refresh call.
func TestADeadSessionInTwentyTabs(t *testing.T) {
	w := start(t)
	s := w.pages(w.page())
	token := w.as.SignIn("ada")
	w.as.EndSession(token.Refresh())
	stale := w.stale("ada", time.Minute)
	var tabs sync.WaitGroup
	for range 20 {
		tabs.Go(func() {
			b := s.browser()
			b.keep(stale, token.Refresh())
			if a, err := b.try("GET", "/", "", navigating); err != nil || a.StatusCode != 303 || !a.clearsTokens() {
				t.Errorf("%v %d", err, a.StatusCode)
			}
		})
	}
	tabs.Wait()
	w.presentations(1)
}

// A page that is the same for all, and says so: no token in what a shared cache
// may keep.
func TestAPageThatIsTheSameForAll(t *testing.T) {
	w := start(t, with(func(a *middleware.Authenticator) { a.Public = []string{"GET /public"} }))
	s := w.pages(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Cache-Control", "public, s-maxage=31536000")
		rw.Header().Set("ETag", `"1"`)
		io.WriteString(rw, "public")
	}))
	b := s.browser()
	if a := b.visit("/public"); a.StatusCode != 200 || a.Header.Get("Cache-Control") != "public, s-maxage=31536000" {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
	b.expired("ada")
	a := b.visit("/public")
	must(t, a, 200, "public")
	if !a.setsTokens() || a.Header.Get("Cache-Control") != "private, no-store" {
		t.Errorf("%v", a.Header)
	}
	dead := s.browser()
	w.as.EndSession(dead.expired("grace").Refresh())
	a = dead.visit("/public")
	must(t, a, 200, "public")
	if !a.clearsTokens() || a.Header.Get("Cache-Control") != "private, no-store" {
		t.Errorf("a dead session on a public page: %v", a.Header)
	}
	w.as.Fail(authtest.Answer(500, nil, ""))
	ill := s.browser()
	ill.expired("barbara")
	a = ill.visit("/public")
	must(t, a, 200, "public")
	if len(a.Cookies()) > 0 {
		t.Errorf("an outage on a public page: %v", a.Header)
	}
}

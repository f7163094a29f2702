package middleware_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/event"
)

// New tokens are told to be delivered once, by the response that has them, and to be
// parked where they came too late for it. For tokens that the server keeps it is never
// too late.
func TestWhatIsToldOfNewTokens(t *testing.T) {
	for place, late := range map[string][2][]string{
		"plain cookies": {{"parked"}, {"delivered"}},
		"sessions":      {{"delivered"}, nil},
	} {
		t.Run(place, func(t *testing.T) {
			toldOfNewTokens(t, start(t, places[place](t, &tokencache.MemoryStore{})), late[0], late[1])
		})
	}
}

func toldOfNewTokens(t *testing.T, w *world, late, next []string) {
	var mu sync.Mutex
	var told []string
	w.auth.Coordinator.Observe = func(ctx context.Context, e event.Event) {
		mu.Lock()
		defer mu.Unlock()
		switch e.Kind {
		case event.Delivered, event.Parked:
			if ctx.Value(http.ServerContextKey) == nil {
				t.Errorf("%s has not the context of the request", e.Kind)
			}
			told = append(told, string(e.Kind))
		case event.Ended:
			told = append(told, string(e.Reason))
		}
	}
	served := make(chan struct{}, 10) // a response is through after the browser has it
	page := w.page()
	whole := w.pages(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/late") {
			rw.(http.Flusher).Flush()
		}
		page.ServeHTTP(rw, r)
	})).Config.Handler
	b := w.serve(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		defer func() { served <- struct{}{} }()
		whole.ServeHTTP(rw, r)
	})).browser()
	want := func(what string, words []string) {
		t.Helper()
		<-served
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(told, words) {
			t.Errorf("%s: told %q, want %q", what, told, words)
		}
		told = nil
	}
	b.do("POST", "/login", "user=ada", fetching)
	want("a sign-in", nil)
	b.visit("/")
	want("a token that works", nil)
	w.as.RevokeAccess()
	b.visit("/")
	want("a renewal while the handler runs", []string{"delivered"})
	w.as.RevokeAccess()
	b.visit("/late")
	want("one after the header", late)
	b.visit("/")
	want("the next response", next)
	b.do("POST", "/login", "user=grace", fetching)
	want("another sign-in", []string{"replaced"})
	b.do("POST", "/logout", "", fetching)
	want("a logout", []string{"logged_out"})
}

// The redirect of Redirect mode is the response that delivers.
func TestARedirectDelivers(t *testing.T) {
	for name, place := range places {
		t.Run(name, func(t *testing.T) {
			w := start(t, redirecting, place(t, &tokencache.MemoryStore{}))
			told := make(chan event.Kind, 10)
			w.auth.Coordinator.Observe = func(_ context.Context, e event.Event) {
				if e.Kind == event.Delivered || e.Kind == event.Parked {
					told <- e.Kind
				}
			}
			b := w.serve(w.rooms(new(ledger))).browser()
			b.again("ada", true)
			if a := b.visit("/"); a.StatusCode != http.StatusTemporaryRedirect {
				t.Fatalf("%d", a.StatusCode)
			}
			if len(told) != 1 || <-told != event.Delivered {
				t.Error("that is not told, or something else")
			}
			must(t, b.visit("/"), 200, "page of ada")
			w.presentations(1)
		})
	}
}

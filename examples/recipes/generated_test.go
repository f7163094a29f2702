package recipes_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport"
)

// generated is a generated client: the recipe around it, and a call of its own.
type generated struct {
	pages http.Handler
	me    func(context.Context) error
}

// A generator makes one, for an API and over a Transport.
type generator func(auth *middleware.Authenticator, url string, rt http.RoundTripper) generated

// form is what a page sends.
var form = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {"same-origin"}}

// guarded serves what the API does not know, behind the API's check of the token.
func guarded(serve http.Handler) authtest.Fault {
	return func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
		ask := r.Clone(r.Context())
		ask.Method, ask.URL.Path, ask.Body = http.MethodGet, "/users/me", http.NoBody
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, ask)
		if user := answer.Header().Get(authtest.UserHeader); user != "" && r.URL.Path != "/users/me" {
			rw.Header().Set(authtest.UserHeader, user)
			serve.ServeHTTP(rw, r)
			return
		}
		next.ServeHTTP(rw, r) // a refusal comes before the body is read
	}
}

// client makes the recipe, and a browser in front of it.
func (w *world) client(make generator, serve http.Handler) (generated, *browser) {
	w.api.Intercept(guarded(serve))
	g := make(w.auth, w.api.URL, &transport.Transport{Base: w.base, Origins: []string{w.api.URL}})
	return g, w.browse(g.pages)
}

// signIn returns the context of a user whose access token the API takes no more.
func (w *world) signIn(over bool) context.Context {
	shown := w.as.SignIn("grace")
	w.as.RevokeAccess()
	if over {
		w.as.EndSession(shown.Refresh())
	}
	return tokencache.NewContext(w.t.Context(), tokencache.New(w.auth.Coordinator, shown))
}

// checkGenerated runs what holds for every recipe of a generated client.
func checkGenerated(t *testing.T, make generator, api http.Handler) {
	t.Run("ten parallel calls make one presentation", func(t *testing.T) {
		w := start(t)
		_, b := w.client(make, api)
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { b.must(b.get("/me"), http.StatusOK, "page of ada") })
		}
		all.Wait()
		b.once()
	})

	t.Run("a body is sent again as it was, after a 401 that came before it was read", func(t *testing.T) {
		for name, size := range map[string]int{"small": 3, "640 KiB": 640 << 10} {
			t.Run(name, func(t *testing.T) {
				w := start(t)
				_, b := w.client(make, api)
				item := strings.Repeat("tea", size/3)
				a := b.do("POST", "/items", strings.NewReader(url.Values{"name": {item}}.Encode()), form)
				if a.StatusCode != http.StatusOK || a.body != item {
					t.Fatalf("%d with %d bytes: %.200q", a.StatusCode, len(a.body), a.body)
				}
				b.once()
				if c := w.api.Counts(); c.Unauthorized != 1 || c.OK != 1 {
					t.Errorf("%d answers of 401, %d of 200", c.Unauthorized, c.OK)
				}
			})
		}
	})

	t.Run("a session that is over is ErrLoginRequired, the login page, and 401 for a fetch", func(t *testing.T) {
		w := start(t)
		g, b := w.client(make, api)
		err := g.me(w.signIn(true))
		if !errors.Is(err, tokencache.ErrLoginRequired) || !errors.Is(err, tokencache.ErrUnauthorized) {
			t.Error(err)
		}
		w.as.EndSession(b.refreshToken())
		b.must(b.get("/me"), http.StatusUnauthorized, `"status":401`)
		a := b.must(b.do("GET", "/me", nil, navigating), http.StatusSeeOther, "")
		if to := a.Header.Get("Location"); to != "/login?next=%2Fme" || b.refreshToken() != "" {
			t.Errorf("a page: to %q, and the jar has %q", to, b.refreshToken())
		}
	})

	t.Run("after a logout there is no call", func(t *testing.T) {
		w := start(t)
		_, b := w.client(make, api)
		b.must(b.do("POST", "/logout", nil, http.Header{"Sec-Fetch-Site": {"same-origin"}}), http.StatusNoContent, "")
		b.must(b.get("/me"), http.StatusUnauthorized, "")
		if n := w.api.Counts().Requests; n != 0 {
			t.Errorf("%d calls", n)
		}
	})

	t.Run("a 401 that stays is unauthorized, after one presentation, and nobody is signed out", func(t *testing.T) {
		w := start(t)
		g, b := w.client(make, api)
		w.api.Refuse(authtest.Refusal{Always: true})
		b.must(b.get("/me"), http.StatusBadGateway, "does not accept your session")
		b.once()
		err := g.me(w.signIn(false))
		if !errors.Is(err, tokencache.ErrUnauthorized) || errors.Is(err, tokencache.ErrLoginRequired) {
			t.Error(err)
		}
	})

	t.Run("a stronger sign-in leads to the login page, and no token is refreshed", func(t *testing.T) {
		for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden} {
			w := start(t)
			g, b := w.client(make, api)
			w.api.Refuse(authtest.Refusal{Always: true, Status: status, Challenge: `Bearer error="insufficient_user_authentication", acr_values="gold"`})
			a := b.must(b.do("GET", "/me", nil, navigating), http.StatusSeeOther, "")
			if to := a.Header.Get("Location"); to != "/login?next=%2Fme&acr_values=gold" || w.as.Counts().Presentations != 0 {
				t.Errorf("%d: to %q, after %d presentations", status, to, w.as.Counts().Presentations)
			}
			var wanted *tokencache.StepUpError
			err := g.me(w.signIn(false))
			if !errors.As(err, &wanted) || wanted.ACRValues[0] != "gold" {
				t.Errorf("%d: %v", status, err)
			}
		}
	})

	t.Run("an authorization server that fails is 503, and costs nobody the session", func(t *testing.T) {
		w := start(t)
		_, b := w.client(make, api)
		w.as.FailNext(1, authtest.Answer(http.StatusServiceUnavailable, nil, ""))
		if a := b.must(b.get("/me"), http.StatusServiceUnavailable, "still signed in"); a.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		if !w.as.Alive(b.refreshToken()) {
			t.Error("the session is over")
		}
	})
}

// unknown is about an answer that openapi.yaml does not have.
func unknown(t *testing.T, make generator) {
	t.Run("an answer that the document does not know is 502, and no reason to refresh", func(t *testing.T) {
		w := start(t)
		_, b := w.client(make, items)
		w.api.Intercept(authtest.Answer(http.StatusServiceUnavailable, nil, ""))
		b.must(b.get("/me"), http.StatusBadGateway, "A server behind this one")
		if n := w.as.Counts().Presentations; n != 0 {
			t.Errorf("%d presentations", n)
		}
	})
}

// items is the rest of the API of openapi.yaml: it answers with what it got.
var items = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if _, err := io.Copy(w, r.Body); err != nil {
		panic(http.ErrAbortHandler)
	}
})

package recipes_test

import (
	"html"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/examples/recipes"
)

// fragments is a browser with a page of htmx, whose refresh cookie is seen below
// /auth/ only.
func (w *world) fragments() *browser {
	w.auth.Cookies.RefreshPath = "/auth/"
	return w.browse(recipes.HTMX(w.auth, w.rest))
}

// xhr sends what htmx sends, by what a browser does with it: it follows a redirect
// by itself, with the method, the body and the header that there were. A browser says
// nothing of what it fetches where the page is on plain http, unless on loopback.
func (b *browser) xhr(method, path, body string, unsaid ...string) answer {
	b.w.t.Helper()
	following := *b
	following.http = &http.Client{Jar: b.jar, Transport: b.http.Transport}
	h := http.Header{
		"Hx-Request": {"true"}, "Hx-Current-Url": {b.URL + "/?page=2"}, "Accept": {"text/html"},
		"Sec-Fetch-Site": {"same-origin"}, "Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Dest": {"empty"},
	}
	if body != "" {
		h.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, name := range unsaid {
		h.Del(name)
	}
	return following.do(method, path, strings.NewReader(body), h)
}

// refreshing is refreshToken where pages do not see it.
func (b *browser) refreshing() string {
	below := *b
	below.URL += "/auth/"
	return below.refreshToken()
}

// presented fails unless so many refresh tokens were presented.
func (b *browser) presented(n int) {
	b.w.t.Helper()
	if c := b.w.as.Counts(); c.Presentations != n || c.Reuses != 0 {
		b.w.t.Errorf("%d presentations and %d reuses, want %d and none", c.Presentations, c.Reuses, n)
	}
}

func TestHTMX(t *testing.T) {
	t.Run("a fragment that no server can cure is renewed for, and asked for again", func(t *testing.T) {
		b := start(t).fragments()
		a := b.must(b.xhr("GET", "/me?a=1", ""), http.StatusOK, "page of ada")
		if at := a.Request.URL.RequestURI(); at != "/me?a=1" || a.Header.Get("HX-Redirect") != "" {
			t.Errorf("it ends at %s", at) // which htmx may push into the history
		}
		b.presented(1)
		b.must(b.xhr("GET", "/me", ""), http.StatusOK, "page of ada")
		b.presented(1)
	})

	t.Run("a form is sent again with its body", func(t *testing.T) {
		b := start(t).fragments()
		item := strings.Repeat("<b>", 30_000)
		if a := b.xhr("POST", "/items", url.Values{"name": {item}}.Encode()); a.StatusCode != http.StatusOK || a.body != "<li>"+html.EscapeString(item)+"</li>" {
			t.Errorf("%d %.200q", a.StatusCode, a.body)
		}
		b.presented(1)
	})

	t.Run("what is to be HTML is no page where the browser does not say", func(t *testing.T) {
		b := start(t).fragments()
		b.must(b.xhr("GET", "/me", "", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest"), http.StatusOK, "page of ada")
		b.presented(1)
	})

	t.Run("ten fragments at once make one presentation", func(t *testing.T) {
		b := start(t).fragments()
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { b.must(b.xhr("GET", "/me", ""), http.StatusOK, "page of ada") })
		}
		all.Wait()
		b.presented(1)
	})

	t.Run("who comes late, with what was spent before, presents nothing", func(t *testing.T) {
		b := start(t).fragments()
		h := http.Header{"Hx-Request": {"true"}, "Sec-Fetch-Site": {"same-origin"}}
		late := b.must(b.do("GET", "/me", nil, h), http.StatusTemporaryRedirect, "").Header.Get("Location")
		b.must(b.xhr("GET", "/me", ""), http.StatusOK, "page of ada")
		if to := b.must(b.do("GET", late, nil, h), http.StatusTemporaryRedirect, "").Header.Get("Location"); to != "/me" {
			t.Errorf("to %q", to)
		}
		b.presented(1)
	})

	t.Run("a session that is over has the page go to the login page, and back to where it was", func(t *testing.T) {
		w := start(t)
		b := w.fragments()
		w.as.EndSession(b.refreshing())
		a := b.must(b.xhr("GET", "/me", ""), http.StatusUnauthorized, `"status":401`)
		if to := a.Header.Get("HX-Redirect"); to != "/login?next=%2F%3Fpage%3D2" {
			t.Errorf("to %q", to)
		}
	})

	t.Run("so does a stronger sign-in, with what is asked for", func(t *testing.T) {
		w := start(t)
		b := w.fragments()
		w.api.Refuse(authtest.Refusal{Always: true, Challenge: `Bearer error="insufficient_user_authentication", acr_values="gold"`})
		a := b.must(b.xhr("GET", "/me", ""), http.StatusForbidden, "")
		if to := a.Header.Get("HX-Redirect"); to != "/login?acr_values=gold&next=%2F%3Fpage%3D2" {
			t.Errorf("to %q", to)
		}
		b.presented(0)
	})

	t.Run("an API that rejects what was just issued costs one presentation, and no circles", func(t *testing.T) {
		w := start(t)
		b := w.fragments()
		w.api.Refuse(authtest.Refusal{Always: true})
		for range 2 {
			if a := b.must(b.xhr("GET", "/me", ""), http.StatusUnauthorized, ""); a.Header.Get("HX-Redirect") != "" {
				t.Error("it is sent to the login page, which would not help")
			}
		}
		b.presented(1)
	})

	t.Run("an authorization server that fails is an error, and costs nobody the session", func(t *testing.T) {
		w := start(t)
		b := w.fragments()
		w.as.FailNext(1, authtest.Answer(http.StatusInternalServerError, nil, ""))
		b.must(b.xhr("GET", "/me", ""), http.StatusServiceUnavailable, "still signed in")
		if !w.as.Alive(b.refreshing()) {
			t.Error("the session is over")
		}
	})

	t.Run("what is not of htmx is answered as without Fragments", func(t *testing.T) {
		b := start(t).fragments()
		a := b.must(b.get("/me"), http.StatusUnauthorized, `"status":401`)
		if !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Rebearer spent=") {
			t.Errorf("%q", a.Header)
		}
		b.must(b.do("GET", "/me", nil, navigating), http.StatusUnauthorized, "data-boundary")
		b.must(b.get("/auth/again?next=/me"), http.StatusBadRequest, "")
		b.must(b.get("/"), http.StatusOK, "hx-get")
		b.presented(0)
	})

	t.Run("nobody is sent to another host, nor by another site", func(t *testing.T) {
		b := start(t).fragments()
		h := http.Header{"Hx-Request": {"true"}, "Sec-Fetch-Site": {"same-origin"}}
		for _, next := range []string{"//evil.example/", "https://evil.example/", `/\evil.example`} {
			a := b.must(b.do("GET", "/auth/again?next="+url.QueryEscape(next), nil, h), http.StatusTemporaryRedirect, "")
			if to := a.Header.Get("Location"); to != "/" {
				t.Errorf("%s leads to %q", next, to)
			}
		}
		cross := maps.Clone(h)
		cross.Set("Sec-Fetch-Site", "cross-site")
		b.must(b.do("GET", "/auth/again?next=/me", nil, cross), http.StatusForbidden, "")
	})
}

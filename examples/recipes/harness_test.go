package recipes_test

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/client"
	"github.com/rebearer/rebearer/internal/leak"
	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport"
)

func TestMain(m *testing.M) { leak.Main(m) }

// world is an authorization server, its API, and what a BFF of them is made of.
type world struct {
	t    *testing.T
	as   *authtest.AS
	api  *authtest.API
	auth *middleware.Authenticator
	rest *client.Client
	base *http.Transport
}

func start(t *testing.T) *world {
	t.Helper()
	as := authtest.NewAS(authtest.ASConfig{})
	t.Cleanup(as.Close)
	api := as.NewAPI()
	t.Cleanup(api.Close)
	base := as.Transport().Clone()
	base.MaxIdleConnsPerHost = 100
	t.Cleanup(base.CloseIdleConnections)
	endpoint := &transport.TokenEndpoint{URL: as.TokenURL(), RevocationURL: as.RevokeURL(), ClientID: "bff", Base: base}
	coordinator := &tokencache.Coordinator{Refresher: endpoint, Revoker: endpoint}
	t.Cleanup(func() { coordinator.Wait(context.Background()) })
	auth := &middleware.Authenticator{
		Coordinator: coordinator,
		Verifier:    &middleware.Verifier{Algorithms: []string{"HS256"}, Key: as.Key(), Issuer: as.URL, Audience: "api"},
		Cookies:     middleware.Cookies{InsecureNoTLS: true}, // the jar keeps no Secure cookie of a plain http server
	}
	rest := client.New(api.URL, &transport.Transport{Base: base, Origins: []string{api.URL}})
	return &world{t, as, api, auth, rest, base}
}

// browser is a cookie jar in front of a recipe.
type browser struct {
	w    *world
	URL  string
	http *http.Client
	jar  *cookiejar.Jar
}

// browse serves the recipe, beside a route that signs ada in, to a browser that
// has used it and whose access token the API then rejects. The BFF's own check
// still passes: only a refresh while the handler runs helps.
func (w *world) browse(recipe http.Handler) *browser {
	w.t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/", recipe)
	mux.HandleFunc("POST /sign-in", func(rw http.ResponseWriter, r *http.Request) {
		if err := w.auth.SignIn(rw, r, w.as.SignIn("ada")); err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
		}
	})
	srv := httptest.NewServer(mux)
	w.t.Cleanup(srv.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	rt := &http.Transport{MaxIdleConnsPerHost: 100}
	w.t.Cleanup(rt.CloseIdleConnections)
	b := &browser{w, srv.URL, &http.Client{
		Jar: jar, Transport: rt,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, jar}
	b.must(b.do("POST", "/sign-in", nil, nil), http.StatusOK, "")
	w.as.RevokeAccess()
	return b
}

// answer is a response whose body has been read.
type answer struct {
	*http.Response
	body string
}

// sets reports whether the response has new values for both of our cookies.
func (a answer) sets() bool {
	n := 0
	for _, c := range a.Cookies() {
		if (c.Name == "access" || c.Name == "refresh") && c.Value != "" {
			n++
		}
	}
	return n == 2
}

var navigating = http.Header{"Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Mode": {"navigate"}, "Accept": {"text/html"}}

func (b *browser) request(method, path string, body io.Reader, h http.Header) *http.Response {
	b.w.t.Helper()
	req, err := http.NewRequestWithContext(b.w.t.Context(), method, b.URL+path, body)
	if err != nil {
		b.w.t.Fatal(err)
	}
	maps.Copy(req.Header, h.Clone())
	resp, err := b.http.Do(req)
	if err != nil {
		b.w.t.Fatal(err)
	}
	return resp
}

func (b *browser) do(method, path string, body io.Reader, h http.Header) answer {
	b.w.t.Helper()
	resp := b.request(method, path, body, h)
	defer resp.Body.Close()
	read, err := io.ReadAll(resp.Body)
	if err != nil {
		b.w.t.Fatal(err)
	}
	return answer{resp, string(read)}
}

func (b *browser) get(path string) answer { b.w.t.Helper(); return b.do("GET", path, nil, nil) }

// must checks an answer.
func (b *browser) must(a answer, status int, body string) answer {
	b.w.t.Helper()
	if a.StatusCode != status || !strings.Contains(a.body, body) {
		b.w.t.Fatalf("%s: %d %.300q, want %d with %q", a.Request.URL.Path, a.StatusCode, a.body, status, body)
	}
	return a
}

// refreshToken returns that in the jar.
func (b *browser) refreshToken() string {
	u, _ := url.Parse(b.URL)
	for _, c := range b.jar.Cookies(u) {
		if c.Name == "refresh" {
			return c.Value
		}
	}
	return ""
}

// once fails unless one refresh token was presented, and the jar holds what it
// was exchanged for.
func (b *browser) once() {
	b.w.t.Helper()
	if c := b.w.as.Counts(); c.Presentations != 1 || c.Reuses != 0 {
		b.w.t.Errorf("%d presentations and %d reuses, want 1 and none", c.Presentations, c.Reuses)
	}
	if !b.w.as.Alive(b.refreshToken()) {
		b.w.t.Error("the refresh token in the jar is dead")
	}
}

// A recipe is what a test of this package is about.
type recipe func(*middleware.Authenticator, *client.Client) http.Handler

// check runs what holds for every recipe that serves /me and /stream.
func check(t *testing.T, recipe recipe) {
	t.Run("ten parallel calls make one presentation, and the jar ends with the new tokens", func(t *testing.T) {
		w := start(t)
		b := w.browse(recipe(w.auth, w.rest))
		old := b.refreshToken()
		var all sync.WaitGroup
		answers := make([]answer, 10)
		for i := range answers {
			all.Go(func() { answers[i] = b.get("/me") })
		}
		all.Wait()
		for _, a := range answers {
			b.must(a, http.StatusOK, "page of ada")
		}
		b.once()
		if b.refreshToken() == old {
			t.Error("the jar ends with the old tokens")
		}
		b.must(b.get("/me"), http.StatusOK, "page of ada")
		b.once()
	})

	t.Run("a refresh while the handler runs sets the cookies on that very response", func(t *testing.T) { // B52
		w := start(t)
		b := w.browse(recipe(w.auth, w.rest))
		a := b.must(b.get("/me"), http.StatusOK, "page of ada")
		if !a.sets() || a.Header.Get("Cache-Control") != "private, no-store" {
			t.Errorf("cookies %v, Cache-Control %q", a.Cookies(), a.Header.Get("Cache-Control"))
		}
		if a := b.get("/me"); len(a.Cookies()) > 0 {
			t.Error("and once more on the next one") // B56
		}
		b.once()
	})

	t.Run("a stream is flushed before the refresh, and the next response has the cookies", func(t *testing.T) { // B53
		w := start(t)
		b := w.browse(recipe(w.auth, w.rest))
		gate := authtest.NewGate()
		w.as.FailNext(1, gate.Hold)
		resp := b.request("GET", "/stream", nil, nil)
		defer resp.Body.Close()
		head := make([]byte, len("begin\n"))
		if _, err := io.ReadFull(resp.Body, head); err != nil || string(head) != "begin\n" {
			t.Fatal(string(head), err)
		}
		<-gate.Arrived() // the first line is here, and the refresh is not over
		gate.Open()
		if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != "ada\nend\n" {
			t.Fatal(string(rest), err)
		}
		if len(resp.Cookies()) > 0 {
			t.Error("cookies on the stream:", resp.Cookies())
		}
		if a := b.must(b.get("/me"), http.StatusOK, "page of ada"); !a.sets() {
			t.Error("the parked tokens were not handed over")
		}
		b.once()
	})

	t.Run("a session that is over goes to the login page, and a fetch gets 401", func(t *testing.T) {
		w := start(t)
		b := w.browse(recipe(w.auth, w.rest))
		w.as.EndSession(b.refreshToken())
		a := b.must(b.get("/me"), http.StatusUnauthorized, `"status":401`)
		if ct := a.Header.Get("Content-Type"); ct != "application/problem+json" || len(a.Cookies()) > 0 {
			t.Errorf("a fetch: Content-Type %q, cookies %v", ct, a.Cookies())
		}
		a = b.must(b.do("GET", "/me", nil, navigating), http.StatusSeeOther, "")
		if to := a.Header.Get("Location"); to != "/login?next=%2Fme" || b.refreshToken() != "" {
			t.Errorf("a page: to %q, and the jar has %q", to, b.refreshToken())
		}
	})

	t.Run("a logout ends the session and renews nothing", func(t *testing.T) {
		w := start(t)
		b := w.browse(recipe(w.auth, w.rest))
		old := b.refreshToken()
		b.must(b.do("POST", "/logout", nil, http.Header{"Sec-Fetch-Site": {"same-origin"}}), http.StatusNoContent, "")
		if w.as.Alive(old) || b.refreshToken() != "" || w.as.Counts().Presentations != 0 {
			t.Errorf("alive: %t, in the jar: %q, %d presentations", w.as.Alive(old), b.refreshToken(), w.as.Counts().Presentations)
		}
		b.must(b.get("/me"), http.StatusUnauthorized, "")
	})

	t.Run("the browser's own routes answer", func(t *testing.T) {
		w := start(t)
		b := w.browse(recipe(w.auth, w.rest))
		b.must(b.get("/auth/rebearer.js"), http.StatusOK, "rebearer")
		a := b.must(b.do("POST", "/auth/refresh", nil, http.Header{"Sec-Fetch-Site": {"same-origin"}}), http.StatusNoContent, "")
		if !a.sets() {
			t.Error("no cookies")
		}
		b.once()
	})
}

package middleware_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/client"
	"github.com/rebearer/rebearer/internal/jws"
	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport"
)

const (
	accessName  = "access"
	refreshName = "refresh"
)

// world is an authorization server, its API, and a BFF over plain http on
// loopback, with all that such a program sets up once.
type world struct {
	t    *testing.T
	as   *authtest.AS
	api  *authtest.API
	auth *middleware.Authenticator
	call *http.Client
	rest *client.Client
	base *http.Transport
}

// option changes what a test starts with.
type option func(*authtest.ASConfig, *middleware.Authenticator)

func with(f func(*middleware.Authenticator)) option {
	return func(_ *authtest.ASConfig, a *middleware.Authenticator) { f(a) }
}

func redirecting(_ *authtest.ASConfig, a *middleware.Authenticator) { a.Mode = middleware.Redirect }

func start(t *testing.T, options ...option) *world {
	t.Helper()
	config := authtest.ASConfig{}
	auth := &middleware.Authenticator{Cookies: middleware.Cookies{InsecureNoTLS: true}}
	for _, o := range options {
		o(&config, auth)
	}
	as := authtest.NewAS(config)
	t.Cleanup(as.Close)
	api := as.NewAPI()
	t.Cleanup(api.Close)
	base := as.Transport().Clone()
	t.Cleanup(base.CloseIdleConnections)
	endpoint := &transport.TokenEndpoint{URL: as.TokenURL(), RevocationURL: as.RevokeURL(), ClientID: "bff", Base: base}
	coordinator := &tokencache.Coordinator{Refresher: endpoint, Revoker: endpoint}
	t.Cleanup(func() { coordinator.Wait(context.Background()) })
	if auth.Coordinator == nil {
		auth.Coordinator = coordinator
	}
	if auth.Verifier == nil {
		auth.Verifier = &middleware.Verifier{Algorithms: []string{"HS256"}, Key: as.Key(), Issuer: as.URL, Audience: "api"}
	}
	rt := &transport.Transport{Base: base, Origins: []string{api.URL}}
	return &world{t: t, as: as, api: api, auth: auth, call: &http.Client{Transport: rt}, rest: client.New(api.URL, rt), base: base}
}

// get calls the API for the user of ctx and returns the status.
func (w *world) get(ctx context.Context, path string) (int, string) {
	req, err := http.NewRequestWithContext(ctx, "GET", w.api.URL+path, nil)
	if err != nil {
		w.t.Error(err)
		return 0, ""
	}
	resp, err := w.call.Do(req)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

// page says who the user is, by asking the API.
func (w *world) page() http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var me struct{ User string }
		if _, err := w.rest.R(r.Context()).SetResult(&me).Get("/users/me"); err != nil {
			w.auth.Error(rw, r, err)
			return
		}
		fmt.Fprintf(rw, "page of %s, %v", me.User, middleware.Claims(r.Context())["sub"])
	})
}

// still is a page that calls nothing.
var still = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "still, %v", middleware.Claims(r.Context())["sub"])
})

// site is a BFF that listens.
type site struct {
	*httptest.Server
	w *world
}

func (w *world) serve(h http.Handler) *site {
	s := httptest.NewServer(h)
	w.t.Cleanup(s.Close)
	return &site{s, w}
}

// pages serves h behind the Handler, with everything else that a BFF has.
func (w *world) pages(h http.Handler) *site {
	mux := http.NewServeMux()
	mux.Handle("/auth/refresh", w.auth.RefreshHandler())
	mux.Handle("/logout", w.auth.LogoutHandler())
	mux.Handle("/auth/rebearer.js", w.auth.ScriptHandler())
	mux.HandleFunc("GET /login", func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(rw, "login page, next %s", middleware.Next(r))
	})
	mux.HandleFunc("POST /login", func(rw http.ResponseWriter, r *http.Request) {
		if err := w.auth.SignIn(rw, r, w.as.SignIn(r.FormValue("user"))); err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
		http.Redirect(rw, r, middleware.Next(r), http.StatusSeeOther)
	})
	mux.Handle("/", w.auth.Handler(h))
	return w.serve(mux)
}

// browser has a cookie jar, follows no redirect, and says what it is about.
type browser struct {
	*site
	http *http.Client
	jar  *cookiejar.Jar
}

func (s *site) browser() *browser {
	jar, _ := cookiejar.New(nil)
	rt := &http.Transport{MaxIdleConnsPerHost: 100}
	s.w.t.Cleanup(rt.CloseIdleConnections)
	return &browser{s, &http.Client{
		Jar: jar, Transport: rt,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, jar}
}

// keep puts tokens into the jar.
func (b *browser) keep(access, refresh string) {
	u, _ := url.Parse(b.URL)
	b.jar.SetCookies(u, []*http.Cookie{
		{Name: accessName, Value: access, Path: "/"}, {Name: refreshName, Value: refresh, Path: "/"},
	})
}

// cookies returns what the jar holds.
func (b *browser) cookies() (access, refresh string) {
	u, _ := url.Parse(b.URL + "/")
	for _, c := range b.jar.Cookies(u) {
		switch c.Name {
		case accessName:
			access = c.Value
		case refreshName:
			refresh = c.Value
		}
	}
	return access, refresh
}

// answer is a response whose body has been read.
type answer struct {
	*http.Response
	body string
}

func (a answer) setsTokens() bool {
	for _, c := range a.Cookies() {
		if (c.Name == accessName || c.Name == refreshName) && c.Value != "" {
			return true
		}
	}
	return false
}

func (a answer) clearsTokens() bool {
	cleared := map[string]bool{}
	for _, c := range a.Cookies() {
		if c.Value == "" && c.MaxAge < 0 {
			cleared[c.Name] = true
		}
	}
	return cleared[accessName] && cleared[refreshName]
}

var (
	navigating = http.Header{"Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Mode": {"navigate"}, "Accept": {"text/html"}}
	fetching   = http.Header{"Sec-Fetch-Dest": {"empty"}, "Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Site": {"same-origin"}}
)

func (b *browser) do(method, path, body string, h http.Header) answer {
	b.w.t.Helper()
	a, err := b.try(method, path, body, h)
	if err != nil {
		b.w.t.Fatal(err)
	}
	return a
}

func (b *browser) try(method, path, body string, h http.Header) (answer, error) {
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, b.URL+path, in)
	if err != nil {
		return answer{}, err
	}
	maps.Copy(req.Header, h.Clone())
	if strings.Contains(body, "=") && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := b.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	read, err := io.ReadAll(resp.Body)
	return answer{resp, string(read)}, err
}

// visit looks at a page, fetch calls it.
func (b *browser) visit(path string) answer { b.w.t.Helper(); return b.do("GET", path, "", navigating) }
func (b *browser) fetch(path string) answer { b.w.t.Helper(); return b.do("GET", path, "", fetching) }

// stale returns an access token of the AS that ended a while ago.
func (w *world) stale(user string, ago time.Duration) string {
	return w.forge(map[string]any{"sub": user, "exp": time.Now().Add(-ago).Unix(), "iat": time.Now().Add(-ago - 5*time.Minute).Unix()})
}

// forge signs claims as the AS would.
func (w *world) forge(claims map[string]any) string {
	all := map[string]any{"iss": w.as.URL, "aud": "api", "sub": "ada", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(), "jti": "0"}
	maps.Copy(all, claims)
	for name, v := range all {
		if v == nil {
			delete(all, name)
		}
	}
	token, err := jws.Sign("HS256", w.as.Key(), map[string]any{"typ": "at+jwt"}, all)
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

// expired gives the browser a session of which the access token has ended.
func (b *browser) expired(user string) tokencache.Token {
	t := b.w.as.SignIn(user)
	b.keep(b.w.stale(user, time.Minute), t.Refresh())
	return t
}

// signedIn gives the browser a good session.
func (b *browser) signedIn(user string) tokencache.Token {
	t := b.w.as.SignIn(user)
	b.keep(t.Access(), t.Refresh())
	return t
}

// presentations fails unless there were so many, and no reuse.
func (w *world) presentations(want int) {
	w.t.Helper()
	if c := w.as.Counts(); c.Presentations != want || c.Reuses != 0 {
		w.t.Errorf("%d presentations and %d reuses, want %d and none", c.Presentations, c.Reuses, want)
	}
}

func must(t *testing.T, a answer, status int, body string) {
	t.Helper()
	if a.StatusCode != status || !strings.Contains(a.body, body) {
		t.Fatalf("%s: %d %.300q, want %d with %q", a.Request.URL.Path, a.StatusCode, a.body, status, body)
	}
}

// newGate holds the next refresh at the authorization server.
func newGate(w *world) *authtest.Gate {
	g := authtest.NewGate()
	w.as.FailNext(1, g.Hold)
	return g
}

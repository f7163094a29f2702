package main

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/internal/leak"
)

// asProcess is set for a process of this test binary that is to be the program
// itself. It ends with the one that started it, whose end of its input closes.
const asProcess = "BFF_TEST_PROCESS"

func TestMain(m *testing.M) {
	if os.Getenv(asProcess) != "" {
		go func() {
			io.Copy(io.Discard, os.Stdin)
			os.Exit(3)
		}()
		main()
	}
	leak.Main(m)
}

// buffer is what a program says.
type buffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// world is the program and a browser, which follows no redirect by itself.
type world struct {
	*bff
	t       *testing.T
	url     string
	said    *buffer // the log
	browser *http.Client
}

// start starts the program with these variables beside those of plain http.
func start(t *testing.T, env map[string]string) *world {
	t.Helper()
	c, err := readConfig(func(name string) string {
		if v, ok := env[name]; ok {
			return v
		}
		return map[string]string{"BFF_INSECURE_COOKIES": "1"}[name]
	})
	if err != nil {
		t.Fatal(err)
	}
	said := new(buffer)
	b, err := newBFF(c, slog.New(slog.NewTextHandler(said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.close)
	srv := httptest.NewServer(b.handler)
	t.Cleanup(srv.Close)
	t.Cleanup(b.timeline.close)
	return &world{b, t, srv.URL, said, jarred(t, srv.Client())}
}

// jarred makes a browser of a client.
func jarred(t *testing.T, c *http.Client) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Jar, c.CheckRedirect = jar, noRedirect
	return c
}

// response is one that was read.
type response struct {
	*http.Response
	body string
}

func (w *world) do(req *http.Request, err error) response {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := w.browser.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return response{resp, string(body)}
}

// fetch is what a script does, navigate what a person does.
func (w *world) fetch(path string) response {
	w.t.Helper()
	return w.do(http.NewRequest("GET", w.url+path, nil))
}

func (w *world) navigate(path string) response {
	w.t.Helper()
	req, err := http.NewRequest("GET", w.url+path, nil)
	if err == nil {
		req.Header.Set("Accept", "text/html")
	}
	return w.do(req, err)
}

// submit sends a form, as a person does.
func (w *world) submit(path string, form url.Values) response {
	w.t.Helper()
	req, err := http.NewRequest("POST", w.url+path, strings.NewReader(form.Encode()))
	if err == nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Accept", "text/html")
	}
	return w.do(req, err)
}

func (w *world) signIn(user string) {
	w.t.Helper()
	if r := w.submit("/login", url.Values{"user": {user}}); r.StatusCode != http.StatusSeeOther {
		w.t.Fatalf("sign-in: %s %s", r.Status, r.body)
	}
}

func (w *world) want(r response, status int) {
	w.t.Helper()
	if r.StatusCode != status {
		w.t.Fatalf("%s %s: %s, want %d: %s", r.Request.Method, r.Request.URL.Path, r.Status, status, r.body)
	}
}

func (w *world) cookie(name string) string {
	u, err := url.Parse(w.url)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range w.browser.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

func (w *world) presented(as *authtest.AS, want int) {
	w.t.Helper()
	if c := as.Counts(); c.Presentations != want || c.Reuses != 0 {
		w.t.Errorf("%d presentations and %d reuses, want %d and none", c.Presentations, c.Reuses, want)
	}
}

// elsewhere is a backend that is not embedded: AS and API at one URL.
func elsewhere(t *testing.T, config authtest.ASConfig) (*authtest.AS, *authtest.API, string) {
	t.Helper()
	as := authtest.NewAS(config)
	t.Cleanup(as.Close)
	api := as.NewAPI()
	t.Cleanup(api.Close)
	to := func(base string) http.Handler {
		u, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		return &httputil.ReverseProxy{Transport: as.Transport(), Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }}
	}
	mux := http.NewServeMux()
	mux.Handle("/", to(api.URL))
	for _, path := range []string{"/auth/", "/token", "/revoke"} {
		mux.Handle(path, to(as.URL))
	}
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return as, api, srv.URL
}

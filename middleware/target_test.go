package middleware_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
)

// B67, T-G2, T-G3: next is a path on this host, whatever is tried.
func TestNextStaysOnThisHost(t *testing.T) {
	for next, want := range map[string]string{
		"/orders/7?a=b&c=%2F": "/orders/7?a=b&c=%2F", "/": "/", "/a/": "/a/", "/%ED%95%9C": "/%ED%95%9C", "/a?next=//evil": "/a?next=//evil",
		"/a?u=https://x.test/": "/a?u=https://x.test/",
		"":                     "/", "orders": "/", "//evil.test": "/", "///evil.test": "/", `/\evil.test`: "/", `\\evil.test`: "/", `/a\b`: "/",
		"https:evil.test": "/", "https://evil.test/": "/", "javascript:alert(1)": "/", "http:/evil": "/", "/\t/evil.test": "/", "/%09//evil.test": "/",
		"/%09/evil.test": "/", "/\n/evil": "/", "/\r\nSet-Cookie: a=b": "/", "/%0d%0aSet-Cookie:a": "/", "/%2f%2fevil.test": "/", "/%2Fevil.test": "/",
		"/%5cevil.test": "/", "/%255cevil.test": "/", "/%252fevil.test": "/", "/..//evil.test": "/", "/../..//evil.test": "/", "/.//evil.test": "/", "/a/../..//evil": "/",
		" /orders": "/", "/or ders": "/", "/ü": "/", "/a#b": "/", "?a=b": "/", "/" + strings.Repeat("a", 3000): "/", "@evil.test": "/", "/%": "/", "/a/%2e%2e//evil.test": "/",
	} {
		for _, r := range []*http.Request{
			httptest.NewRequest("GET", "/login?next="+url.QueryEscape(next), nil),
			form("/login", url.Values{"next": {next}}),
		} {
			if got := middleware.Next(r); got != want {
				t.Errorf("%s %q leads to %q, not %q", r.Method, next, got, want)
			}
		}
	}
}

// B68, T-G4: where the browser is sent to is public as the browser asks for it,
// whatever a StripPrefix has made of that. Public means what is left.
func TestTheLoginPageIsPublicAsTheBrowserAsksForIt(t *testing.T) {
	w := start(t, with(func(a *middleware.Authenticator) {
		a.LoginURL, a.RefreshURL, a.ScriptURL = "/app/%EB%A1%9C", "/app/auth/refresh", "/app/auth/rebearer.js"
		a.Public = []string{"/about"}
	}))
	mux := http.NewServeMux()
	mux.Handle("/auth/refresh", w.auth.RefreshHandler())
	mux.Handle("/", still)
	b := w.serve(http.StripPrefix("/app", w.auth.Handler(mux))).browser()
	to := b.visit("/app/").Header.Get("Location")
	if !strings.HasPrefix(to, "/app/%EB%A1%9C?next=") {
		t.Fatalf("sent to %q", to)
	}
	must(t, b.visit(to+strings.Repeat("x", 4000)), 200, "still")
	for path, status := range map[string]int{"/app/about": 200, "/app/auth/rebearer.js": 200, "/app/app/about": 401, "/app/auth/rebearer%2Ejs": 401} {
		if a := b.fetch(path); a.StatusCode != status {
			t.Errorf("%s: %d, want %d", path, a.StatusCode, status)
		}
	}
	b.expired("ada")
	must(t, b.do("POST", "/app/auth/refresh", "", fetching), 204, "")
	w.presentations(1)
}

// T-G6: another spelling of the login page is no way past it.
func TestOtherSpellingsOfTheLoginPageAreProtected(t *testing.T) {
	w := start(t, with(func(a *middleware.Authenticator) { a.LoginURL = "/auth/login" }))
	h := w.auth.Handler(still)
	for uri, status := range map[string]int{
		"/auth/login": 200, "/auth/login?next=//evil.test": 200, "http://bff.test/auth/login": 200,
		"//auth/login": 401, "/auth//login": 401, "/auth/login/": 401, "/auth/login/../login": 401, "/x/../auth/login": 401, "/auth%2Flogin": 401,
		"/auth/%6Cogin": 401, "/auth/login;x": 401, "/auth/login#/../../admin": 401, "/auth/login%3F/../../admin": 401,
		"http://bff.test/auth/login#/../../admin": 401, "http://bff.test//auth/login": 401, "http:/auth/login/..": 401, "http://bff.test/admin?/auth/login": 401,
	} {
		u, err := url.ParseRequestURI(uri) // as net/http does
		if err != nil {
			t.Fatal(err)
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, &http.Request{Method: "GET", URL: u, RequestURI: uri, Host: "bff.test", Header: http.Header{}})
		if rec.Code != status {
			t.Errorf("%s: %d, want %d", uri, rec.Code, status)
		}
	}
}

func form(path string, values url.Values) *http.Request {
	r := httptest.NewRequest("POST", path, strings.NewReader(values.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// B67, T-G1, T-G2: a Location is a path, whatever the request says of hosts.
func TestHostsThatARequestMakesUp(t *testing.T) {
	w := start(t, redirecting)
	h := w.auth.Handler(still)
	for _, path := range []string{"//evil.test/x", "http://evil.test/x", "/ok", `/\evil.test`, "/%2f%2fevil.test", "//evil.test"} {
		for _, expired := range []bool{true, false} {
			r := httptest.NewRequest("GET", "/", nil)
			r.RequestURI = path
			r.URL = &url.URL{Path: path}
			if u, err := url.ParseRequestURI(path); err == nil {
				r.URL = u
			}
			r.Host = "evil.test"
			r.Header = navigating.Clone()
			for _, name := range []string{"X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Uri", "Forwarded", "X-Original-Url", "X-Rewrite-Url"} {
				r.Header.Set(name, "https://evil.test/x")
			}
			if expired {
				r.Header.Set("Cookie", "access="+w.stale("ada", 60e9)+"; refresh="+w.as.SignIn("ada").Refresh())
			}
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			if l := rec.Header().Get("Location"); l != "" && (strings.Contains(l[:2], "//") || !strings.HasPrefix(l, "/") || strings.Contains(l, `\`)) {
				t.Errorf("%s leads to %q", path, l)
			}
		}
	}
}

// FuzzNext: whatever is accepted is a path on this host for a parser that
// follows RFC 3986 and for one that repairs as browsers do.
func FuzzNext(f *testing.F) {
	for _, s := range []string{"/a?b=c", "//evil", `/\evil`, "/%09//evil", "/%2f%2fevil", "/a/../..//b", "https:evil", "/\x00", "/%5c%5c"} {
		f.Add(s)
	}
	base, _ := url.Parse("https://bff.test/login")
	f.Fuzz(func(t *testing.T, s string) {
		r := &http.Request{Method: "GET", URL: &url.URL{Path: "/login", RawQuery: "next=" + url.QueryEscape(s)}}
		got := middleware.Next(r)
		for i := 0; i < 4; i++ {
			repaired := strings.Map(func(c rune) rune {
				switch c {
				case '\t', '\n', '\r':
					return -1
				case '\\':
					return '/'
				}
				return c
			}, strings.TrimLeft(got, "\x00\x01 \t\r\n"))
			if len(repaired) == 0 || repaired[0] != '/' || len(repaired) > 1 && repaired[1] == '/' {
				t.Fatalf("%q leads to %q", s, repaired)
			}
			u, err := base.Parse(repaired)
			if err != nil {
				break
			}
			if u.Host != "bff.test" || u.Scheme != "https" {
				t.Fatalf("%q leads to %s", s, u)
			}
			path, query, _ := strings.Cut(got, "?")
			decoded, err := url.PathUnescape(path)
			if err != nil || i == 0 && strings.ContainsAny(got, "\r\n") {
				break
			}
			got = decoded
			if query != "" {
				got += "?" + query
			}
			if strings.HasPrefix(got, "?") {
				break
			}
		}
	})
}

// FuzzCookies: whatever stands in the Cookie header, a request is answered, our
// cookies do not reach the handler, and what nobody signed is not served.
func FuzzCookies(f *testing.F) {
	for _, s := range []string{"access=a; refresh=b", "access=~YQ; refresh=~", "a=b; access", ";;;=;access==", "access=\"x\"; access=y", "access=a.b.c"} {
		f.Add(s)
	}
	cookies := middleware.Cookies{InsecureNoTLS: true}
	verifying := &middleware.Authenticator{Coordinator: &tokencache.Coordinator{}, Cookies: cookies,
		Verifier: &middleware.Verifier{Algorithms: []string{"HS256"}, Key: secret}}
	h := verifying.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("served") }))
	pass := &middleware.Authenticator{Coordinator: &tokencache.Coordinator{}, Cookies: cookies}
	inner := pass.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		for _, c := range r.Cookies() {
			if c.Name == "access" || c.Name == "refresh" {
				panic("a cookie of ours was passed on")
			}
		}
	}))
	f.Fuzz(func(t *testing.T, s string) {
		for _, h := range []http.Handler{h, inner} {
			r := httptest.NewRequest("GET", "/", nil)
			r.Header["Cookie"] = []string{s, "other=1"}
			h.ServeHTTP(httptest.NewRecorder(), r)
		}
	})
}

// The target of a CONNECT is no URL (RFC 9112 section 3.2.3). net/http makes
// one of it nevertheless, which is not that of the login page.
func TestAConnectIsNotPublic(t *testing.T) {
	w := start(t)
	s := w.serve(w.auth.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	for _, target := range []string{"x://y/login", "x:///login", "x://y/auth/refresh"} {
		c, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: bff\r\nConnection: close\r\n\r\n", target)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode == 200 {
			t.Errorf("CONNECT %s: %d", target, resp.StatusCode)
		}
	}
}

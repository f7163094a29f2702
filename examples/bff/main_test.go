package main

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/rebearer/rebearer/authtest"
)

func TestASessionAcrossExpiry(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"cookie style, inline":   {},
		"cookie style, redirect": {"BFF_MODE": "redirect"},
		"oauth2 style, inline":   {"BFF_REFRESH_STYLE": "oauth2", "BFF_CLIENT_ID": "me/and:you", "BFF_CLIENT_SECRET": "a secret:with%parts"},
		"oauth2 style, redirect": {"BFF_REFRESH_STYLE": "oauth2", "BFF_MODE": "redirect"},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, env)
			r := w.navigate("/?x=1")
			w.want(r, http.StatusSeeOther)
			if to := r.Header.Get("Location"); to != "/login?next="+url.QueryEscape("/?x=1") {
				t.Errorf("sent to %s", to)
			}
			w.want(w.fetch("/fanout"), http.StatusUnauthorized)
			w.want(w.navigate(r.Header.Get("Location")), http.StatusOK)
			r = w.submit("/login", url.Values{"user": {"alice"}, "next": {"/?x=1"}})
			w.want(r, http.StatusSeeOther)
			if to := r.Header.Get("Location"); to != "/?x=1" {
				t.Errorf("sent to %s after sign-in", to)
			}
			if r = w.navigate("/?x=1"); r.StatusCode != http.StatusOK || !strings.Contains(r.body, ">alice<") {
				t.Fatalf("the page: %s %s", r.Status, r.body)
			}
			w.demo.as.RevokeAccess()
			if r = w.fetch("/fanout?n=20"); r.StatusCode != http.StatusOK || strings.TrimSpace(r.body) != `{"ok":20,"failed":0}` {
				t.Errorf("fanout: %s %s", r.Status, r.body)
			}
			w.presented(w.demo.as, 1)
			if !w.demo.as.Alive(w.cookie("refreshToken")) {
				t.Error("the browser does not hold the newest refresh token")
			}
			w.want(w.submit("/logout", nil), http.StatusSeeOther)
			if w.cookie("accessToken")+w.cookie("refreshToken") != "" {
				t.Error("there are cookies after the logout")
			}
			if n := w.demo.as.Counts().Revocations; n == 0 {
				t.Error("the authorization server was not told of the logout")
			}
		})
	}
}

// Before the handler: the page itself, or itself by way of a redirect.
func TestAPageWithoutAccessToken(t *testing.T) {
	for mode, status := range map[string]int{"inline": http.StatusOK, "redirect": http.StatusTemporaryRedirect} {
		w := start(t, map[string]string{"BFF_MODE": mode})
		w.signIn("alice")
		w.want(w.submit("/demo/forget", nil), http.StatusSeeOther)
		if w.cookie("accessToken") != "" {
			t.Error("the access token is still there")
		}
		w.want(w.navigate("/"), status)
		w.want(w.navigate("/"), http.StatusOK)
		w.presented(w.demo.as, 1)
	}
}

func TestAStreamAcrossExpiry(t *testing.T) {
	w := start(t, nil)
	w.signIn("alice")
	old := w.cookie("refreshToken")
	resp, err := w.browser.Get(w.url + "/stream?delay=300ms")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	if first, err := lines.ReadString('\n'); first != "begin\n" {
		t.Fatal(first, err)
	}
	w.demo.as.RevokeAccess() // when the header is long gone
	if rest, err := io.ReadAll(lines); string(rest) != "alice\nend\n" {
		t.Errorf("%q %v", rest, err)
	}
	if w.cookie("refreshToken") != old {
		t.Error("there were cookies after the header")
	}
	w.want(w.fetch("/fanout?n=1"), http.StatusOK)
	if w.cookie("refreshToken") == old {
		t.Error("the next request was not given what the stream could not hand over")
	}
	w.presented(w.demo.as, 1)
}

func TestAStreamSaysThatItFailed(t *testing.T) {
	w := start(t, nil)
	w.signIn("alice")
	w.demo.as.EndSession(w.cookie("refreshToken"))
	w.demo.as.RevokeAccess()
	if r := w.fetch("/stream?delay=0s"); r.body != "begin\nfailed: refused\n" {
		t.Errorf("%q", r.body)
	}
}

// In the browser.
func TestTheBoundary(t *testing.T) {
	w := start(t, nil)
	w.signIn("alice")
	w.want(w.navigate("/boundary"), http.StatusOK)
	w.demo.as.RevokeAccess()
	r := w.navigate("/boundary")
	w.want(r, http.StatusUnauthorized)
	if !strings.Contains(r.body, "/auth/rebearer.js") {
		t.Errorf("no script: %s", r.body)
	}
	w.presented(w.demo.as, 0)
	w.want(w.fetch("/auth/rebearer.js"), http.StatusOK)
	w.want(w.submit("/auth/refresh", url.Values{"next": {"/boundary"}}), http.StatusSeeOther)
	w.want(w.navigate("/boundary"), http.StatusOK)
	w.presented(w.demo.as, 1)
}

func TestThePublicPageIsTheSameForAll(t *testing.T) {
	w := start(t, nil)
	for range 2 {
		r := w.fetch("/public")
		w.want(r, http.StatusOK)
		if r.body != "public" || r.Header.Get("Cache-Control") != "public, s-maxage=31536000" || r.Header.Get("ETag") == "" ||
			r.Header.Get("Surrogate-Control") == "" || r.Header.Get("CDN-Cache-Control") == "" || r.Header.Get("Set-Cookie") != "" {
			t.Errorf("%q %v", r.body, r.Header)
		}
		w.signIn("alice")
	}
	req, err := http.NewRequest("GET", w.url+"/public", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("If-None-Match", `"public-1"`)
	w.want(w.do(req, nil), http.StatusNotModified)
}

// streamed hides the length of a body.
type streamed struct{ io.Reader }

func TestABodyArrivesWholeOrNotAtAll(t *testing.T) {
	big := bytes.Repeat([]byte("twelve bytes"), 1<<20)
	for name, row := range map[string]struct {
		body   io.Reader
		status int
		calls  int // of the API, the first one of which finds that the token has ended
	}{
		"12 MiB":                               {bytes.NewReader(big), http.StatusOK, 2},
		"12 MiB of unsaid length":              {streamed{bytes.NewReader(big)}, http.StatusOK, 2},
		"nothing":                              {nil, http.StatusOK, 2},
		"16 MiB and a byte":                    {bytes.NewReader(make([]byte, maxBody+1)), http.StatusRequestEntityTooLarge, 0},
		"16 MiB and a byte, of unsaid length":  {streamed{bytes.NewReader(make([]byte, maxBody+1))}, http.StatusRequestEntityTooLarge, 0},
		"40 MiB, while the browser is sending": {bytes.NewReader(make([]byte, 40<<20)), http.StatusRequestEntityTooLarge, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, nil)
			w.signIn("alice")
			w.demo.as.RevokeAccess()
			req, err := http.NewRequest("POST", w.url+"/comments", row.body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "text/x-test")
			r := w.do(req, nil)
			w.want(r, row.status)
			if n := w.demo.api.Counts().Requests; n != row.calls {
				t.Errorf("%d calls of the API, want %d", n, row.calls)
			}
			if row.status != http.StatusOK {
				return
			}
			if row.body != nil && r.body != string(big) {
				t.Errorf("%d bytes came back, or others than were sent", len(r.body))
			}
			if got := r.Header.Get("Content-Type"); got != "text/x-test" {
				t.Errorf("Content-Type %s", got)
			}
			w.presented(w.demo.as, 1)
		})
	}
}

// A timeout is no logout, and a logout is one.
func TestOutageAndEnd(t *testing.T) {
	t.Run("while the authorization server is down, nobody is signed out", func(t *testing.T) {
		w := start(t, nil)
		w.signIn("alice")
		w.want(w.submit("/demo/down", nil), http.StatusSeeOther)
		w.demo.as.RevokeAccess()
		old := w.cookie("refreshToken")
		for path, ask := range map[string]func(string) response{"/": w.navigate, "/fanout": w.fetch} {
			r := ask(path)
			w.want(r, http.StatusServiceUnavailable)
			if r.Header.Get("Retry-After") == "" || r.Header.Get("Set-Cookie") != "" {
				t.Errorf("%s: %v", path, r.Header)
			}
		}
		if old == "" || w.cookie("refreshToken") != old {
			t.Error("the cookie is gone")
		}
	})
	t.Run("a session that has ended is over for a program, and cleared for a person", func(t *testing.T) {
		w := start(t, nil)
		w.signIn("alice")
		w.want(w.submit("/demo/end", nil), http.StatusSeeOther)
		r := w.fetch("/fanout")
		w.want(r, http.StatusUnauthorized)
		if r.Header.Get("Content-Type") != "application/problem+json" || r.Header.Get("Set-Cookie") != "" {
			t.Errorf("%v", r.Header)
		}
		r = w.navigate("/")
		w.want(r, http.StatusSeeOther)
		if r.Header.Get("Location") != "/login?next=%2F" || w.cookie("accessToken")+w.cookie("refreshToken") != "" {
			t.Errorf("%v", r.Header)
		}
		w.presented(w.demo.as, 1)
	})
}

func TestBadRequests(t *testing.T) {
	w := start(t, nil)
	w.signIn("alice")
	for _, path := range []string{"/fanout?n=0", "/fanout?n=x", "/stream?delay=x", "/stream?delay=-1s", "/stream?delay=2h"} {
		w.want(w.fetch(path), http.StatusBadRequest)
	}
	w.want(w.fetch("/healthz"), http.StatusOK)
	w.want(w.fetch("/nowhere"), http.StatusNotFound)
	w.want(w.submit("/demo/nothing", nil), http.StatusNotFound)
	for _, user := range []string{"", "  ", strings.Repeat("x", 101)} {
		w.want(w.submit("/login", url.Values{"user": {user}}), http.StatusBadRequest)
	}
	for _, next := range []string{"//evil.example", "https://evil.example/", `/\evil.example`} {
		r := w.submit("/login", url.Values{"user": {"bob"}, "next": {next}})
		if to := r.Header.Get("Location"); to != "/" {
			t.Errorf("next %s leads to %s", next, to)
		}
	}
	for _, path := range []string{"/login", "/logout", "/comments", "/auth/refresh", "/demo/expire"} {
		req, err := http.NewRequest("POST", w.url+path, strings.NewReader("user=mallory"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "cross-site")
		w.want(w.do(req, nil), http.StatusForbidden)
	}
}

func TestAFanoutOfAThousand(t *testing.T) {
	w := start(t, nil)
	w.signIn("alice")
	w.demo.as.RevokeAccess()
	if r := w.fetch("/fanout?n=5000"); strings.TrimSpace(r.body) != `{"ok":1000,"failed":0}` {
		t.Error(r.Status, r.body)
	}
	w.presented(w.demo.as, 1)
}

func TestSecureCookiesOverTLS(t *testing.T) {
	w := start(t, map[string]string{"BFF_INSECURE_COOKIES": ""})
	srv := httptest.NewTLSServer(w.handler)
	defer srv.Close()
	w.url, w.browser = srv.URL, jarred(t, srv.Client())
	w.signIn("alice")
	if w.cookie("__Host-access") == "" || w.cookie("__Host-refresh") == "" {
		t.Error("no cookies of that name")
	}
	w.want(w.navigate("/"), http.StatusOK)
}

func TestABackendElsewhere(t *testing.T) {
	for name, alg := range map[string]string{"HS256 and a secret": "HS256", "ES256 and a JWKS": "ES256", "verified by nobody": ""} {
		t.Run(name, func(t *testing.T) {
			as, api, base := elsewhere(t, authtest.ASConfig{Alg: alg})
			env := map[string]string{"BFF_API_URL": base + "/"}
			switch alg {
			case "HS256":
				env["BFF_JWT_SECRET"] = string(as.Key().([]byte))
			case "ES256":
				env["BFF_JWKS_URL"] = as.JWKSURL()
			}
			w := start(t, env)
			w.signIn("alice")
			as.RevokeAccess()
			r := w.navigate("/")
			w.want(r, http.StatusOK)
			if !strings.Contains(r.body, ">alice<") || strings.Contains(r.body, "/demo/") {
				t.Error("no user, or controls of servers that are not ours")
			}
			w.presented(as, 1)
			w.want(w.submit("/demo/expire", nil), http.StatusNotFound)

			// An answer of the API that is none about tokens is a bad gateway.
			api.Intercept(authtest.Answer(http.StatusInternalServerError, nil, ""))
			w.want(w.navigate("/"), http.StatusBadGateway)
			if r = w.fetch("/fanout?n=2"); r.StatusCode != http.StatusBadGateway || strings.TrimSpace(r.body) != `{"ok":0,"failed":2}` {
				t.Error(r.Status, r.body)
			}
		})
	}
}

package middleware_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
)

var inMarkup = regexp.MustCompile(`<[^>]*?(?:\s[a-z-]+(?:="[^"]*")?)*>|<`)

// markup is what a page is made of, without what stands in its attributes.
func markup(page string) []string {
	quoted := regexp.MustCompile(`="[^"]*"`)
	var tags []string
	for _, tag := range inMarkup.FindAllString(page, -1) {
		tags = append(tags, quoted.ReplaceAllString(tag, "="))
	}
	return tags
}

// FuzzPage: whatever the URL of a request is, our pages have the same elements
// and the same attributes, and lead nowhere else (T-G1 to T-G3).
func FuzzPage(f *testing.F) {
	for _, uri := range []string{"/orders?a=b&c", `/"><script>alert(1)</script>`, "/'onload='x", "/x;url=//evil.test", "//evil.test/x", "http://evil.test/x", `/\evil.test`,
		"/%22%3e%3cscript%3e", "/a?b=%0d%0aSet-Cookie:x", "*", "/%2f%2fevil.test", "/\x00", "/a#b", "/?next=//evil.test", "/{{.}}", "/..%2f..%2f/evil.test", "/;/x"} {
		f.Add(uri, "evil.test")
	}
	strict := middleware.Cookies{InsecureNoTLS: true, SameSite: http.SameSiteStrictMode}
	a := &middleware.Authenticator{Coordinator: &tokencache.Coordinator{}, Cookies: strict}
	pages := map[string]http.Handler{
		"boundary": a.Boundary(func(http.ResponseWriter, *http.Request) error { return tokencache.ErrUnauthorized }),
		"bounce":   a.Handler(still),
		"login":    a.Handler(still),
	}
	answer := func(name, uri, host string) *httptest.ResponseRecorder {
		r := &http.Request{Method: "GET", RequestURI: uri, Host: host, Header: navigating.Clone(), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
		u, err := url.ParseRequestURI(uri)
		if err != nil {
			return nil // no server hands it on
		}
		r.URL = u
		switch name {
		case "boundary":
			r.Header.Set("Cookie", "access=A; refresh=R")
		case "bounce":
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		}
		for _, forwarded := range []string{"X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Uri", "Forwarded", "X-Original-Url"} {
			r.Header.Set(forwarded, host)
		}
		rec := httptest.NewRecorder()
		pages[name].ServeHTTP(rec, r)
		return rec
	}
	f.Fuzz(func(t *testing.T, uri, host string) {
		for name := range pages {
			rec := answer(name, uri, host)
			if rec == nil || rec.Code == http.StatusOK && strings.HasPrefix(rec.Body.String(), "still") {
				continue // one of our own paths
			}
			checkAnswer(t, rec, true)
			if want := markup(answer(name, "/", "bff.test").Body.String()); !slices.Equal(markup(rec.Body.String()), want) {
				t.Errorf("%s of %q: %s", name, uri, rec.Body)
			}
			if name == "login" {
				to, err := url.Parse(rec.Header().Get("Location"))
				if err != nil || to.Path != "/login" || !here(middleware.Next(&http.Request{Method: "GET", URL: to})) {
					t.Errorf("%q leads to %v, %v", uri, to, err)
				}
			}
			for _, m := range regexp.MustCompile(` (?:href|action)="([^"]*)"| content="0; url=([^"]*)"`).FindAllStringSubmatch(rec.Body.String(), -1) {
				if link := strings.NewReplacer("&amp;", "&", "&#34;", `"`, "&#39;", "'", "&#43;", "+").Replace(m[1] + m[2]); !here(link) {
					t.Errorf("%s of %q leads to %q", name, uri, link)
				}
			}
		}
	})
}

// FuzzPublic: who is not signed in gets to what is said to be public, spelled as
// it is said there, and to nothing that another reader of the path could take
// for something else (T-G6).
func FuzzPublic(f *testing.F) {
	for _, uri := range []string{"/about", "/about/", "/assets/x.css", "/assets/../admin", "/assets/%2e%2e/admin", "/assets/..%2fadmin", "/assets//x", "/files/a", "/files/a/b",
		"/files/..", "/files/%2e%2e", "/admin/x.json", "/_next/../admin", "/assets;/../admin", `/assets/..\admin`, "/ASSETS/x", "/assets/%5c..", "http://evil.test/about", "//about"} {
		f.Add("GET", uri)
	}
	f.Add("POST", "/about")
	f.Add("CONNECT", "/assets/../admin")
	a := &middleware.Authenticator{Coordinator: &tokencache.Coordinator{}, Public: []string{"GET /about", "/assets/", "/files/{name}"}}
	ran := false
	h := a.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran = true }))
	f.Fuzz(func(t *testing.T, method, uri string) {
		u, err := url.ParseRequestURI(uri)
		if err != nil || method == "" {
			t.Skip("no server hands it on")
		}
		ran = false
		h.ServeHTTP(httptest.NewRecorder(), &http.Request{Method: method, URL: u, RequestURI: uri, Host: "bff.test", Header: http.Header{}})
		if ran == public(method, u.Path) {
			return
		}
		if ran || u.Path == u.EscapedPath() { // a spelling with escapes may be refused
			t.Errorf("%s %q: served %t", method, uri, ran)
		}
	})
}

// public goes through the segments of a path by hand.
func public(method, path string) bool {
	if path == "/login" || path == "/auth/refresh" || path == "/auth/rebearer.js" {
		return true
	}
	segments := strings.Split(path, "/")
	if len(segments) < 2 || segments[0] != "" || strings.ContainsFunc(path, func(c rune) bool { return c < ' ' || c == 0x7f || c == '\\' }) {
		return false
	}
	for i, s := range segments[1:] {
		if s == "." || s == ".." || s == "" && i < len(segments)-2 {
			return false
		}
	}
	switch {
	case path == "/about":
		return method == "GET" || method == "HEAD"
	case segments[1] == "assets":
		return len(segments) > 2
	case segments[1] == "files":
		return len(segments) == 3 && segments[2] != ""
	}
	return false
}

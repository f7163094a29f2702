package middleware

import (
	"net/http"
	"net/url"
	"path"
	"strings"
)

// Next returns the path that a login request asks to be sent to afterwards: its
// parameter next, from the query or the form, if that is a path on this host,
// else "/". It is safe as a Location.
func Next(r *http.Request) string {
	if t, ok := target(r.FormValue("next")); ok {
		return t
	}
	return "/"
}

// maxTarget is more than any Location needs.
const maxTarget = 2048

// target returns a path with an optional query that cannot lead to another
// host, as it may be written into a Location. Browsers read a backslash as a
// slash, drop tabs and newlines, and take what begins with two slashes for a
// host (WHATWG URL). None of that is repaired here: it is refused.
func target(s string) (string, bool) {
	if len(s) == 0 || len(s) > maxTarget || s[0] != '/' {
		return "", false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return "", false
		}
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" || u.Fragment != "" {
		return "", false
	}
	// What is encoded may be decoded on the way: refuse what would lead away
	// then.
	plain := u.Path
	for range 3 {
		if !clean(plain) {
			return "", false
		}
		decoded, err := url.PathUnescape(plain)
		if err != nil || decoded == plain {
			break
		}
		plain = decoded
	}
	return s, true
}

// clean reports whether a path is in its shortest form and free of what a
// browser would read in a way of its own.
func clean(p string) bool {
	if p == "" || p[0] != '/' || strings.ContainsFunc(p, func(c rune) bool { return c < ' ' || c == '\\' || c == 0x7f }) {
		return false
	}
	c := path.Clean(p)
	return p == c || c != "/" && p == c+"/"
}

// itself returns the path and query of the request as the browser sent them,
// whatever a StripPrefix has made of its URL.
func itself(r *http.Request) (string, bool) { return target(asked(r)) }

// at returns the path alone, with its escapes. LoginURL, RefreshURL and ScriptURL
// are compared with it, as it is they that the browser is sent to.
func at(r *http.Request) string {
	path, _, _ := strings.Cut(asked(r), "?")
	return path
}

// asked is read as net/http reads it: there is no fragment.
func asked(r *http.Request) string {
	s := r.RequestURI
	if strings.HasPrefix(s, "/") {
		return s
	}
	u := r.URL
	if s != "" && r.Method != http.MethodConnect { // whose target is no URL (RFC 9112 section 3.2.3)
		if parsed, err := url.ParseRequestURI(s); err == nil {
			u = parsed
		}
	}
	return u.RequestURI()
}

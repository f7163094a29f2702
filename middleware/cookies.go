package middleware

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rebearer/rebearer/tokencache"
)

// ErrCookieTooLarge is about tokens that no browser would keep: with its name
// and attributes, one of them is longer than 4,096 bytes (RFC 6265 section
// 6.1).
var ErrCookieTooLarge = errors.New("rebearer: the tokens do not fit into cookies")

// Cookies say how a browser keeps the tokens: in two cookies that scripts cannot
// read, and in another for their key if they are bound to one; or, if Sealed, in
// one that nobody can read but the program; or not at all, see [Sessions]. The
// zero value is the safest that every page can work with. One more, "__Host-rebearer", or
// "rebearer" with InsecureNoTLS, holds no token, is there for some minutes after a
// [StepUp], and keeps that from going round in circles.
//
// A byte of a token that may not stand in a cookie has the whole token encoded.
// A handler inside [Authenticator.Handler] does not find the cookies in its
// request, and sets none of these names: its tokens are in the context.
type Cookies struct {
	// Access and Refresh are the names. If empty, "__Host-access" and
	// "__Host-refresh", which no other host can set or shadow (RFC 6265bis
	// section 4.1.3); with a RefreshPath "__Secure-refresh", and with
	// InsecureNoTLS neither prefix.
	Access, Refresh string
	// Sealed keeps tokens, and their key if they are bound to one, in one cookie
	// that is sealed with Secrets (AES-256-GCM), and continued in up to four more
	// where they do not fit. It takes what could be read or changed away from a
	// browser's extensions, backups and logs of cookies; whoever has the whole
	// cookie still has the session. Access, Refresh and RefreshPath must be empty.
	Sealed bool
	// Session is the name of that cookie, and of the one of [Sessions]. If empty,
	// "__Host-rebearer-session", with InsecureNoTLS "rebearer-session". What
	// continues it has "-1" to "-4" behind the name. The default names of tokens
	// and keys that have cookies of their own are refused.
	Session string
	// RefreshPath limits the refresh cookie to one path and what is below it.
	// RefreshURL must be there, and so should the path of LogoutHandler, or a
	// logout cannot revoke anything. Renewal is then the browser's part: see
	// [Authenticator.Boundary]. If empty, "/".
	RefreshPath string
	// SameSite of both. If zero, Lax. With Strict, a navigation that comes
	// from another site and shows no tokens is loaded a second time.
	SameSite http.SameSite
	// MaxAge is how long the browser keeps both, where it is not known how
	// long the refresh token lives. If zero, 30 days. With Sessions it must be
	// zero: their Absolute says it.
	MaxAge time.Duration
	// Secrets seal: all, if Sealed; else the key of sessions whose tokens are
	// bound to one (DPoP, RFC 9449), in a cookie called "__Host-key", or "key"
	// with InsecureNoTLS. They are required for both, and refused with Sessions,
	// which have keys of their own. The first one seals and
	// all open, so that a new one can be put in front of an old one. Each is of
	// at least 32 random bytes that all replicas share. A cookie that none of
	// them opens is not there; a session whose key is not gets a new one with
	// its next refresh, if the authorization server lets it.
	Secrets [][]byte
	// InsecureNoTLS leaves out Secure, for http on loopback. Whoever can
	// listen on the way has the tokens.
	InsecureNoTLS bool
}

// Format prints no field: one of them is Secrets.
func (c Cookies) Format(f fmt.State, _ rune) { io.WriteString(f, "Cookies(…)") }

// LogValue logs no field.
func (c Cookies) LogValue() slog.Value { return slog.StringValue("Cookies(…)") }

// MarshalJSON returns an error: a log in JSON would hold the Secrets of what these
// Cookies are a part of.
func (c Cookies) MarshalJSON() ([]byte, error) {
	return nil, errors.New("middleware: Cookies may hold secrets and have no encoding")
}

// maxLine is what a browser must be able to keep of one cookie.
const maxLine = 4096

const month = 30 * 24 * time.Hour

// names are the cookies with all defaults filled in.
type names struct {
	access, refresh, rounds, key string
	session                      string // instead of access, refresh and key; else empty
	refreshPath                  string
}

// validate is told whether the tokens are in one place, Sealed or in Sessions.
func (c *Cookies) validate(one bool) (names, error) {
	n := names{access: c.Access, refresh: c.Refresh, refreshPath: or(c.RefreshPath, "/")}
	host, secure := "__Host-", "__Secure-"
	if c.InsecureNoTLS {
		host, secure = "", ""
	}
	n.rounds, n.key = host+"rebearer", host+"key"
	if one {
		n.session = or(c.Session, host+"rebearer-session")
		if c.Access != "" || c.Refresh != "" || c.RefreshPath != "" {
			return n, errors.New("middleware: Access, Refresh and RefreshPath are for tokens in cookies of their own")
		}
	} else if c.Session != "" {
		return n, errors.New("middleware: Session is the name of a cookie that is Sealed, or of Sessions")
	}
	if c.Sealed && len(c.Secrets) == 0 {
		return n, errors.New("middleware: Sealed needs Secrets")
	}
	if n.access == "" {
		n.access = host + "access"
	}
	if n.refresh == "" && n.refreshPath != "/" {
		n.refresh = secure + "refresh"
	} else if n.refresh == "" {
		n.refresh = host + "refresh"
	}
	all := []*http.Cookie{c.cookie(n.access, "x", "/", 1), c.cookie(n.refresh, "x", n.refreshPath, 1)}
	taken := []string{n.rounds}
	if one {
		all = []*http.Cookie{c.cookie(n.session, "x", "/", 1)}
	} else if len(c.Secrets) > 0 {
		taken = append(taken, n.key)
	}
	for _, cookie := range all {
		if slices.Contains(taken, cookie.Name) {
			return n, errors.New("middleware: two cookies have the same name")
		}
		taken = append(taken, cookie.Name)
		if err := cookie.Valid(); err != nil || cookie.String() == "" {
			return n, fmt.Errorf("middleware: the cookie %q cannot be set: %v", cookie.Name, err)
		}
		lower := strings.ToLower(cookie.Name) // browsers compare the prefixes without regard to case
		switch {
		case strings.HasPrefix(lower, "__host-") && (c.InsecureNoTLS || cookie.Path != "/"),
			strings.HasPrefix(lower, "__secure-") && c.InsecureNoTLS:
			return n, fmt.Errorf("middleware: browsers refuse the cookie %q with these attributes", cookie.Name)
		}
	}
	if n.refreshPath[0] != '/' {
		return n, errors.New("middleware: RefreshPath must begin with a slash")
	}
	if c.SameSite == http.SameSiteNoneMode && c.InsecureNoTLS {
		return n, errors.New("middleware: browsers refuse SameSite=None without Secure")
	}
	if c.MaxAge < 0 {
		return n, errors.New("middleware: MaxAge is negative")
	}
	return n, nil
}

// cookie has every attribute in every use: a deletion that lacks one of them
// does not delete.
func (c *Cookies) cookie(name, value, path string, maxAge int) *http.Cookie {
	cookie := &http.Cookie{
		Name: name, Value: value, Path: path, MaxAge: maxAge,
		Secure: !c.InsecureNoTLS, HttpOnly: true, SameSite: or(c.SameSite, http.SameSiteLaxMode),
	}
	if maxAge < 0 {
		cookie.Expires = time.Unix(1, 0) // for who does not know Max-Age
	}
	return cookie
}

// part is what a cookie is to keep of a Token.
type part struct{ name, value, path string }

// parts are the cookies of a Token, where each has its own.
func (a *Authenticator) parts(t tokencache.Token) []part {
	if a.names.session != "" {
		return []part{{a.names.session, "", "/"}}
	}
	all := []part{{a.names.access, t.Access(), "/"}, {a.names.refresh, t.Refresh(), a.names.refreshPath}}
	if a.ring != nil {
		all = append(all, part{a.names.key, a.ring.sealKey(t.Key()), "/"})
	}
	return all
}

// maxAge is how long the browser keeps the cookies of a Token, in seconds.
func (a *Authenticator) maxAge(t tokencache.Token) int {
	age := or(a.Cookies.MaxAge, month)
	if end := t.RefreshExpiry(); !end.IsZero() {
		age = time.Until(end)
	}
	return max(1, int(age/time.Second))
}

// lines returns what sets the cookies to the token, as values of Set-Cookie. A
// part that the token lacks is deleted.
func (a *Authenticator) lines(t tokencache.Token) ([]string, error) {
	if a.Cookies.Sealed {
		return a.sealedLines(t)
	}
	maxAge := a.maxAge(t)
	var lines []string
	for _, c := range a.parts(t) {
		cookie := a.Cookies.cookie(c.name, encode(c.value), c.path, maxAge)
		if c.value == "" {
			cookie = a.Cookies.cookie(c.name, "", c.path, -1)
		}
		line := cookie.String()
		if len(line) > maxLine {
			return nil, fmt.Errorf("%w: %s has %d bytes", ErrCookieTooLarge, c.name, len(line))
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// deletions returns what deletes the cookies.
func (a *Authenticator) deletions() []string {
	var lines []string
	for _, p := range a.parts(tokencache.Token{}) {
		lines = append(lines, a.Cookies.cookie(p.name, "", p.path, -1).String())
	}
	return lines
}

// strays returns what deletes cookies of our names that were set for the host's
// domains. They come before the lines that set ours, since some cookie jars
// take a cookie for the host and one for its domain for the same.
func (a *Authenticator) strays(r *http.Request) []string {
	var lines []string
	all := a.parts(tokencache.Token{})
	for i := 1; i < maxChunks && a.Cookies.Sealed; i++ {
		all = append(all, part{a.chunkName(i), "", "/"})
	}
	for _, domain := range domains(r.Host) {
		for _, c := range all {
			if strings.HasPrefix(strings.ToLower(c.name), "__host-") {
				continue // there can be none
			}
			cookie := a.Cookies.cookie(c.name, "", c.path, -1)
			cookie.Domain = domain
			lines = append(lines, cookie.String())
		}
	}
	return lines
}

// domains returns the domains for which the host may set a cookie. A browser
// refuses those that belong to nobody in particular, such as "com".
func domains(host string) (all []string) {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if net.ParseIP(strings.Trim(host, "[]")) != nil || len(host) > 253 {
		return nil
	}
	for len(all) < 8 && strings.Contains(host, ".") {
		all = append(all, host)
		_, host, _ = strings.Cut(host, ".")
	}
	return all
}

// marked begins an encoded value. No JWT begins with it, and a token that does
// is encoded.
const marked = "~"

// encode returns the token as it is if it may stand in a cookie: http.SetCookie
// would drop the bytes that may not (RFC 6265 section 4.1.1).
func encode(token string) string {
	plain := !strings.HasPrefix(token, marked)
	for i := 0; plain && i < len(token); i++ {
		switch c := token[i]; {
		case c <= ' ', c > '~', c == '"', c == ',', c == ';', c == '\\':
			plain = false
		}
	}
	if plain {
		return token
	}
	return marked + base64.RawURLEncoding.EncodeToString([]byte(token))
}

func decode(value string) (token string, ok bool) {
	coded, isCoded := strings.CutPrefix(value, marked)
	if !isCoded {
		return value, value != ""
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(coded)
	return string(raw), err == nil && len(raw) > 0
}

func (a *Authenticator) ours(name string) bool {
	switch {
	case name == a.names.rounds:
		return true
	case a.names.session != "":
		return name == a.names.session || a.chunk(name) > 0 || a.former(name)
	}
	return name == a.names.access || name == a.names.refresh || a.ring != nil && name == a.names.key
}

// former reports whether a cookie is of a program that has changed the place: it
// is not looked at, passed on to nobody, and deleted with the next sign-in.
func (a *Authenticator) former(name string) bool {
	return a.names.session != "" && !a.Cookies.InsecureNoTLS && (name == a.names.access || name == a.names.refresh || name == a.names.key)
}

// disown removes what somebody else sets under our names, such as an upstream
// behind a ReverseProxy.
func (a *Authenticator) disown(h http.Header) {
	lines := h["Set-Cookie"]
	if len(lines) == 0 {
		return
	}
	var kept []string
	for _, line := range lines {
		name, value, _ := strings.Cut(line, "=")
		if name = strings.TrimSpace(name); name == "" {
			// One without a name comes back as its value alone, which some
			// browsers let be a pair (RFC 6265bis section 5.8.3).
			name, _, _ = strings.Cut(value, "=")
			name = strings.TrimSpace(name)
		}
		if !a.ours(name) {
			kept = append(kept, line)
		}
	}
	if len(kept) < len(lines) {
		delete(h, "Set-Cookie")
		if len(kept) > 0 {
			h["Set-Cookie"] = kept
		}
	}
}

package middleware

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"github.com/rebearer/rebearer/tokencache"
)

// Authenticator signs browsers in by the tokens in their cookies, and keeps
// those fresh: before a handler, while it runs, and in the browser.
//
// There is one for the whole process, and one Coordinator with it. It is safe
// for concurrent use and must not be copied or changed after first use. What is
// wrong with its fields is told by [Authenticator.Validate]; its handlers panic
// when they are made of a wrong one, as those of an http.ServeMux do.
type Authenticator struct {
	// Coordinator refreshes the tokens. It is required.
	Coordinator *tokencache.Coordinator
	// Verifier verifies access tokens. If nil, they are taken as they are: one
	// that is a JWT counts as ended after its exp, any other one until the API
	// rejects it, and [Claims] are never known.
	Verifier *Verifier
	// Cookies say how tokens are kept in the browser. The zero value is safe.
	Cookies Cookies
	// Sessions keeps tokens on the server, and nothing but a random name of the
	// session in the browser. If nil, the browser keeps them: see Cookies.
	Sessions *Sessions
	// Mode says how tokens that were renewed before a page reach the browser.
	// If zero, [Inline].
	Mode Mode

	// LoginURL is the path of the login page; it gets the query parameter
	// next, see [Next], and for a stronger sign-in those of [StepUp]. If
	// empty, "/login". This and the next two are as the browser asks for them:
	// with what an http.StripPrefix takes away, and with the same escapes.
	LoginURL string
	// RefreshURL is the path of RefreshHandler. If empty, "/auth/refresh".
	RefreshURL string
	// ScriptURL is the path of ScriptHandler. If empty, "/auth/rebearer.js".
	ScriptURL string
	// Public are the requests that pass without a session, as patterns of
	// http.ServeMux, such as "GET /about" or "/assets/". They match a path
	// that is spelled in its clean form only, and what an http.StripPrefix
	// has left of it. LoginURL, RefreshURL and ScriptURL are always public. If
	// empty, nothing else is.
	Public []string

	// Nonce returns the nonce of the response's Content-Security-Policy for
	// the one script element that is written. If nil, it has none: a policy
	// that allows 'self' needs none.
	Nonce func(*http.Request) string
	// Log gets a record for each request that was answered because its session
	// had ended or could not be renewed, for each step-up that was in vain, and for
	// each session that a logout or a sign-in could not end everywhere, with its
	// reason and never a token. If nil, nothing is logged.
	Log *slog.Logger

	once   sync.Once
	bad    error
	public *http.ServeMux
	names  names
	ring   ring
	seen   verifiedTokens
	origin http.CrossOriginProtection
}

// Mode is a way in which a renewal before a page reaches the browser.
type Mode int

const (
	// Inline renews, runs the handler with the new token, and sets the
	// cookies on its response. It serves every method and costs no further
	// round trip.
	Inline Mode = iota
	// Redirect answers a GET or HEAD that navigates to a document with 307 to
	// itself and the new cookies, so that the page begins with them. Only the
	// request that presented the refresh token is redirected, so that a
	// browser that keeps no cookies sees one redirect and then pages, and only
	// if the new access token does not end within seconds by our clock. All
	// other requests are served as with Inline.
	Redirect
)

// Validate returns what is wrong with the configuration, or nil.
func (a *Authenticator) Validate() error {
	a.once.Do(func() { a.bad = a.setUp() })
	return a.bad
}

// must panics if the configuration is wrong.
func (a *Authenticator) must() {
	if err := a.Validate(); err != nil {
		panic(err)
	}
}

func (a *Authenticator) setUp() error {
	if a.Coordinator == nil {
		return errors.New("middleware: an Authenticator needs a Coordinator")
	}
	if a.Mode != Inline && a.Mode != Redirect {
		return fmt.Errorf("middleware: there is no Mode %d", a.Mode)
	}
	if a.Verifier != nil {
		if err := a.Verifier.validate(); err != nil {
			return err
		}
	}
	var err error
	if a.names, err = a.Cookies.validate(a.Cookies.Sealed || a.Sessions != nil); err != nil {
		return err
	}
	if a.former(a.names.session) {
		return fmt.Errorf("middleware: Session must not be %q: such a cookie is taken for one of before tokens were Sealed or in Sessions, and deleted", a.names.session)
	}
	if a.Sessions != nil {
		if err := a.Sessions.validate(&a.Cookies); err != nil {
			return err
		}
	}
	if a.ring, err = newRing(a.Cookies.Secrets, or(a.names.session, a.names.key)); err != nil {
		return err
	}
	a.public = http.NewServeMux()
	for name, path := range map[string]string{"LoginURL": a.loginURL(), "RefreshURL": a.refreshURL(), "ScriptURL": a.scriptURL()} {
		if t, ok := target(path); !ok || t != path || strings.ContainsAny(path, "?#{} ") {
			return fmt.Errorf("middleware: %s must be a path on this host, such as /login", name)
		}
	}
	if u := a.refreshURL(); u == a.loginURL() || u == a.scriptURL() {
		return fmt.Errorf("middleware: %q is RefreshURL, and LoginURL or ScriptURL, too", u)
	}
	for _, pattern := range a.Public {
		if err := a.publish(pattern); err != nil {
			return err
		}
	}
	if p := a.names.refreshPath; p != "/" && !under(a.refreshURL(), p) {
		return fmt.Errorf("middleware: RefreshURL %q is not below RefreshPath %q, so that it would never see the refresh cookie", a.refreshURL(), p)
	}
	a.origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		problem{status: http.StatusForbidden, detail: "the request comes from another origin"}.write(w)
	}))
	return nil
}

// Format prints no field.
func (a *Authenticator) Format(f fmt.State, _ rune) { io.WriteString(f, "Authenticator(…)") }

// passed marks what the mux finds for a public request, as opposed to its
// redirects and errors.
type passed struct{}

func (passed) ServeHTTP(http.ResponseWriter, *http.Request) {}

func (a *Authenticator) publish(pattern string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("middleware: the pattern %q cannot be public: %v", pattern, p)
		}
	}()
	a.public.Handle(pattern, passed{})
	return nil
}

// isPublic reports whether the request needs no session. What the mux would
// have to clean first is protected, whatever it would clean it to.
func (a *Authenticator) isPublic(r *http.Request) bool {
	switch at(r) {
	case a.loginURL(), a.refreshURL(), a.scriptURL():
		return true
	}
	if len(a.Public) == 0 || !clean(r.URL.Path) {
		return false
	}
	h, _ := a.public.Handler(r)
	_, ok := h.(passed)
	return ok
}

func (a *Authenticator) loginURL() string   { return or(a.LoginURL, "/login") }
func (a *Authenticator) refreshURL() string { return or(a.RefreshURL, "/auth/refresh") }
func (a *Authenticator) scriptURL() string  { return or(a.ScriptURL, "/auth/rebearer.js") }

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// under reports whether a cookie with the path is sent to the URL path (RFC
// 6265 section 5.1.4).
func under(path, cookiePath string) bool {
	rest, ok := strings.CutPrefix(path, cookiePath)
	return ok && (rest == "" || strings.HasSuffix(cookiePath, "/") || rest[0] == '/')
}

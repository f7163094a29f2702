package middleware

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	_ "embed"
	"encoding/base64"
	"html/template"
	"io"
	"net/http"
	"strings"

	"github.com/rebearer/rebearer/tokencache"
)

// Boundary serves h, and answers an error that it returns as [Authenticator.Error]
// does. Inside a Handler that is all.
//
// On its own it leaves the renewal to the browser: h runs with the tokens as
// they were shown, its calls are signed with them and refresh nothing, and if
// one of them comes back unauthorized, so that h returns an error that is
// [tokencache.ErrUnauthorized], the browser gets a small page whose script asks
// RefreshHandler for new tokens, one tab at a time, and loads the page again. It
// ends at the login page rather than in a loop. This is for refresh cookies
// that pages do not see (see [Cookies].RefreshPath).
func (a *Authenticator) Boundary(h func(http.ResponseWriter, *http.Request) error) http.Handler {
	a.must()
	inner := func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			a.Error(w, r, err)
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s := sessionOf(r.Context()); s != nil && s.auth == a {
			inner(w, r)
			return
		}
		if excessive(r) {
			problem{status: http.StatusRequestHeaderFieldsTooLarge, detail: "too many cookies"}.write(w)
			return
		}
		s := a.begin(w, r)
		defer s.finish()
		err := s.catchUp(r.Context())
		if err == nil && s.cache.Token().IsZero() {
			err = tokencache.ErrNoRefreshToken
		}
		if err != nil && !a.isPublic(r) {
			s.fail(s, r, err)
			return
		}
		if s.verdict.err != nil {
			s.verdict.claims = nil
		}
		cache := s.frozen()
		if err != nil {
			cache = s.anonymous(err)
		}
		inner(s, s.with(cache))
	})
}

// curable reports whether the browser may get a new access token where this
// request could not: it has a refresh token that was not used here. If this very
// request got a new one and it does not work either, another would not.
func (s *session) curable() bool {
	if s.cache.Presented() {
		return false
	}
	t := s.cache.Token()
	return t.Refresh() != "" || t.Access() != "" && s.auth.names.refreshPath != "/"
}

// spent names the access token that did not work, without being one: the browser
// passes it on to RefreshHandler, which can tell whether that token has been
// replaced meanwhile, by another tab for example.
func (s *session) spent() string { return fingerprint(s.cache.Token().Access()) }

func fingerprint(access string) string {
	sum := sha256.Sum256([]byte("rebearer spent " + access))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

func sameFingerprint(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

//go:embed page.html
var pageSource string

var pages = template.Must(template.New("page").Parse(pageSource))

// page is what the template is told.
type page struct {
	Title, Detail     string
	Script, Nonce     string // of the boundary
	Refresh, Login    string
	Spent, Next, Here string
}

// boundary writes the page that has the browser refresh.
func (s *session) boundary(w http.ResponseWriter, r *http.Request) {
	p := s.page(r)
	p.Title, p.Detail = "One moment", "Your session is being renewed."
	w.Header().Set("WWW-Authenticate", "Rebearer") // RFC 9110 section 15.5.2
	s.render(w, http.StatusUnauthorized, "boundary", p)
}

func (s *session) page(r *http.Request) page {
	a := s.auth
	p := page{Script: a.scriptURL(), Refresh: a.refreshURL(), Login: a.loginFor(r), Spent: s.spent(), Here: a.back(r)}
	p.Next = or(p.Here, "/")
	if a.Nonce != nil {
		p.Nonce = a.Nonce(r)
	}
	return p
}

// append has the browser refresh, or a person sign in, although the page is
// under way: the element goes at its end, wherever that is. It would break what
// the handler has coded, or be beyond the length that it has said; a coding that
// somebody outside adds codes the element, too.
func (s *session) append(w http.ResponseWriter, name string, p page) {
	s.mu.Lock()
	whole := s.whole
	s.mu.Unlock()
	if whole || !strings.HasPrefix(strings.ToLower(w.Header().Get("Content-Type")), "text/html") {
		return
	}
	var b bytes.Buffer
	if pages.ExecuteTemplate(&b, name, p) == nil {
		w.Write(b.Bytes())
	}
}

// problem answers a person with a page, and a program with a problem.
func (s *session) problem(w http.ResponseWriter, r *http.Request, p problem) {
	if !s.kind.navigation || s.kind.passive {
		p.write(w)
		return
	}
	p.header(w)
	said := s.page(r)
	said.Title, said.Detail = http.StatusText(p.status), p.detail
	said.Here = or(p.here, said.Here)
	s.render(w, p.status, "problem", said)
}

// bounces reports whether the cookies may only be missing because the browser
// comes from another site, as SameSite=Strict has it.
func (s *session) bounces() bool {
	return s.auth.Cookies.SameSite == http.SameSiteStrictMode && s.cache.Token().IsZero() &&
		s.request.Header.Get("Sec-Fetch-Site") == "cross-site" && s.request.Method == http.MethodGet
}

// bounce has the browser load the page again, this time from ourselves.
func (s *session) bounce(w http.ResponseWriter) {
	p := s.page(s.request)
	p.Title = "One moment"
	if p.Here == "" {
		p.Here = "/"
	}
	s.render(w, http.StatusOK, "bounce", p)
}

func (s *session) render(w http.ResponseWriter, status int, name string, p page) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, p); err != nil {
		problem{status: http.StatusInternalServerError}.write(w)
		return
	}
	own(w.Header())
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	if s.request.Method != http.MethodHead {
		io.Copy(w, &b)
	}
}

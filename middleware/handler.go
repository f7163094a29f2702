package middleware

import (
	"errors"
	"net/http"
	"time"

	"github.com/rebearer/rebearer/tokencache"
)

// Handler serves next to those who are signed in. It verifies the access token,
// renews it where it has ended, and hands the tokens to next in the request's
// context: what next calls through a Transport is signed with them. New cookies
// are set on the response at the last moment that they can be, be they of a
// renewal before next or of one while it runs. Of a renewal that comes later,
// the next response to this browser tells.
//
// Who is not signed in is sent to the login page if that is what a person looks
// at, else answered with 401. A request that passes without a session is said in
// [Authenticator.Public].
//
// A prefetch, and a request for an image, a script, a style or a font, never
// refreshes and is never redirected: without a token that works it is answered
// with 401. next does not see our cookies, nor, for somebody who is signed in,
// an Authorization header that the browser sent.
func (a *Authenticator) Handler(next http.Handler) http.Handler {
	a.must()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s := sessionOf(r.Context()); s != nil && s.auth == a {
			next.ServeHTTP(w, r) // has been done
			return
		}
		if excessive(r) {
			problem{status: http.StatusRequestHeaderFieldsTooLarge, detail: "too many cookies"}.write(w)
			return
		}
		s := a.begin(w, r)
		defer s.finish() // also when next panics: somebody outside may answer
		if served := s.before(); served != nil {
			defer s.cache.Accompany()() // it may become a stream
			defer s.attend()()
			next.ServeHTTP(s, served)
		}
	})
}

// before does what comes before the handler, and returns the request for it; nil
// if the request has been answered.
func (s *session) before() *http.Request {
	r, a := s.request, s.auth
	if at(r) == a.refreshURL() {
		return s.with(nobody()) // the RefreshHandler does it
	}
	err := s.catchUp(r.Context())
	if err == nil {
		switch {
		case s.verdict.live(time.Now()): // a key may have taken its time
		case errors.Is(s.verdict.err, errUnverified):
			err = errUnverified
		case s.kind.passive || s.cache.Token().Refresh() == "":
			err = tokencache.ErrNoRefreshToken
		default:
			err = s.renew(r.Context(), s.cache.Token())
			if err == nil && s.redirect() {
				return nil
			}
		}
	}
	if err == nil {
		if s.kind.passive {
			return s.with(s.frozen())
		}
		return s.with(s.cache)
	}
	if s.graced(err) {
		return s.with(s.lenient())
	}
	s.verdict.claims = nil // they were not those of a session that works
	if a.isPublic(r) {
		return s.with(s.anonymous(err))
	}
	s.fail(s, r, err)
	return nil
}

// comeback is how long a browser may take to follow a redirect.
const comeback = 5 * time.Second

// redirect answers with the new cookies and with itself, where that is wanted
// and cannot be a loop: this request presented the refresh token, so that the
// next one with the same cookies will not, and what was issued works for long
// enough that the next one with the new cookies will not either.
func (s *session) redirect() bool {
	r := s.request
	if s.auth.Mode != Redirect || !s.kind.document || s.kind.passive || !s.cache.Presented() {
		return false
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	to, ok := itself(r)
	if !ok {
		return false
	}
	if !s.verdict.live(time.Now().Add(comeback)) {
		return false // it would come back with one that has ended
	}
	if _, err := s.auth.lines(s.cache.Token()); err != nil {
		return false // it would come back as it is
	}
	s.Header().Set("Location", to)
	own(s.Header())
	s.WriteHeader(http.StatusTemporaryRedirect)
	return true
}

// graced reports whether an access token that has ended by our clock, but within
// the leeway, has to do for now: the API may still take it.
func (s *session) graced(err error) bool {
	return s.verdict.err == nil && s.cache.Token().Access() != "" && transient(err)
}

// lenient is a cache whose access token ends when the leeway does.
func (s *session) lenient() *tokencache.Cache {
	t := s.cache.Token()
	if a := s.auth; a.Verifier != nil {
		t = tokencache.NewToken(tokencache.TokenFields{
			Access: t.Access(), Refresh: t.Refresh(), Type: t.Type(), Key: t.Key(), Issued: t.Issued(), Expiry: t.Expiry().Add(a.Verifier.leeway()),
		})
	}
	return tokencache.New(nil, t)
}

// anonymous is the cache for a public page whose session could not be renewed.
// Only an end that was proved ends it for the browser, too.
func (s *session) anonymous(err error) *tokencache.Cache {
	if errors.Is(err, tokencache.ErrLoginRequired) {
		s.end(err)
	}
	return nobody()
}

package middleware

import (
	"errors"
	"net/http"
	"time"

	"github.com/rebearer/rebearer/tokencache"
)

// spentHeader is where the script says which access token did not work.
const spentHeader = "Rebearer-Spent"

// RefreshHandler renews the tokens of a browser that asks for it, as the
// boundary page and the script do: 204 and the new cookies; 401 if there is no
// session any more, 503 if it cannot be told. It takes POST from this origin
// only (http.CrossOriginProtection), whether it is inside a Handler or not. A
// form, for browsers without scripts, is sent to its field next afterwards.
//
// The request says which access token did not work. If the cookies show another
// one, that has been replaced already, and nothing is refreshed.
func (a *Authenticator) RefreshHandler() http.Handler {
	a.must()
	return a.posted(func(s *session, r *http.Request) {
		err := s.catchUp(r.Context())
		switch {
		case err != nil:
		case s.shown.IsZero():
			err = tokencache.ErrNoRefreshToken
		case replaced(r, s.shown) && s.verdict.live(time.Now()):
		default:
			// What came of the shown one meanwhile is found without I/O.
			err = s.renew(r.Context(), s.shown)
		}
		switch {
		case errors.Is(err, tokencache.ErrNoRefreshToken): // and this is where it would be seen
			s.login(s, r, "")
			return
		case err != nil:
			s.fail(s, r, err)
			return
		}
		own(s.Header())
		if s.kind.navigation {
			s.Header().Set("Location", Next(r))
			s.WriteHeader(http.StatusSeeOther)
			return
		}
		s.WriteHeader(http.StatusNoContent)
	})
}

// replaced reports whether the request names another access token than it
// shows.
func replaced(r *http.Request, shown tokencache.Token) bool {
	spent := r.Header.Get(spentHeader)
	if spent == "" {
		spent = r.PostFormValue("spent")
	}
	return spent != "" && !sameFingerprint(spent, fingerprint(shown.Access()))
}

// LogoutHandler ends the session that the browser shows: see
// [Authenticator.SignOut]. It takes POST from this origin only. A form is sent
// to the login page afterwards, a program is answered with 204.
//
// It is mounted outside of any [Authenticator.Handler]: that renews a session that
// has expired before it lets a request through, and where the authorization server
// is away it answers with 503 in place of the logout.
//
// The browser is signed out, whatever the authorization server says. Not so if
// [Sessions] could not end the session: who has its name could go on with it.
// That is answered with 503, and the cookies stay, so that it can be tried again.
func (a *Authenticator) LogoutHandler() http.Handler {
	a.must()
	return a.posted(func(s *session, r *http.Request) {
		kept, err := s.revoke(r)
		if err != nil {
			a.warn(r, "a session was not ended everywhere", err)
		}
		if kept {
			s.problem(s, r, problem{
				status: http.StatusServiceUnavailable, reason: reasonOf(err), retryAfter: retryAfter(err), here: "/",
				detail: "You could not be signed out just now. Try again in a moment.",
			})
			return
		}
		s.clear()
		own(s.Header())
		if s.kind.navigation {
			s.Header().Set("Location", a.loginURL())
			s.WriteHeader(http.StatusSeeOther)
			return
		}
		s.WriteHeader(http.StatusNoContent)
	})
}

// maxForm is more than our forms have, in bytes.
const maxForm = 64 << 10

// posted serves POST from this origin, with the session of the request.
func (a *Authenticator) posted(serve func(*session, *http.Request)) http.Handler {
	h := a.origin.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			problem{status: http.StatusMethodNotAllowed}.write(w)
			return
		}
		if excessive(r) {
			problem{status: http.StatusRequestHeaderFieldsTooLarge, detail: "too many cookies"}.write(w)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		s := sessionOf(r.Context())
		if s == nil || s.auth != a {
			s = a.begin(w, r)
			defer s.finish()
		}
		serve(s, r)
	}))
	return h
}

package middleware

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/rebearer/rebearer/tokencache"
)

// hearing is how long a sign-in or a logout waits for the authorization server
// to hear of the session's end. It is told in any case, for as long as the
// Coordinator's Timeout.
const hearing = 2 * time.Second

var (
	errNoAccess = errors.New("middleware: there is no access token to sign in with")
	errSettled  = errors.New("middleware: the response header has already been sent")
)

// SignIn hands the tokens of a new session to the browser. It is called where a
// login has succeeded, before anything is written. The session that the request
// showed ends, so that no refresh of it that is still in flight comes after.
//
// It returns [ErrCookieTooLarge] if no browser would keep the tokens, and an
// error if the header has been sent, if [Sessions] cannot keep them, or if there
// is a key and no Cookies.Secrets to seal it, or no key although there are; then
// nothing has been done. That the old session could not be ended is logged and no
// error: the new one is good.
func (a *Authenticator) SignIn(w http.ResponseWriter, r *http.Request, t tokencache.Token) error {
	a.must()
	if t.Access() == "" {
		return errNoAccess
	}
	if err := a.bindable(t); err != nil {
		return err
	}
	s := a.sessionFor(w, r)
	if s.settled() {
		return errSettled
	}
	lines, err := s.first(t)
	if err != nil {
		return err
	}
	if err := s.replace(t); err != nil {
		a.warn(r, "the session before a sign-in was not ended everywhere", err)
	}
	s.instead(lines)
	return nil
}

// first returns what hands the tokens of a new session to the browser.
func (s *session) first(t tokencache.Token) ([]string, error) {
	a := s.auth
	if a.Sessions == nil {
		lines, err := a.lines(t)
		return s.without(lines), err
	}
	e, err := a.Sessions.create(s.request.Context(), t)
	if err != nil {
		return nil, err
	}
	line := a.Cookies.cookie(a.names.session, e.name, "/", int(a.Sessions.absolute()/time.Second)).String()
	return s.without([]string{line}), nil
}

// replace ends what the browser showed in favour of t.
func (s *session) replace(t tokencache.Token) (err error) {
	err = s.unread
	for _, old := range s.all() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(s.request.Context()), hearing)
		if failed := s.auth.Coordinator.Replace(ctx, old.Token, t); failed != nil && !errors.Is(failed, context.DeadlineExceeded) {
			err = failed
		}
		cancel()
	}
	if failed := s.drop(s.all()); failed != nil {
		err = failed
	}
	return err
}

// drop takes what the browser showed out of Sessions.
func (s *session) drop(shown []candidate) (err error) {
	for _, c := range shown {
		if c.entry == nil {
			continue
		}
		if failed := s.auth.Sessions.drop(context.WithoutCancel(s.request.Context()), c.entry); failed != nil {
			err = failed
		}
	}
	return err
}

// SignOut ends the session that the request shows: it is marked as over, so that
// no refresh in flight brings it back, its tokens are revoked at the
// authorization server, and the cookies are cleared. It is called before
// anything is written.
//
// The cookies are cleared in any case. An error says that the session could not
// be marked, or that the authorization server did not confirm its end; see
// [tokencache.Coordinator.Revoke]. One that takes longer than 2 s is told in the
// background.
func (a *Authenticator) SignOut(w http.ResponseWriter, r *http.Request) error {
	a.must()
	s := a.sessionFor(w, r)
	if s.settled() {
		return errSettled
	}
	_, err := s.revoke(r)
	s.clear()
	return err
}

// revoke ends what the browser showed, and reports whether Sessions keep it
// nevertheless.
func (s *session) revoke(r *http.Request) (kept bool, err error) {
	for _, t := range s.all() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), hearing)
		if failed := s.auth.Coordinator.Revoke(ctx, t.Token); failed != nil && !errors.Is(failed, context.DeadlineExceeded) {
			err = failed
		}
		cancel()
	}
	for _, failed := range []error{s.unread, s.drop(s.all())} {
		if failed != nil {
			kept, err = true, failed
		}
	}
	return kept, err
}

// clear has the response delete the cookies.
func (s *session) clear() {
	s.instead(s.without(s.auth.deletions()))
	if len(s.rounds()) > 0 {
		s.keep(nil, 0)
	}
}

// sessionFor returns the session of a request, be it inside a Handler or not.
func (a *Authenticator) sessionFor(w http.ResponseWriter, r *http.Request) *session {
	if s := sessionOf(r.Context()); s != nil && s.auth == a {
		return s
	}
	s := a.begin(w, r)
	s.alone = true
	return s
}

// all returns every Token that the browser showed.
func (s *session) all() []candidate {
	var all []candidate
	for _, c := range append(s.others, candidate{s.shown, s.entry}) {
		if !c.IsZero() || c.entry != nil {
			all = append(all, c)
		}
	}
	return all
}

// without adds to the lines what deletes the chunks that they do not set, and the
// cookies of another place.
func (s *session) without(lines []string) []string {
	for i := max(1, len(lines)); i < s.chunks; i++ {
		lines = append(lines, s.auth.Cookies.cookie(s.auth.chunkName(i), "", "/", -1).String())
	}
	for _, name := range s.former {
		lines = append(lines, s.auth.Cookies.cookie(name, "", "/", -1).String())
	}
	return lines
}

// instead has the response set these cookies and no others. Without a Handler
// around it there is no last moment that we would see: they are set now.
func (s *session) instead(lines []string) {
	if s.tidy {
		lines = append(s.auth.strays(s.request), lines...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set = lines
	if s.alone || s.done {
		s.dress()
	}
}

package middleware

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
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
//
// Only inside a [Authenticator.Handler] is it known whether the header has been
// sent. Outside of one a SignIn that is too late returns nil, and the browser has
// nothing.
func (a *Authenticator) SignIn(w http.ResponseWriter, r *http.Request, t tokencache.Token) error {
	a.must()
	if t.Access() == "" {
		return errNoAccess
	}
	if err := a.bindable(t); err != nil {
		return err
	}
	s := a.sessionFor(w, r)
	lines, e, err := s.first(t)
	if err != nil {
		return err
	}
	if !s.instead(lines) { // it may have gone out meanwhile, by a TimeoutHandler
		if e != nil {
			a.Sessions.drop(context.WithoutCancel(r.Context()), e) // if it fails, nobody has its name
		}
		return errSettled
	}
	if err := s.replace(t); err != nil {
		a.warn(r, "the session before a sign-in was not ended everywhere", err)
	}
	return nil
}

// first returns what hands the tokens of a new session to the browser, and its
// entry, with Sessions.
func (s *session) first(t tokencache.Token) ([]string, *entry, error) {
	a := s.auth
	if a.Sessions == nil {
		lines, err := a.lines(t)
		return s.without(lines), nil, err
	}
	e, err := a.Sessions.create(s.request.Context(), t)
	if err != nil {
		return nil, nil, err
	}
	line := a.Cookies.cookie(a.names.session, e.name, "/", int(a.Sessions.absolute()/time.Second)).String()
	return s.without([]string{line}), e, nil
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
	s.keeping.Lock() // a keeper may write
	defer s.keeping.Unlock()
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
// anything is written; if the header has been sent, nothing is done, and that is
// the error.
//
// The cookies are cleared in any other case. An error says that the session could not
// be marked, or that the authorization server did not confirm its end; see
// [tokencache.Coordinator.Revoke]. One that takes longer than 2 s is told in the
// background.
func (a *Authenticator) SignOut(w http.ResponseWriter, r *http.Request) error {
	a.must()
	s := a.sessionFor(w, r)
	if !s.clear() {
		return errSettled
	}
	_, err := s.revoke(r)
	return err
}

// revoke ends what the browser showed, and reports whether Sessions keep it
// nevertheless, for now. What another version of this program has written stays
// until it ends: nobody would ever be signed out of that.
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
			kept, err = kept || reasonOf(failed) != reason.StoreFormat, failed
		}
	}
	return kept, err
}

// clear has the response delete the cookies, and reports whether it can.
func (s *session) clear() bool {
	if !s.instead(s.without(s.auth.deletions())) {
		return false
	}
	if len(s.rounds()) > 0 {
		s.keep(nil, 0)
	}
	return true
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

// instead has the response set these cookies and no others, and reports whether it
// can: the header may have been sent. Without a Handler around it there is no last
// moment that we would see: they are set now.
func (s *session) instead(lines []string) bool {
	if s.tidy {
		lines = append(s.auth.strays(s.request), lines...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sent {
		return false
	}
	s.set = lines
	if s.alone || s.done {
		s.dress()
	}
	return true
}

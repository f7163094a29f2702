package middleware

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// Error answers a request whose handler failed with err, as it is to be
// answered: a session that is over with the login page, a token that only the
// browser can renew with the boundary page, a server that does not answer with
// 503, and so on; a program instead of a person gets the status and a
// problem (RFC 9457). It quotes nothing of err but its reason, and why a token
// that was just issued does not verify.
//
// A [*tokencache.StepUpError] leads a page to the login page, which finds with
// [StepUp] what to ask for, and keeps the session. A program gets 403 with the
// members acr_values, max_age and scope, and with login, where its page is to
// navigate; [Authenticator.ScriptHandler] has a fetch that does. If it has
// just been to the login page for the same, there is a page with 403 that says
// so, and again instead of login.
//
// For an API's 401, [tokencache.ErrUnauthorized] is enough: why it could not be
// cured is known to the request's Cache. Of other errors, one of the network or
// with a method StatusCode that returns 5xx is answered with 502, any other with
// 500.
//
// If the header has gone out, it cannot be answered any more: a page of HTML
// gets the script of the boundary, or a link to the login page, at its end where
// that may help, unless the handler has coded it or said its length, and all
// else stays as it is.
//
// It has the form of the ErrorHandler of an httputil.ReverseProxy.
func (a *Authenticator) Error(w http.ResponseWriter, r *http.Request, err error) {
	a.must()
	s := sessionOf(r.Context())
	if s == nil || s.auth != a {
		s = a.begin(w, r)
		s.alone = true
		if c := tokencache.FromContext(r.Context()); c != nil {
			s.cache = c // whose refresh failed
		}
		defer s.finish()
		w = s
	}
	s.fail(w, r, err)
}

// class is what is to be done about an error.
type class int

const (
	other        class = iota
	over               // the session has ended
	stepUp             // it is not strong enough
	unauthorized       // no access token works
	unavailable        // later, perhaps
	misconfigured
	gateway // another server cannot be reached, or fails
	gone    // nobody waits any more
)

// classify reads an error. Why a 401 could not be cured is known to the cache
// that tried.
func classify(r *http.Request, err error) (class, error) {
	var e *tokencache.Error
	var wanted *tokencache.StepUpError
	errors.As(err, &wanted)
	if !errors.As(err, &e) && errors.Is(err, tokencache.ErrUnauthorized) {
		if why := tokencache.FromContext(r.Context()).Err(); why != nil {
			err = why
		}
	}
	var network net.Error
	var answered interface{ StatusCode() int } // such as a client.StatusError
	switch {
	case r.Context().Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Cause(r.Context()))):
		return gone, err
	case errors.Is(err, tokencache.ErrLoginRequired):
		return over, err
	case wanted != nil: // the API took the token for good, whatever a refresh has come to
		return stepUp, wanted
	case errors.As(err, &e) && e.Reason.Misconfigured(), errors.Is(err, tokencache.ErrReentrant):
		return misconfigured, err
	case e != nil, errors.Is(err, errUnverified):
		return unavailable, err
	case errors.Is(err, tokencache.ErrUnauthorized):
		return unauthorized, err
	case errors.As(err, &network), errors.As(err, &answered) && answered.StatusCode() >= 500:
		return gateway, err
	}
	return other, err
}

// transient reports whether a later try may succeed.
func transient(err error) bool {
	var e *tokencache.Error
	return errors.As(err, &e) && !e.Reason.Ends() && !e.Reason.Misconfigured()
}

// fail answers. The writer may be one that others have put around the session.
func (s *session) fail(w http.ResponseWriter, r *http.Request, err error) {
	what, err := classify(r, err)
	s.auth.note(r, what, err)
	if s.settled() {
		switch {
		case what == unauthorized && s.curable():
			s.append(w, "script", s.page(r))
		case what == stepUp: // by a link, which goes round in no circles
			asked := demand(err.(*tokencache.StepUpError))
			s.append(w, "stepup", page{Login: s.auth.stepUpFor(r, true, asked)})
		}
		return
	}
	switch what {
	case over:
		s.end(err)
		s.login(w, r, reasonOf(err))
	case stepUp:
		s.stepUp(w, r, err.(*tokencache.StepUpError))
	case unauthorized:
		s.unauthorized(w, r)
	case unavailable:
		s.problem(w, r, problem{
			status: http.StatusServiceUnavailable, reason: reasonOf(err), retryAfter: retryAfter(err),
			detail: "Your session could not be renewed just now. You are still signed in.",
		})
	case misconfigured:
		s.problem(w, r, problem{
			status: http.StatusInternalServerError, reason: reasonOf(err), detail: "This site is not set up correctly: " + told(err),
		})
	case gateway:
		s.problem(w, r, problem{status: http.StatusBadGateway, detail: "A server behind this one does not work just now."})
	case gone:
		s.problem(w, r, problem{status: http.StatusServiceUnavailable, detail: "The request was given up."})
	default:
		s.problem(w, r, problem{status: http.StatusInternalServerError})
	}
}

// end clears the cookies of a session that is over, if the request is of the
// kind that may do so: a fetch may have been on its way since before the last
// sign-in. If the browser has signed in anew, they are another session's. While
// there are others that may be alive, only Sessions forget this one: a deletion does
// not say which cookie of a name it is for.
func (s *session) end(err error) {
	if !s.kind.navigation || s.kind.passive || reasonOf(err) == reason.Replaced {
		return
	}
	if failed := s.drop([]candidate{{s.shown, s.entry}}); failed != nil {
		s.auth.warn(s.request, "a session that is over is still kept", failed)
	}
	if len(s.others) > 0 || s.unread != nil {
		return
	}
	s.instead(s.without(s.auth.deletions()))
}

// unauthorized answers where no access token works and nothing is proved.
func (s *session) unauthorized(w http.ResponseWriter, r *http.Request) {
	switch {
	case s.kind.navigation && !s.kind.passive && s.bounces():
		s.bounce(w)
	case s.cache.Presented():
		// The API rejects what has just been issued. A login would not help.
		s.problem(w, r, problem{status: http.StatusBadGateway, detail: "A server behind this one does not accept your session. You are still signed in."})
	case !s.curable():
		s.login(w, r, "")
	case s.kind.navigation && !s.kind.passive:
		s.boundary(w, r)
	default:
		w.Header().Set("WWW-Authenticate", `Rebearer spent="`+s.spent()+`"`)
		problem{status: http.StatusUnauthorized, detail: "The access token has ended."}.write(w)
	}
}

// login sends a person to the login page, and a program away.
func (s *session) login(w http.ResponseWriter, r *http.Request, why reason.Reason) {
	if !s.kind.navigation || s.kind.passive {
		w.Header().Set("WWW-Authenticate", "Rebearer")
		problem{status: http.StatusUnauthorized, reason: why, detail: "Sign in to go on."}.write(w)
		return
	}
	own(w.Header())
	w.Header().Set("Location", s.auth.loginFor(r))
	w.WriteHeader(http.StatusSeeOther)
}

// loginFor returns the URL of the login page that leads back to the request.
func (a *Authenticator) loginFor(r *http.Request) string {
	return a.loginURL() + "?next=" + url.QueryEscape(or(a.back(r), "/"))
}

// back returns where a link leads back to the request, or "" if none can: a link
// is a GET. From RefreshHandler it leads to where its form would have.
func (a *Authenticator) back(r *http.Request) string {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		to, _ := itself(r)
		return to
	}
	if at(r) == a.refreshURL() {
		return Next(r)
	}
	return ""
}

// own makes the header that of an answer of ours, which no cache keeps. What a
// handler has said of the body that it had in mind is not so of ours, and a
// Content-Length of another body is an error (RFC 9110 section 8.6).
func own(h http.Header) {
	private(h)
	for _, name := range []string{"Content-Length", "Content-Encoding", "Content-Disposition", "Content-Range", "Accept-Ranges", "Trailer"} {
		h.Del(name)
	}
}

// problem is an answer to a program (RFC 9457), or what a page says.
type problem struct {
	status     int
	reason     reason.Reason
	detail     string
	retryAfter time.Duration
	demanded   *demanded // by a step-up
	here       string    // where a page tries again; if empty, at itself, if a link can
}

func (p problem) header(w http.ResponseWriter) {
	own(w.Header())
	if p.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(p.retryAfter.Seconds()))))
	}
}

func (p problem) write(w http.ResponseWriter) {
	p.header(w)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.status)
	body, _ := json.Marshal(struct {
		Title  string        `json:"title"`
		Status int           `json:"status"`
		Detail string        `json:"detail,omitempty"`
		Reason reason.Reason `json:"reason,omitempty"`
		*demanded
	}{http.StatusText(p.status), p.status, p.detail, p.reason, p.demanded})
	w.Write(body)
}

func reasonOf(err error) reason.Reason {
	var e *tokencache.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

// cause is what the operator has to know: never a token, see tokencache.Error,
// nor what a handler has put around it.
func cause(err error) string {
	var e *tokencache.Error
	if errors.As(err, &e) {
		return e.Error()
	}
	return tokencache.ErrReentrant.Error()
}

// told is what of a misconfiguration anybody may read: nothing that others have
// written, as it may name what is inside. The log has the cause.
func told(err error) string {
	var ours mismatched
	switch why := reasonOf(err); {
	case errors.As(err, &ours):
		return string(ours) + "."
	case why == reason.ClientRefused, why == reason.Endpoint:
		return "the authorization server does not accept this program (" + string(why) + ")."
	}
	return "its log says how."
}

// retryAfter is never nothing: a browser that is told to come again should know
// when.
func retryAfter(err error) time.Duration {
	var e *tokencache.Error
	if errors.As(err, &e) && e.RetryAfter > 0 {
		return e.RetryAfter
	}
	return 2 * time.Second
}

// note logs what an operator wants to know.
func (a *Authenticator) note(r *http.Request, what class, err error) {
	switch what {
	case over:
		a.log(r, slog.LevelInfo, "session ended", "reason", string(reasonOf(err)))
	case unavailable:
		a.log(r, slog.LevelWarn, "not renewed", "reason", string(reasonOf(err)))
	case misconfigured:
		a.log(r, slog.LevelError, "misconfigured", "reason", string(reasonOf(err)), "error", cause(err))
	}
}

func (a *Authenticator) warn(r *http.Request, msg string, err error) {
	a.log(r, slog.LevelWarn, msg, "error", err.Error())
}

func (a *Authenticator) log(r *http.Request, level slog.Level, msg string, args ...any) {
	if a.Log != nil {
		path, _, _ := strings.Cut(r.URL.Path, "?")
		a.Log.Log(r.Context(), level, "rebearer: "+msg, append(args, "method", r.Method, "path", path)...)
	}
}

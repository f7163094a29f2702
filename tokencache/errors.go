package tokencache

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/rebearer/rebearer/tokencache/reason"
)

// Sentinels for the decision that a caller has to take. They are matched with
// errors.Is; the details are in an [*Error].
var (
	// ErrLoginRequired: the session is over, and that was proved. Only a new
	// sign-in helps.
	ErrLoginRequired = errors.New("rebearer: login required")

	// ErrUnauthorized: the API answered 401 (RFC 9110 section 15.5.2), and
	// what could be done on the server has been done. The browser may still
	// hold a refresh token that the server was not shown.
	ErrUnauthorized = errors.New("rebearer: unauthorized")

	// ErrNoRefreshToken: there is nothing to refresh with. It is not a proof
	// that the session is over: the cookie may be scoped to another path. It
	// is ErrUnauthorized, too.
	ErrNoRefreshToken error = noRefreshToken{}

	// ErrMalformedToken: a token holds bytes that may not be sent.
	ErrMalformedToken = errors.New("rebearer: malformed token")

	// ErrReentrant: an exchange was started from inside an exchange. A
	// [Refresher] must not call the authorization server through a Transport
	// that refreshes, nor call a [Coordinator].
	ErrReentrant = errors.New("rebearer: the token endpoint was called through the Transport that refreshes")
)

type noRefreshToken struct{}

func (noRefreshToken) Error() string        { return "rebearer: no refresh token" }
func (noRefreshToken) Is(target error) bool { return target == ErrUnauthorized }

// Error is why a refresh failed or a session ended. Its text holds no token
// and no part of any response body.
//
// errors.Is(err, ErrLoginRequired) is true if the Reason ends the session.
//
// A [Refresher] returns one to say what it knows; any other error that it
// returns is transient and [reason.Unrecognised].
type Error struct {
	Reason reason.Reason
	// Status is the authorization server's HTTP status; 0 if there is none.
	Status int
	// Code is the error code of its answer (RFC 6749 section 5.2), if any.
	// What does not look like a code is not kept.
	Code string
	// RetryAfter is how long to wait before the next try: what the
	// authorization server asked for, which pauses the whole Coordinator, or
	// what is left of a cooldown; 0 if nobody said.
	RetryAfter time.Duration
	// Unsent says that this certainly was no presentation: it failed before
	// the refresh token reached the authorization server, or shares the
	// failure of another.
	Unsent bool
	// Err is the cause; may be nil.
	Err error
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("rebearer: ")
	if e.Reason.Ends() {
		b.WriteString("login required: ")
	}
	b.WriteString(string(e.Reason))
	if e.Status != 0 {
		b.WriteString(" (status " + strconv.Itoa(e.Status))
		if e.Code != "" {
			b.WriteString(", " + e.Code)
		}
		b.WriteString(")")
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// Is makes errors that end the session match ErrLoginRequired.
func (e *Error) Is(target error) bool {
	return target == ErrLoginRequired && e.Reason.Ends()
}

// asError returns err as an *Error whose Reason is in the set. What a foreign
// error says of itself is kept unless it quotes one of the tokens.
func asError(err error, spent Token) *Error {
	var e *Error
	if errors.As(err, &e) && e == nil {
		return &Error{Reason: reason.Unrecognised, Err: errors.New("the error is a nil *Error")}
	}
	if e == nil {
		e = &Error{Reason: reason.Unrecognised, Err: err}
		switch {
		case errors.Is(err, ErrReentrant):
			e.Reason, e.Unsent = reason.Configuration, true
		case errors.Is(err, context.DeadlineExceeded):
			e.Reason = reason.Timeout
		}
	}
	c := *e
	if !c.Reason.Known() {
		c.Reason = reason.Unrecognised
	}
	if c.Err != nil {
		c.Err = withhold(c.Err, spent)
	}
	if c.Code = errorCode(c.Code); c.Code != "" && withhold(errors.New(c.Code), spent) == errWithheld {
		c.Code = ""
	}
	return &c
}

var errWithheld = errors.New("cause withheld: its text quotes a token")

func withhold(err error, spent Token) error {
	text := err.Error()
	for _, t := range []string{spent.Access(), spent.Refresh()} {
		if t != "" && strings.Contains(text, t) {
			return errWithheld
		}
	}
	return err
}

// errorCode returns code if it looks like one, else "".
func errorCode(code string) string {
	if len(code) > 64 {
		return ""
	}
	for i := range len(code) {
		switch c := code[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-', c == '.':
		default:
			return ""
		}
	}
	return code
}

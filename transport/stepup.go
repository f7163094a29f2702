package transport

import (
	"net/http"
	"time"

	"github.com/rebearer/rebearer/internal/challenge"
)

// StepUpError says that a refresh would not help, because the API wants more
// than the user's present sign-in can give: a stronger or more recent
// authentication (RFC 9470), or more scope (RFC 6750 section 3.1). It goes to
// the authorization endpoint, with these parameters.
type StepUpError struct {
	// Code is insufficient_user_authentication or insufficient_scope.
	Code string
	// ACRValues are the authentication context classes that would do, in
	// order of preference.
	ACRValues []string
	// MaxAge is how old the authentication may be; negative if the API did
	// not say.
	MaxAge time.Duration
	// Scope is what the token must cover.
	Scope []string
}

func (e *StepUpError) Error() string { return "rebearer: the API answered " + e.Code }

// StepUp returns a [*StepUpError] if the answer, which may be a 401 or a 403,
// asks for one, else nil.
func StepUp(resp *http.Response) error {
	d := challenge.Decide(resp.Header)
	e := &StepUpError{ACRValues: d.ACRValues, MaxAge: -1, Scope: d.Scope}
	if d.HasMaxAge {
		e.MaxAge = d.MaxAge
	}
	switch d.Verdict {
	case challenge.StepUp:
		e.Code = "insufficient_user_authentication"
	case challenge.Scope:
		e.Code = "insufficient_scope"
	default:
		return nil
	}
	return e
}

package transport

import (
	"net/http"

	"github.com/rebearer/rebearer/internal/challenge"
	"github.com/rebearer/rebearer/tokencache"
)

// StepUp returns a [*tokencache.StepUpError] if the answer, which may be a 401
// or a 403, asks for one, else nil.
func StepUp(resp *http.Response) error {
	d := challenge.Decide(resp.Header)
	e := &tokencache.StepUpError{ACRValues: d.ACRValues, MaxAge: -1, Scope: d.Scope}
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

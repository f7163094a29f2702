package tokencache

import "time"

// StepUpError says that a refresh would not help, because the API wants more
// than the user's present sign-in can give: a stronger or more recent
// authentication (RFC 9470), or more scope (RFC 6750 section 3.1). It goes to
// the authorization endpoint, with these parameters.
//
// package transport makes one of an API's answer, package client returns it,
// and package middleware answers it. A handler that knows by itself that a
// sign-in is too weak may return one, too.
type StepUpError struct {
	// Code is insufficient_user_authentication or insufficient_scope.
	Code string
	// ACRValues are the authentication context classes that would do, in
	// order of preference.
	ACRValues []string
	// MaxAge is how old the authentication may be; negative if the API did
	// not say. If zero, the user has to sign in now.
	MaxAge time.Duration
	// Scope is what the token must cover.
	Scope []string
}

func (e *StepUpError) Error() string { return "rebearer: the API answered " + e.Code }

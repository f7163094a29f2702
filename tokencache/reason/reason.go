// Package reason holds the closed set of causes for which a refresh fails or a
// session ends. The same word appears in the error, in the log and in metrics.
//
// A reason belongs to one of three classes, and the class alone decides what
// may happen to the session:
//
//   - It [Reason.Ends] the session: that the grant is dead was proved. Cookies
//     may be cleared.
//   - It is [Reason.Misconfigured]: the program is wrong, not the user. Nothing
//     is cleared, the operator has to act.
//   - All others are transient: nothing is cleared, the access token is used
//     while it lives, and a later try may succeed.
package reason

// Reason says why a refresh failed or a session ended. A Reason that is not in
// the set below is treated as [Unrecognised].
type Reason string

// Reasons that end the session. Each is proved, never guessed.
const (
	// Refused: the authorization server said that the grant is dead, and the
	// Store, read again, knows no successor. It proves nothing where the Store
	// has lost what it held.
	Refused Reason = "refused"
	// Ambiguous: refused like that, but the same refresh token may have been
	// presented before by somebody whose answer was lost.
	Ambiguous Reason = "ambiguous"
	// SubjectChanged: the new access token belongs to somebody else.
	SubjectChanged Reason = "subject_changed"
	// LoggedOut: the session was ended on purpose.
	LoggedOut Reason = "logged_out"
	// Replaced: the browser has signed in anew, and the session that it showed
	// was ended on purpose.
	Replaced Reason = "replaced"
)

// Reasons that say nothing about the session.
const (
	// Timeout: no answer in time.
	Timeout Reason = "timeout"
	// Network: the authorization server could not be reached, or the
	// connection broke.
	Network Reason = "network"
	// Unavailable: the answer was 408, 425 or 5xx.
	Unavailable Reason = "unavailable"
	// RateLimited: the answer was 429, or the authorization server asked for
	// a pause that is not over.
	RateLimited Reason = "rate_limited"
	// Overloaded: too many other exchanges are in flight in this process.
	Overloaded Reason = "overloaded"
	// Malformed: a successful answer that holds no usable access token.
	Malformed Reason = "malformed"
	// Unrecognised: an answer, or an error, that nothing is known about.
	// Unknown is never dead.
	Unrecognised Reason = "unrecognised"
	// Store: the Store failed, or another replica's exchange did not end.
	Store Reason = "store"
	// StoreFormat: the Store holds a value of a format that this version does
	// not read.
	StoreFormat Reason = "store_format"
	// Panicked: the Refresher panicked or called runtime.Goexit.
	Panicked Reason = "panicked"
	// Rejected: the API rejects what the authorization server has only just
	// issued. Refreshing again would not help.
	Rejected Reason = "rejected"
)

// Reasons for the operator.
const (
	// ClientRefused: the authorization server does not accept this client, or
	// not for this grant (invalid_client, unauthorized_client and the like).
	ClientRefused Reason = "client_refused"
	// Endpoint: there is no token endpoint at the configured URL, or its use
	// would be unsafe.
	Endpoint Reason = "endpoint"
	// Configuration: the Coordinator cannot work as it is configured.
	Configuration Reason = "configuration"
)

// Ends reports whether the session is over.
func (r Reason) Ends() bool {
	switch r {
	case Refused, Ambiguous, SubjectChanged, LoggedOut, Replaced:
		return true
	}
	return false
}

// Misconfigured reports whether the operator has to act.
func (r Reason) Misconfigured() bool {
	switch r {
	case ClientRefused, Endpoint, Configuration:
		return true
	}
	return false
}

// Known reports whether r is in the set.
func (r Reason) Known() bool {
	switch r {
	case Timeout, Network, Unavailable, RateLimited, Overloaded, Malformed,
		Unrecognised, Store, StoreFormat, Panicked, Rejected:
		return true
	}
	return r.Ends() || r.Misconfigured()
}

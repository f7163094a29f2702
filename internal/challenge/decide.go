package challenge

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Verdict is what would help. Of several, the greatest one counts.
type Verdict int8

const (
	// Other: no access token at all. All challenges are of known schemes that
	// are about something else, such as Basic or Negotiate.
	Other Verdict = iota - 1
	// Refresh: another access token. It is the default, since many APIs send
	// no challenge or one of their own: no header, nothing that parses, a
	// challenge of an unknown scheme, a Bearer or DPoP challenge with
	// invalid_token, with no error or with one not named below.
	Refresh
	// Proof: the same token with another DPoP proof (invalid_dpop_proof, RFC
	// 9449 section 7.1), or one that is bound to the key that we have.
	Proof
	// Scope: a token that covers more (insufficient_scope, RFC 6750 section
	// 3.1).
	Scope
	// StepUp: a stronger or more recent sign-in of the user
	// (insufficient_user_authentication, RFC 9470 section 3).
	StepUp
	// Nonce: the same token with the server's nonce in the DPoP proof
	// (use_dpop_nonce, RFC 9449 section 9).
	Nonce
)

// Decision is a Verdict and, for StepUp and Scope, what the deciding challenge
// asks the next sign-in for.
type Decision struct {
	Verdict   Verdict
	ACRValues []string      // in order of preference
	MaxAge    time.Duration // of the sign-in; 0, which means now, only if HasMaxAge
	HasMaxAge bool
	Scope     []string
}

// Decide reads the WWW-Authenticate of an answer whose status, 401 or 403, is
// the caller's to judge. Where challenges differ, one that says that a refresh
// would not help is believed, and the first of its kind. Without the header it
// allocates nothing.
func Decide(h http.Header) Decision {
	list := Parse(h["Www-Authenticate"]) // Values would allocate this spelling
	if len(list) == 0 {
		return Decision{}
	}
	decision := Decision{Verdict: Other}
	var from Challenge
	for _, c := range list {
		if v := c.verdict(); v > decision.Verdict {
			decision.Verdict, from = v, c
		}
	}
	if decision.Verdict == StepUp || decision.Verdict == Scope {
		decision.ACRValues = strings.Fields(from.Params["acr_values"])
		decision.Scope = strings.Fields(from.Params["scope"])
		// Whole seconds (RFC 9470 section 3). 32 bits are 136 years.
		if n, err := strconv.ParseUint(from.Params["max_age"], 10, 32); err == nil {
			decision.MaxAge, decision.HasMaxAge = time.Duration(n)*time.Second, true
		}
	}
	return decision
}

func (c *Challenge) verdict() Verdict {
	switch c.Scheme {
	case "bearer", "dpop":
		switch c.Params["error"] {
		case "use_dpop_nonce":
			return Nonce
		case "invalid_dpop_proof":
			return Proof
		case "insufficient_user_authentication":
			return StepUp
		case "insufficient_scope":
			return Scope
		}
	// Of the IANA registry, what carries no OAuth access token, and what is
	// widely seen without being registered. OAuth is missing on purpose:
	// servers that mean bearer tokens send it, too.
	case "basic", "concealed", "digest", "hoba", "mutual", "negotiate", "privatetoken", "scram-sha-1", "scram-sha-256", "vapid",
		"aws4-hmac-sha256", "hawk", "kerberos", "ntlm":
		return Other
	}
	return Refresh
}

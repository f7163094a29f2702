package middleware

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rebearer/rebearer/internal/jwks"
	"github.com/rebearer/rebearer/internal/jws"
	"github.com/rebearer/rebearer/internal/origin"
)

// Verifier verifies access tokens that are JWTs (RFC 7519, RFC 8725). It must
// be given exactly one of Key, KeyFunc and JWKSURL.
//
// A token without exp, with an exp that is no number between 1970 and 2100, with
// a crit header, with a claim that is there twice, or that says of itself that it
// is a refresh or an ID token, is never accepted.
//
// What verified is remembered until it ends or the keys change, with its claims:
// some 3 KB for each of the last tokens, of which there are 16,384 at most.
type Verifier struct {
	// Algorithms are those that are accepted: HS256, RS256, PS256, ES256 and
	// EdDSA can be. It is required: what a token says of itself proves
	// nothing.
	Algorithms []string
	// Key verifies all tokens: []byte of at least 32 bytes for HS256 (RFC 7518
	// section 3.2), else an *rsa.PublicKey, an *ecdsa.PublicKey on P-256 or an
	// ed25519.PublicKey.
	Key any
	// KeyFunc finds the key of a token by its kid, which is "" if the token
	// names none and otherwise whatever anybody wrote there. It is called
	// concurrently. An error that is not about the token should wrap
	// [context.DeadlineExceeded] or be a net.Error: the token then counts as
	// unverified, and the request is answered with 503. A token that verified
	// is not asked for again within a minute.
	KeyFunc func(ctx context.Context, kid, alg string) (any, error)
	// JWKSURL is where the issuer publishes its keys (RFC 7517 section 5), with
	// https or on loopback. A rotated key is found by its kid, with one fetch
	// in 10 s at the most, and one a second for tokens that a refresh has just
	// brought. A withdrawn one is felt when the set is fetched
	// anew, which it is by the first request after 15 minutes: at once then,
	// whatever has verified before. The last good set is used through an
	// outage.
	JWKSURL string
	// Base fetches the key set. If nil, http.DefaultTransport.
	Base http.RoundTripper

	// Issuer is the iss that a token must have. If empty, it is not looked at.
	Issuer string
	// Audience must be in the aud of a token. If empty, it is not looked at,
	// and a token for another API of the same issuer is accepted.
	Audience string
	// Leeway is how far the clocks may differ. If zero, 30 s.
	Leeway time.Duration

	once sync.Once
	set  *jwks.Set
}

// errUnverified says that a token could not be verified now, which says nothing
// about it.
var errUnverified = errors.New("middleware: the keys of the issuer are not available")

// minSecret is the least length of an HMAC secret, in bytes (RFC 7518 section
// 3.2).
const minSecret = 32

var errShortSecret = fmt.Errorf("middleware: a secret for HS256 has at least %d bytes (RFC 7518 section 3.2)", minSecret)

func (v *Verifier) validate() error {
	known := []string{jws.HS256, jws.RS256, jws.PS256, jws.ES256, jws.EdDSA}
	if len(v.Algorithms) == 0 {
		return errors.New("middleware: a Verifier needs Algorithms")
	}
	for _, alg := range v.Algorithms {
		if !slices.Contains(known, alg) {
			return fmt.Errorf("middleware: the algorithm %q is none of %v", alg, known)
		}
	}
	given := 0
	for _, is := range []bool{v.Key != nil, v.KeyFunc != nil, v.JWKSURL != ""} {
		if is {
			given++
		}
	}
	if given != 1 {
		return errors.New("middleware: a Verifier needs exactly one of Key, KeyFunc and JWKSURL")
	}
	if v.Leeway < 0 {
		return errors.New("middleware: Leeway is negative")
	}
	switch key := v.Key.(type) {
	case nil, *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
	case []byte:
		if len(key) < minSecret {
			return errShortSecret
		}
	default:
		return fmt.Errorf("middleware: a %T verifies nothing", key)
	}
	if v.JWKSURL != "" {
		u, err := url.Parse(v.JWKSURL)
		if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && !(u.Scheme == "http" && origin.Loopback(u)) {
			return errors.New("middleware: JWKSURL must be https, or of a loopback host")
		}
		if slices.Contains(v.Algorithms, jws.HS256) {
			return errors.New("middleware: there are no shared secrets in a published key set, so HS256 has no place beside JWKSURL")
		}
	}
	return nil
}

// Format prints no field: one of them may be a secret.
func (v *Verifier) Format(f fmt.State, _ rune) { io.WriteString(f, "Verifier(…)") }

func (v *Verifier) leeway() time.Duration { return or(v.Leeway, 30*time.Second) }

// verify returns the claims of an access token. The error is jws.ErrExpired if
// nothing but its age is wrong, and errUnverified if nobody can tell now.
func (v *Verifier) verify(ctx context.Context, token string) (map[string]any, error) {
	rules := jws.Rules{
		Algorithms: v.Algorithms, Issuer: v.Issuer, Audience: v.Audience, Leeway: v.leeway(),
		Key: func(kid, alg string) (any, error) { return v.key(ctx, kid, alg) },
	}
	members, err := rules.Verify(token)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"token_use", "typ", "token_type"} {
		use, _ := members[name].(string)
		switch strings.ToLower(use) {
		case "refresh", "refresh_token", "offline", "id", "id_token":
			return nil, jws.ErrInvalid
		}
	}
	return members, nil
}

func (v *Verifier) key(ctx context.Context, kid, alg string) (any, error) {
	switch {
	case v.Key != nil:
		return v.Key, nil
	case v.KeyFunc != nil:
		return v.found(v.KeyFunc(ctx, kid, alg))
	}
	return v.found(v.published().Key(ctx, kid, alg))
}

func (v *Verifier) published() *jwks.Set {
	v.once.Do(func() { v.set = &jwks.Set{URL: v.JWKSURL, Base: v.Base} })
	return v.set
}

// generation changes with the published keys: what verified with those of
// another one counts no more.
func (v *Verifier) generation(now time.Time) uint64 {
	if v.JWKSURL == "" {
		return 0
	}
	return v.published().Generation(now)
}

// recheck is how long a check counts where nobody says that a key was withdrawn.
const recheck = time.Minute

// until returns when a check is to be made again at the latest. Past its end, a
// token is on its way out, and is looked at each time.
func (v *Verifier) until(expiry, now time.Time) time.Time {
	if again := now.Add(recheck); v.KeyFunc != nil && again.Before(expiry) {
		return again
	}
	return expiry
}

func (v *Verifier) found(key any, err error) (any, error) {
	var network interface{ Timeout() bool } // what every net.Error has
	if errors.Is(err, jwks.ErrUnavailable) || errors.Is(err, context.Canceled) || errors.As(err, &network) {
		return nil, errUnverified
	}
	if secret, ok := key.([]byte); ok && len(secret) < minSecret {
		return nil, errShortSecret
	}
	return key, err
}

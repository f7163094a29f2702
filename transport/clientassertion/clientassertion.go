// Package clientassertion makes the signed JWTs with which a client
// authenticates by private_key_jwt (RFC 7523 section 2.2, OpenID Connect Core
// section 9). It is apart from package transport so that a program which does
// not authenticate like that compiles no JWT library.
package clientassertion

import (
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/rebearer/rebearer/internal/jws"
)

// life is short, since an assertion is made for one call.
const life = time.Minute

// Signer makes assertions. It is safe for concurrent use. Printing it shows no
// key. In an unexported field of another type it prints as fmt likes, since fmt
// calls no method there.
type Signer struct {
	// ClientID is the client that authenticates: the iss and sub.
	ClientID string
	// Key is the private key: an *rsa.PrivateKey, an *ecdsa.PrivateKey on
	// P-256, or an ed25519.PrivateKey.
	Key crypto.Signer
	// Alg is the algorithm: RS256, PS256, ES256 or EdDSA. It must be what is
	// registered for the client, and fit the key.
	Alg string
	// KeyID is the kid of the header. If empty, there is none.
	KeyID string
}

// Assertion returns a new JWT for the audience: the token endpoint or the
// issuer of the authorization server. It ends after a minute and has a jti of
// its own, so that it serves one call. It is what
// transport.TokenEndpoint.Assertion wants.
func (s *Signer) Assertion(_ context.Context, audience string) (string, error) {
	header := map[string]any{}
	if s.KeyID != "" {
		header["kid"] = s.KeyID
	}
	now := time.Now()
	return jws.Sign(s.Alg, s.Key, header, map[string]any{
		"iss": s.ClientID, "sub": s.ClientID, "aud": audience,
		"jti": rand.Text(), "iat": now.Unix(), "exp": now.Add(life).Unix(),
	})
}

// Format prints no key, whatever the verb.
func (s Signer) Format(f fmt.State, _ rune) { io.WriteString(f, "Signer(…)") }

// LogValue logs no key.
func (s Signer) LogValue() slog.Value { return slog.StringValue("Signer(…)") }

// MarshalJSON returns an error: a log in JSON would hold the key.
func (s Signer) MarshalJSON() ([]byte, error) {
	return nil, errors.New("clientassertion: a Signer holds a private key and has no encoding")
}

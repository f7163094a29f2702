// Package jws signs and verifies JWTs in JWS compact serialization (RFC 7515
// section 7.1, RFC 7519), and writes public keys as a JWKS (RFC 7517). It is
// the one package of this module that knows the JWT library.
package jws

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/rebearer/rebearer/internal/claims"
)

// The algorithms that are spoken here (RFC 7518 section 3.1, RFC 8037 section
// 3.1). "none" is not among them and cannot be allowed.
const (
	HS256 = "HS256"
	RS256 = "RS256"
	PS256 = "PS256"
	ES256 = "ES256"
	EdDSA = "EdDSA"
)

// What is wrong with a token. The texts are fixed, because those of the library
// quote the header of the token, which anybody may write.
var (
	// ErrExpired is about a token that was good until its exp.
	ErrExpired = errors.New("jws: token has expired")
	// ErrNotYetValid is about a signed token whose nbf or iat lies ahead.
	ErrNotYetValid = errors.New("jws: token is not valid yet")
	// ErrSignature is about a signature that the key did not make, or an
	// algorithm that is not allowed.
	ErrSignature = errors.New("jws: signature does not verify")
	// ErrIssuer and ErrAudience are about a signed token of, or for, somebody
	// else.
	ErrIssuer   = errors.New("jws: token is of another issuer")
	ErrAudience = errors.New("jws: token is for another audience")
	// ErrInvalid is about everything else, such as nonsense or no exp.
	ErrInvalid = errors.New("jws: token is not valid")
)

// maxLength is more than a header line takes.
const maxLength = 64 << 10

// Sign returns the claims as a JWS. The header gets alg and, unless it says
// otherwise, the typ JWT. The key is []byte for HS256, else a pointer to the
// private key, or an [ed25519.PrivateKey].
func Sign(alg string, key any, header, claims map[string]any) (string, error) {
	m, err := method(alg)
	if err != nil {
		return "", err
	}
	if !fits(alg, public(key)) {
		return "", fmt.Errorf("jws: a %T is no key for %s", key, alg)
	}
	t := jwt.NewWithClaims(m, jwt.MapClaims(claims))
	for name, value := range header {
		t.Header[name] = value
	}
	t.Header["alg"] = alg
	return t.SignedString(key)
}

// Rules say which tokens are accepted.
type Rules struct {
	// Algorithms is the allow-list. The library would read none as every one.
	Algorithms []string
	// Key finds the key: []byte for HS256, else the public key. The kid is ""
	// if the token names none. A key that is not made for the algorithm
	// verifies nothing, so that a public key never serves as an HMAC secret
	// (RFC 8725 section 2.1).
	Key func(kid, alg string) (any, error)
	// Issuer and Audience must be those of the token, unless they are empty.
	Issuer, Audience string
	// Leeway is how far the clocks may differ.
	Leeway time.Duration
	// Now is the clock. If nil, time.Now.
	Now func() time.Time
}

// Verify is Rules with nothing but algorithms and a key.
func Verify(token string, algs []string, key func(kid, alg string) (any, error)) (map[string]any, error) {
	return Rules{Algorithms: algs, Key: key}.Verify(token)
}

// Verify returns the claims of a token that is signed by the key, that has an
// exp, and that is in force. The error wraps one of the errors of this package
// or the one of Key. It is ErrExpired only if the signature is good.
func (r Rules) Verify(token string) (map[string]any, error) {
	if len(r.Algorithms) == 0 {
		return nil, errors.New("jws: no algorithm is allowed")
	}
	if len(token) > maxLength {
		return nil, ErrInvalid
	}
	var keyErr error
	find := func(t *jwt.Token) (any, error) {
		// Nothing critical is understood here (RFC 7515 section 4.1.11).
		if _, critical := t.Header["crit"]; critical || !typed(t.Header) {
			return nil, ErrInvalid
		}
		alg := t.Method.Alg()
		kid, _ := t.Header["kid"].(string)
		var found any
		if found, keyErr = r.Key(kid, alg); keyErr != nil {
			return nil, keyErr
		}
		if !fits(alg, found) {
			return nil, jwt.ErrTokenSignatureInvalid
		}
		return found, nil
	}
	options := []jwt.ParserOption{
		jwt.WithValidMethods(r.Algorithms), jwt.WithExpirationRequired(),
		jwt.WithStrictDecoding(), jwt.WithLeeway(r.Leeway), jwt.WithIssuedAt(),
	}
	if r.Now != nil {
		options = append(options, jwt.WithTimeFunc(r.Now))
	}
	if r.Issuer != "" {
		options = append(options, jwt.WithIssuer(r.Issuer))
	}
	if r.Audience != "" {
		options = append(options, jwt.WithAudience(r.Audience))
	}
	members := jwt.MapClaims{}
	_, err := jwt.NewParser(options...).ParseWithClaims(token, members, find)
	if keyErr != nil {
		return nil, fmt.Errorf("jws: finding the key: %w", keyErr)
	}
	if err != nil {
		return nil, reason(err)
	}
	// The library takes 0 and a date past the range of its clock for an exp,
	// and the last of two for the one.
	if claims.Parse(token).Expiry.IsZero() || !unique(token) {
		return nil, ErrInvalid
	}
	return members, nil
}

// typed reports whether the typ of a header allows that the token is an access
// token (RFC 9068 section 2.1); many say just JWT, or nothing.
func typed(header map[string]any) bool {
	switch typ := header["typ"].(type) {
	case nil:
		return true
	case string:
		typ = strings.TrimPrefix(strings.ToLower(typ), "application/")
		return typ == "jwt" || typ == "at+jwt"
	}
	return false
}

// unique reports whether header and payload name no member twice: two readers
// of such a token may see two tokens (RFC 7519 section 4).
func unique(token string) bool {
	for _, segment := range strings.Split(token, ".")[:2] {
		raw, err := base64.RawURLEncoding.DecodeString(segment)
		if err != nil {
			return false
		}
		dec := json.NewDecoder(bytes.NewReader(raw))
		if _, err := dec.Token(); err != nil {
			return false
		}
		seen := map[string]bool{}
		for dec.More() {
			name, err := dec.Token()
			member, ok := name.(string)
			var skipped json.RawMessage
			if err != nil || !ok || seen[member] || dec.Decode(&skipped) != nil {
				return false
			}
			seen[member] = true
		}
	}
	return true
}

// reason replaces an error of the library.
func reason(err error) error {
	switch {
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return ErrSignature
	case errors.Is(err, jwt.ErrTokenInvalidIssuer):
		return ErrIssuer
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return ErrAudience
	case errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return ErrNotYetValid
	case errors.Is(err, jwt.ErrTokenExpired):
		return ErrExpired
	}
	return ErrInvalid
}

func method(alg string) (jwt.SigningMethod, error) {
	if !slices.Contains([]string{HS256, RS256, PS256, ES256, EdDSA}, alg) {
		return nil, fmt.Errorf("jws: unknown algorithm %q", alg)
	}
	return jwt.GetSigningMethod(alg), nil
}

// fits reports whether a key for verifying is made for the algorithm. The
// library looks neither at the curve nor at an empty secret.
func fits(alg string, key any) bool {
	switch k := key.(type) {
	case []byte:
		return alg == HS256 && len(k) > 0
	case *rsa.PublicKey:
		return alg == RS256 || alg == PS256
	case *ecdsa.PublicKey:
		return alg == ES256 && k.Curve == elliptic.P256()
	case ed25519.PublicKey:
		return alg == EdDSA && len(k) == ed25519.PublicKeySize
	}
	return false
}

// public returns what verifies the signatures of key; nil if it is no key.
func public(key any) any {
	switch k := key.(type) {
	case []byte:
		return k
	case *rsa.PrivateKey:
		return &k.PublicKey
	case *ecdsa.PrivateKey:
		return &k.PublicKey
	case ed25519.PrivateKey:
		return k.Public()
	}
	return nil
}

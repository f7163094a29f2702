package middleware

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/rebearer/rebearer/internal/privatekey"
	"github.com/rebearer/rebearer/tokencache"
)

// The private key of a session (DPoP, RFC 9449) stays with the browser, too, in a
// third cookie: so every replica has it, and after a restart. Unlike the tokens
// it is sealed, since together with them it would be all that a thief needs.

var (
	errSecret = fmt.Errorf("middleware: each of Cookies.Secrets must have %d bytes or more", minSecret)
	errNoRing = errors.New("middleware: a token that is bound to a key needs Cookies.Secrets")
	errNoKey  = errors.New("middleware: with Cookies.Secrets a token must be bound to a key, an *ecdsa.PrivateKey on P-256 or an ed25519.PrivateKey")
)

// ring seals with the first of its keys, and opens with all.
type ring []cipher.AEAD

// newRing derives a key for the cookie of that name from each secret (HKDF, RFC
// 5869), so that no other use of the secret meets it.
func newRing(secrets [][]byte, name string) (ring, error) {
	var r ring
	for _, secret := range secrets {
		if len(secret) < minSecret {
			return nil, errSecret
		}
		key, err := hkdf.Key(sha256.New, secret, nil, "rebearer/1 cookie "+name, 32)
		if err != nil {
			return nil, err
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, err
		}
		r = append(r, aead)
	}
	return r, nil
}

// seal returns "" for what cannot be sealed: then there is no cookie.
func (r ring) seal(key crypto.Signer) string {
	plain := privatekey.Marshal(key)
	if plain == nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(r[0].Seal(nil, nil, plain, nil))
}

// open returns nil for what none of the secrets has sealed.
func (r ring) open(sealed string) crypto.Signer {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err != nil {
		return nil
	}
	for _, aead := range r {
		if plain, err := aead.Open(nil, nil, raw, nil); err == nil {
			return privatekey.Parse(plain)
		}
	}
	return nil
}

// bindable returns what is wrong with a token that somebody signs in with.
func (a *Authenticator) bindable(t tokencache.Token) error {
	switch bound := t.Type() == "DPoP"; {
	case bound && a.ring == nil:
		return errNoRing
	case a.ring != nil && (!bound || privatekey.Marshal(t.Key()) == nil):
		return errNoKey
	}
	return nil
}

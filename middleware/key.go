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
	errBadKey = errors.New("middleware: the token is bound to a key that is no *ecdsa.PrivateKey on P-256 nor an ed25519.PrivateKey")
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
		aead, err := newAEAD(key)
		if err != nil {
			return nil, err
		}
		r = append(r, aead)
	}
	return r, nil
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// seal binds what it seals to name, beside the cookie that the ring is for.
func (r ring) seal(plain []byte, name string) []byte { return r[0].Seal(nil, nil, plain, []byte(name)) }

// open reports whether one of the secrets has sealed it.
func (r ring) open(sealed []byte, name string) (plain []byte, ok bool) {
	for _, aead := range r {
		if plain, err := aead.Open(nil, nil, sealed, []byte(name)); err == nil {
			return plain, true
		}
	}
	return nil, false
}

// sealKey returns "" for what cannot be sealed: then there is no cookie.
func (r ring) sealKey(key crypto.Signer) string {
	plain := privatekey.Marshal(key)
	if plain == nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(r.seal(plain, ""))
}

// openKey returns nil for what none of the secrets has sealed.
func (r ring) openKey(sealed string) crypto.Signer {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err != nil {
		return nil
	}
	plain, ok := r.open(raw, "")
	if !ok {
		return nil
	}
	return privatekey.Parse(plain)
}

// bindable returns what is wrong with a token that somebody signs in with.
func (a *Authenticator) bindable(t tokencache.Token) error {
	switch bound := t.Type() == "DPoP"; {
	case a.names.session != "": // with or without
		if bound && privatekey.Marshal(t.Key()) == nil {
			return errBadKey
		}
		return nil
	case bound && a.ring == nil:
		return errNoRing
	case a.ring != nil && (!bound || privatekey.Marshal(t.Key()) == nil):
		return errNoKey
	}
	return nil
}

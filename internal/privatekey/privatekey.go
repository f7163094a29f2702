// Package privatekey writes the private keys that tokens are bound to (RFC 9449)
// as a few bytes, to be sealed.
package privatekey

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
)

// A letter for the kind, and the 32 bytes of the key (SEC 1 section 2.3.7; RFC
// 8032 section 5.1.5).
const (
	kindP256    = 'p'
	kindEd25519 = 'e'
	size        = 1 + 32
)

// Marshal returns nil for a key that is neither an *ecdsa.PrivateKey on P-256 nor
// an ed25519.PrivateKey.
func Marshal(key crypto.Signer) []byte {
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		if key == nil || key.Curve != elliptic.P256() {
			return nil
		}
		raw, err := key.Bytes()
		if err != nil {
			return nil
		}
		return append([]byte{kindP256}, raw...)
	case ed25519.PrivateKey:
		if len(key) != ed25519.PrivateKeySize {
			return nil
		}
		return append([]byte{kindEd25519}, key.Seed()...)
	}
	return nil
}

// Parse returns nil for what Marshal did not write.
func Parse(b []byte) crypto.Signer {
	if len(b) != size {
		return nil
	}
	switch b[0] {
	case kindP256:
		if key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), b[1:]); err == nil {
			return key
		}
	case kindEd25519:
		return ed25519.NewKeyFromSeed(b[1:])
	}
	return nil
}

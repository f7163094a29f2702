package tokencache

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
)

// The keys that travel with a Token in the Store: a letter for the kind, and the
// 32 bytes of the private key (RFC 8032 section 5.1.5; SEC 1 section 2.3.7).
const (
	kindP256    = 'p'
	kindEd25519 = 'e'
)

// sealableKey returns nil for a key of another kind.
func sealableKey(key crypto.Signer) []byte {
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

// openedKey returns nil for what is no key.
func openedKey(sealed []byte) crypto.Signer {
	if len(sealed) != 33 {
		return nil
	}
	switch sealed[0] {
	case kindP256:
		if key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), sealed[1:]); err == nil {
			return key
		}
	case kindEd25519:
		return ed25519.NewKeyFromSeed(sealed[1:])
	}
	return nil
}

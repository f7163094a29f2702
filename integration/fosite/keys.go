package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"sync"

	"github.com/go-jose/go-jose/v3"
	"github.com/ory/fosite/token/jwt"
)

// A keyring has every key that ever signed. The last one signs.
type keyring struct {
	mu   sync.Mutex
	keys []jose.JSONWebKey
}

func (k *keyring) rotate() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys = append(k.keys, jose.JSONWebKey{Key: key, KeyID: rand.Text(), Algorithm: "ES256", Use: "sig"})
	return nil
}

// signing is the key that fosite signs with. It writes the key's id into the
// token's header.
func (k *keyring) signing(context.Context) (any, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	newest := k.keys[len(k.keys)-1]
	return &newest, nil
}

// public is what the jwks_uri answers with.
func (k *keyring) public() jose.JSONWebKeySet {
	k.mu.Lock()
	defer k.mu.Unlock()
	var set jose.JSONWebKeySet
	for _, key := range k.keys {
		set.Keys = append(set.Keys, key.Public())
	}
	return set
}

// A signer verifies with every key of the ring, while fosite's own knows the
// signing key only: introspection would call each token dead that was signed
// before the last rotation.
type signer struct {
	jwt.DefaultSigner
	keys *keyring
}

func (s *signer) Decode(_ context.Context, token string) (*jwt.Token, error) {
	return jwt.Parse(token, func(t *jwt.Token) (any, error) {
		id, _ := t.Header["kid"].(string)
		set := s.keys.public()
		if found := set.Key(id); len(found) == 1 {
			return found[0].Key, nil
		}
		return nil, errors.New("signed with an unknown key")
	})
}

func newSecret() []byte {
	secret := make([]byte, 32)
	rand.Read(secret) // never fails
	return secret
}

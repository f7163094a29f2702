package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"sync"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// A keyring has every key that ever signed. The last one signs, which here are
// ID tokens only: what encrypts the access tokens is another key, and stays.
type keyring struct {
	mu   sync.Mutex
	keys []*key
}

// rotate makes a key of the kind that the example has.
func (k *keyring) rotate() error {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys = append(k.keys, &key{rand.Text(), private})
	return nil
}

type key struct {
	id      string
	private *rsa.PrivateKey
}

func (k *key) ID() string                                  { return k.id }
func (k *key) Key() any                                    { return k.private }
func (k *key) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }

// A publicKey is what everybody may see of a key.
type publicKey struct{ *key }

func (k publicKey) Key() any                           { return k.private.Public() }
func (k publicKey) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k publicKey) Use() string                        { return "sig" }

// SigningKey is asked for with every ID token.
func (db *database) SigningKey(context.Context) (op.SigningKey, error) {
	db.keys.mu.Lock()
	defer db.keys.mu.Unlock()
	return db.keys.keys[len(db.keys.keys)-1], nil
}

// SignatureAlgorithms is for the metadata.
func (db *database) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.RS256}, nil
}

// KeySet is what the jwks_uri answers with.
func (db *database) KeySet(context.Context) ([]op.Key, error) {
	db.keys.mu.Lock()
	defer db.keys.mu.Unlock()
	var set []op.Key
	for _, k := range db.keys.keys {
		set = append(set, publicKey{k})
	}
	return set, nil
}

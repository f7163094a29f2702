package main

import (
	"context"
	"sync"

	"github.com/go-jose/go-jose/v3"
	"github.com/ory/fosite"
	"github.com/ory/fosite/storage"
)

// A database is fosite's MemoryStore, with a lock that it lacks: v0.49.0 guards
// its map of refresh tokens by one mutex in RevokeRefreshToken and by another
// one everywhere else, and Go ends a process that writes a map while it reads
// it. What happens between two of its calls is left as it is.
type database struct {
	*storage.MemoryStore
	mu sync.RWMutex
}

// newDatabase knows the clients.
func newDatabase(env settings) (*database, error) {
	db := &database{MemoryStore: storage.NewMemoryStore()}
	for _, m := range env.Clients {
		c, err := m.client(env.Audience)
		if err != nil {
			return nil, err
		}
		db.Clients[m.ID] = c
	}
	return db, nil
}

func (db *database) GetRefreshTokenSession(ctx context.Context, signature string, s fosite.Session) (fosite.Requester, error) {
	db.mu.RLock()
	defer db.mu.RUnlock()
	return db.MemoryStore.GetRefreshTokenSession(ctx, signature, s)
}

func (db *database) DeleteRefreshTokenSession(ctx context.Context, signature string) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.MemoryStore.DeleteRefreshTokenSession(ctx, signature)
}

func (db *database) RevokeRefreshToken(ctx context.Context, requestID string) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.MemoryStore.RevokeRefreshToken(ctx, requestID)
}

func (db *database) RotateRefreshToken(ctx context.Context, requestID, signature string) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.MemoryStore.RotateRefreshToken(ctx, requestID, signature)
}

// metadata is a client as the test describes it.
type metadata struct {
	ID            string              `json:"client_id"`
	Secret        string              `json:"client_secret"`
	AuthMethod    string              `json:"token_endpoint_auth_method"`
	RedirectURIs  []string            `json:"redirect_uris"`
	GrantTypes    []string            `json:"grant_types"`
	ResponseTypes []string            `json:"response_types"`
	Keys          *jose.JSONWebKeySet `json:"jwks"`
}

// client is the same as fosite describes it, which tells its method of
// authentication only where it is an OpenID Connect client.
func (m metadata) client(audience string) (fosite.Client, error) {
	var hash []byte // none matches nothing: introspection compares it whatever the method
	if m.Secret != "" {
		hasher := &fosite.BCrypt{Config: &fosite.Config{HashCost: 4}} // the least: the secret is a test's
		var err error
		if hash, err = hasher.Hash(context.Background(), []byte(m.Secret)); err != nil {
			return nil, err
		}
	}
	return &fosite.DefaultOpenIDConnectClient{
		DefaultClient: &fosite.DefaultClient{
			ID: m.ID, Secret: hash, Public: m.AuthMethod == "none",
			RedirectURIs: m.RedirectURIs, GrantTypes: m.GrantTypes, ResponseTypes: m.ResponseTypes,
			Scopes: []string{"openid", "offline_access", "api"}, Audience: []string{audience},
		},
		TokenEndpointAuthMethod:           m.AuthMethod,
		TokenEndpointAuthSigningAlgorithm: "ES256",
		JSONWebKeys:                       m.Keys,
	}, nil
}

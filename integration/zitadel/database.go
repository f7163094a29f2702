package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// A database is the storage of the example, which rotates and revokes, with
// what is fixed there and different from test to test: clients, users, keys and
// how long tokens live. The lock is for its map of refresh tokens, which
// v3.51.17 reads without one in GetRefreshTokenInfo.
type database struct {
	*storage.Storage
	env     settings
	clients map[string]metadata
	keys    keyring

	mu     sync.Mutex
	expiry map[string]time.Time // of an access token, by its id
}

func newDatabase(env settings) *database {
	db := &database{env: env, clients: map[string]metadata{}, expiry: map[string]time.Time{}}
	examples := map[string]*storage.Client{}
	for _, m := range env.Clients {
		db.clients[m.ID], examples[m.ID] = m, m.example()
	}
	db.Storage = storage.NewStorageWithClients(users{}, examples)
	return db
}

// CreateAccessAndRefreshTokens is the example's rotation. Afterwards, before
// anybody knows the new tokens, they get the lifetime that the test asked for.
func (db *database) CreateAccessAndRefreshTokens(ctx context.Context, request op.TokenRequest, current string) (id, refresh string, expiry time.Time, err error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	id, refresh, _, err = db.Storage.CreateAccessAndRefreshTokens(ctx, request, current)
	if err != nil {
		return "", "", time.Time{}, err
	}
	now := time.Now()
	stored, err := db.Storage.TokenRequestByRefreshToken(ctx, refresh)
	if err != nil {
		return "", "", time.Time{}, err
	}
	stored.(*storage.RefreshTokenRequest).Expiration = now.Add(db.env.RefreshTTL) // of the stored one: it is a pointer
	db.expiry[id] = now.Add(db.env.AccessTTL)
	return id, refresh, db.expiry[id], nil
}

// expires is when an access token ends. The example's own time never comes
// before it.
func (db *database) expires(id string) (time.Time, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	at, ok := db.expiry[id]
	if !ok || !time.Now().Before(at) {
		return at, errors.New("the access token is over")
	}
	return at, nil
}

func (db *database) SetIntrospectionFromToken(ctx context.Context, to *oidc.IntrospectionResponse, id, subject, clientID string) error {
	at, err := db.expires(id)
	if err != nil {
		return err
	}
	err = db.Storage.SetIntrospectionFromToken(ctx, to, id, subject, clientID)
	if to.Expiration != 0 { // the example tells it even to a client that the token is not for
		to.Expiration = oidc.FromTime(at)
	}
	return err
}

func (db *database) SetUserinfoFromToken(ctx context.Context, to *oidc.UserInfo, id, subject, origin string) error {
	if _, err := db.expires(id); err != nil {
		return err
	}
	return db.Storage.SetUserinfoFromToken(ctx, to, id, subject, origin)
}

func (db *database) GetRefreshTokenInfo(ctx context.Context, clientID, token string) (userID, tokenID string, err error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.Storage.GetRefreshTokenInfo(ctx, clientID, token)
}

func (db *database) RevokeToken(ctx context.Context, token, userID, clientID string) *oidc.Error {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.Storage.RevokeToken(ctx, token, userID, clientID)
}

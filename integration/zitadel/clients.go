package main

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// metadata is a client as the test describes it.
type metadata struct {
	ID           string             `json:"client_id"`
	Secret       string             `json:"client_secret"`
	AuthMethod   oidc.AuthMethod    `json:"token_endpoint_auth_method"`
	RedirectURIs []string           `json:"redirect_uris"`
	Keys         jose.JSONWebKeySet `json:"jwks"`
}

// example is the client as the example's own constructors make it.
func (m metadata) example() *storage.Client {
	if m.AuthMethod == oidc.AuthMethodNone {
		return storage.NativeClient(m.ID, m.RedirectURIs...)
	}
	if m.Secret == "" { // the client with a key: an empty secret would be one that matches
		m.Secret = rand.Text()
	}
	return storage.WebClient(m.ID, m.Secret, m.RedirectURIs...)
}

// A client is one of the example, which knows two methods of authentication and
// no scope of an API.
type client struct {
	op.Client
	metadata metadata
}

func (c client) AuthMethod() oidc.AuthMethod      { return c.metadata.AuthMethod }
func (c client) IsScopeAllowed(scope string) bool { return scope == "api" }

// ClockSkew is added to expires_in before that is cut to whole seconds: without
// it 60 seconds would be 59, and one would be none.
func (c client) ClockSkew() time.Duration { return 500 * time.Millisecond }

func (db *database) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	c, err := db.Storage.GetClientByClientID(ctx, id)
	if err != nil {
		return nil, err
	}
	return client{c, db.clients[id]}, nil
}

// GetKeyByIDAndClientID is asked for when a client authenticates with a key.
func (db *database) GetKeyByIDAndClientID(_ context.Context, keyID, clientID string) (*jose.JSONWebKey, error) {
	keys := db.clients[clientID].Keys
	if found := keys.Key(keyID); len(found) == 1 {
		return &found[0], nil
	}
	return nil, errors.New("the client has no such key")
}

// users are everybody: who says a name signs in with the same as the password.
type users struct{}

func (users) GetUserByID(id string) *storage.User {
	return &storage.User{ID: id, Username: id, Password: id}
}

func (users) GetUserByUsername(name string) *storage.User {
	if name == "" {
		return nil
	}
	return users{}.GetUserByID(name)
}

func (users) ExampleClientID() string { return "" }

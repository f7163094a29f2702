package integration

import (
	"context"
	"errors"
	"sync"

	"github.com/luikyv/go-oidc/pkg/goidc"
)

// A table is of a database for go-oidc. What goes in and comes out are copies:
// v0.4.0 changes what it has found, and with its own store that is what others
// are reading.
type table[Row any] struct {
	mu   sync.Mutex
	rows map[string]Row
}

func (t *table[Row]) save(id string, row Row) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rows == nil {
		t.rows = map[string]Row{}
	}
	t.rows[id] = row
	return nil
}

func (t *table[Row]) find(wanted func(Row) bool) (*Row, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, row := range t.rows {
		if wanted(row) {
			return &row, nil
		}
	}
	return nil, errors.New("not found")
}

// Delete is part of both interfaces.
func (t *table[Row]) Delete(_ context.Context, id string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.rows, id)
	return nil
}

// logins are on their way, from the authorization endpoint to the code's
// exchange.
type logins struct{ table[goidc.AuthnSession] }

func (l *logins) Save(_ context.Context, s *goidc.AuthnSession) error { return l.save(s.ID, *s) }

func (l *logins) SessionByCallbackID(_ context.Context, id string) (*goidc.AuthnSession, error) {
	return l.find(func(s goidc.AuthnSession) bool { return s.CallbackID == id })
}

func (l *logins) SessionByAuthorizationCode(_ context.Context, code string) (*goidc.AuthnSession, error) {
	return l.find(func(s goidc.AuthnSession) bool { return s.AuthorizationCode == code })
}

func (l *logins) SessionByReferenceID(_ context.Context, id string) (*goidc.AuthnSession, error) {
	return l.find(func(s goidc.AuthnSession) bool { return s.ReferenceID == id })
}

// grants are what tokens belong to.
type grants struct{ table[goidc.GrantSession] }

func (g *grants) Save(_ context.Context, s *goidc.GrantSession) error { return g.save(s.ID, *s) }

func (g *grants) SessionByTokenID(_ context.Context, id string) (*goidc.GrantSession, error) {
	return g.find(func(s goidc.GrantSession) bool { return s.TokenID == id })
}

func (g *grants) SessionByRefreshToken(_ context.Context, token string) (*goidc.GrantSession, error) {
	return g.find(func(s goidc.GrantSession) bool { return s.RefreshToken == token })
}

func (g *grants) DeleteByAuthorizationCode(ctx context.Context, code string) error {
	if s, err := g.find(func(s goidc.GrantSession) bool { return s.AuthorizationCode == code }); err == nil {
		return g.Delete(ctx, s.ID)
	}
	return nil
}

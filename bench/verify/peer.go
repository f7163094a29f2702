package main

import (
	"context"
	"net/http"

	"github.com/golang-jwt/jwt/v5"
)

// parser is golang-jwt at its best: made once, with an allow-list, claims
// without a map, and a key that is at hand, where others look it up by its kid.
type parser struct {
	*jwt.Parser
	find jwt.Keyfunc
}

func newParser(alg string, key any) parser {
	return parser{jwt.NewParser(jwt.WithValidMethods([]string{alg}), jwt.WithExpirationRequired()), func(*jwt.Token) (any, error) { return key, nil }}
}

func (p parser) claims(token string) (*jwt.RegisteredClaims, error) {
	claims := new(jwt.RegisteredClaims)
	_, err := p.ParseWithClaims(token, claims, p.find)
	return claims, err
}

func parsing(alg string, key any, token string) func() error {
	p := newParser(alg, key)
	return func() error {
		_, err := p.claims(token)
		return err
	}
}

type claimsKey struct{}

// written is a middleware in as few words as are needed: it reads the cookie,
// checks the token and puts the claims into the context. It renews nothing, and
// the page sees the cookies.
func written(next http.Handler, alg string, key any) http.Handler {
	p := newParser(alg, key)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := r.Cookie("__Host-access")
		if err != nil {
			http.Error(w, "sign in", http.StatusUnauthorized)
			return
		}
		claims, err := p.claims(c.Value)
		if err != nil {
			http.Error(w, "sign in", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), claimsKey{}, claims)))
	})
}

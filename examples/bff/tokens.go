package main

import (
	"crypto/rand"

	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
)

// Where the tokens live between two requests of a browser.
const (
	tokensPlain    = "plain"    // in cookies that no script can read
	tokensSealed   = "sealed"   // in a cookie that nobody can read but the program
	tokensSessions = "sessions" // on the server, and a cookie has the name of the session
)

// cookies returns how the browser keeps the tokens.
func (c *config) cookies() middleware.Cookies {
	cookies := middleware.Cookies{InsecureNoTLS: c.insecureCookies}
	switch {
	case c.tokens == tokensSealed:
		cookies.Sealed, cookies.Secrets = true, [][]byte{c.secret}
	case c.tokens == tokensSessions:
	case c.insecureCookies:
		cookies.Access, cookies.Refresh = "accessToken", "refreshToken"
	default:
		cookies.Access, cookies.Refresh = "__Host-access", "__Host-refresh" // as is the default
	}
	return cookies
}

// sessions returns where the server keeps the tokens, or nil.
func (b *bff) sessions() *middleware.Sessions {
	if b.tokens != tokensSessions {
		return nil
	}
	store := b.shared()
	if store == nil {
		store = &b.memory
	}
	return &middleware.Sessions{Store: store}
}

// shared returns what the replicas know of each other by: Redis, or the memory of
// the process. It is nil for one that is alone.
func (b *bff) shared() tokencache.Store {
	switch {
	case b.store != nil:
		return b.store
	case b.config.replicas > 1:
		return &b.memory
	}
	return nil
}

// newSecret is for a process that shares its cookies with no other one, and none
// with the next.
func newSecret() []byte {
	secret := make([]byte, minSecret)
	rand.Read(secret) // never fails
	return secret
}

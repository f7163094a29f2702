package main

import (
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/token/jwt"
)

// A session is who signed in. fosite asks it for what goes into an ID token,
// which openid.DefaultSession knows, and for the claims of an access token.
type session struct {
	*openid.DefaultSession
}

func newSession(user string) *session {
	now := time.Now().UTC()
	return &session{&openid.DefaultSession{
		Subject: user, Username: user,
		Claims: &jwt.IDTokenClaims{Subject: user, AuthTime: now, RequestedAt: now},
	}}
}

var _ oauth2.JWTSessionContainer = &session{}

// GetJWTClaims is new for every access token, and so is its time of issue. The
// rest comes from what was granted.
func (s *session) GetJWTClaims() jwt.JWTClaimsContainer {
	return &jwt.JWTClaims{Subject: s.Subject}
}

// GetJWTHeader adds nothing: the key's id is there anyway.
func (s *session) GetJWTHeader() *jwt.Headers { return &jwt.Headers{} }

// Clone copies the whole session: DefaultSession's own would lose the methods above.
func (s *session) Clone() fosite.Session {
	return &session{s.DefaultSession.Clone().(*openid.DefaultSession)}
}

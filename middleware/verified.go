package middleware

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rebearer/rebearer/internal/claims"
	"github.com/rebearer/rebearer/internal/jws"
	"github.com/rebearer/rebearer/tokencache"
)

// verdict is what is known of an access token.
type verdict struct {
	claims         map[string]any // nil without a Verifier
	issued, expiry time.Time      // zero if unknown
	// err is nil if the token may be used, be it within the leeway;
	// jws.ErrExpired if it was good once; errUnverified if nobody can tell.
	err error
	// pair is the Token that the access token was last seen in; it is the same
	// one with every request, as a rule.
	pair tokencache.Token
	key  string // as the cookie had it
}

// cookies are the values of ours.
type cookies struct{ access, refresh, key string }

// live reports whether the token has not ended by our own clock.
func (v verdict) live() bool {
	return v.err == nil && (v.expiry.IsZero() || time.Now().Before(v.expiry))
}

// examine verifies the access token of a pair, or reads what can be read of it where there
// is no Verifier.
func (a *Authenticator) examine(ctx context.Context, of cookies) verdict {
	if of.access == "" {
		v := verdict{err: jws.ErrInvalid}
		v.pair = a.token(v, of)
		return v
	}
	if v, ok := a.seen.get(of.access); ok {
		if v.pair.Refresh() != of.refresh || v.key != of.key {
			v.pair = a.token(v, of)
		}
		return v
	}
	c := claims.Parse(of.access)
	v := verdict{issued: c.IssuedAt, expiry: c.Expiry, key: of.key}
	if a.Verifier == nil {
		if !v.live() {
			v.err = jws.ErrExpired
		}
		v.pair = a.token(v, of)
		return v
	}
	v.claims, v.err = a.Verifier.verify(ctx, of.access)
	v.pair = a.token(v, of)
	if v.err == nil {
		a.seen.put(of.access, v)
	}
	return v
}

// token makes the Token of a pair. An access token that does not verify is
// left out: nobody may choose whose session a refresh is compared with.
func (a *Authenticator) token(v verdict, of cookies) tokencache.Token {
	access := of.access
	if v.err != nil && !errors.Is(v.err, jws.ErrExpired) && !errors.Is(v.err, errUnverified) {
		access = ""
	}
	f := tokencache.TokenFields{Access: access, Refresh: of.refresh, Issued: v.issued, Expiry: v.expiry}
	if a.ring != nil {
		f.Type, f.Key = "DPoP", a.ring.open(of.key)
	}
	return tokencache.NewToken(f)
}

// verifiedTokens remembers access tokens that verified, since the check of one
// costs more than many a page. It is bounded: a token takes the place of another
// one. Tokens are compared whole.
type verifiedTokens struct {
	once  sync.Once
	seed  maphash.Seed
	slots *[1 << 12]atomic.Pointer[verifiedToken]
}

type verifiedToken struct {
	access string
	verdict
	until time.Time
}

// recheck is how long a check counts, so that a key that is withdrawn is soon
// felt.
const recheck = time.Minute

func (s *verifiedTokens) slot(access string) *atomic.Pointer[verifiedToken] {
	s.once.Do(func() {
		s.seed = maphash.MakeSeed()
		s.slots = new([1 << 12]atomic.Pointer[verifiedToken])
	})
	return &s.slots[maphash.String(s.seed, access)%uint64(len(s.slots))]
}

func (s *verifiedTokens) get(access string) (verdict, bool) {
	if e := s.slot(access).Load(); e != nil && e.access == access && time.Now().Before(e.until) {
		return e.verdict, true
	}
	return verdict{}, false
}

func (s *verifiedTokens) put(access string, v verdict) {
	until := time.Now().Add(recheck)
	if v.expiry.Before(until) {
		until = v.expiry
	}
	s.slot(access).Store(&verifiedToken{access, v, until})
}

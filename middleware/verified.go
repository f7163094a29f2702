package middleware

import (
	"context"
	"errors"
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rebearer/rebearer/internal/claims"
	"github.com/rebearer/rebearer/internal/jws"
	"github.com/rebearer/rebearer/internal/privatekey"
	"github.com/rebearer/rebearer/tokencache"
)

// verdict is what is known of an access token.
type verdict struct {
	claims         map[string]any // nil without a Verifier
	issued, expiry time.Time      // zero if unknown
	// err is nil if the token may be used, be it within the leeway;
	// jws.ErrExpired if it was good once; errUnverified if nobody can tell.
	err error
}

// cookies are what ours hold. The key is as it is sealed where it has a cookie of
// its own, and as it is otherwise.
type cookies struct{ access, refresh, key string }

// live reports whether the token has not ended by our own clock.
func (v verdict) live(now time.Time) bool {
	return v.err == nil && (v.expiry.IsZero() || now.Before(v.expiry))
}

// examine verifies an access token, or reads what can be read of it where there
// is no Verifier.
func (a *Authenticator) examine(ctx context.Context, access string) verdict {
	if access == "" {
		return verdict{err: jws.ErrInvalid}
	}
	return a.look(ctx, access, time.Now()).verdict
}

// pair returns the Token of what a browser shows, and what is known of it. It
// is the same one with every request, as a rule, and then costs nothing.
func (a *Authenticator) pair(ctx context.Context, of cookies, now time.Time) (tokencache.Token, verdict) {
	if of.access == "" {
		v := verdict{err: jws.ErrInvalid}
		return a.token(v, of), v
	}
	seen := a.look(ctx, of.access, now)
	if seen.shows(of) {
		return seen.pair, seen.verdict
	}
	kept := seen.err == nil && a.Verifier != nil
	if kept { // for long: not with the whole header that they came in
		of = cookies{seen.access, strings.Clone(of.refresh), strings.Clone(of.key)}
	}
	t := a.token(seen.verdict, of)
	if kept {
		a.seen.put(&verifiedToken{of.access, seen.verdict, seen.limit, t, of.key}, now)
	}
	return t, seen.verdict
}

// look returns what is remembered of an access token, or finds it out. What
// verified is remembered.
func (a *Authenticator) look(ctx context.Context, access string, now time.Time) *verifiedToken {
	if a.Verifier == nil {
		c := claims.Parse(access)
		v := verdict{issued: c.IssuedAt, expiry: c.Expiry}
		if !v.live(now) {
			v.err = jws.ErrExpired
		}
		return &verifiedToken{verdict: v}
	}
	generation := a.Verifier.generation(now) // before: the keys may change meanwhile
	if seen := a.seen.get(access, generation, now); seen != nil {
		return seen
	}
	c := claims.Parse(access)
	seen := &verifiedToken{access: strings.Clone(access), verdict: verdict{issued: c.IssuedAt, expiry: c.Expiry}}
	if seen.claims, seen.err = a.Verifier.verify(ctx, access); seen.err == nil {
		seen.limit = limit{generation, a.Verifier.until(c.Expiry, now)}
		a.seen.put(seen, now)
	}
	return seen
}

// token makes the Token of a pair. An access token that does not verify is
// left out: nobody may choose whose session a refresh is compared with.
func (a *Authenticator) token(v verdict, of cookies) tokencache.Token {
	access := of.access
	if v.err != nil && !errors.Is(v.err, jws.ErrExpired) && !errors.Is(v.err, errUnverified) {
		access = ""
	}
	f := tokencache.TokenFields{Access: access, Refresh: of.refresh, Issued: v.issued, Expiry: v.expiry}
	switch {
	case a.names.session != "":
		if of.key != "" {
			f.Type, f.Key = "DPoP", privatekey.Parse([]byte(of.key))
		}
	case a.ring != nil:
		f.Type, f.Key = "DPoP", a.ring.openKey(of.key)
	}
	return tokencache.NewToken(f)
}

// verifiedTokens remembers access tokens that verified, since the check of one
// costs more than many a page. It is bounded: a token takes the place of another
// one. Tokens are compared whole.
type verifiedTokens struct {
	once  sync.Once
	seed  maphash.Seed
	slots *[1 << 14]verifiedSlot
}

// verifiedToken is not changed once others can see it.
type verifiedToken struct {
	access string
	verdict
	limit
	// pair is the Token that the access token was shown in last, zero if it
	// was not shown yet, and key what the cookie of the key had then.
	pair tokencache.Token
	key  string
}

// limit is how long a check counts.
type limit struct {
	generation uint64 // of the keys
	until      time.Time
}

// shows reports whether the pair is the one of these cookies, which have its
// access token.
func (e *verifiedToken) shows(of cookies) bool {
	return !e.pair.IsZero() && e.pair.Refresh() == of.refresh && e.key == of.key
}

type verifiedSlot = atomic.Pointer[verifiedToken]

// slotsOf returns the two places that a token may have.
func (s *verifiedTokens) slotsOf(access string) (first, second *verifiedSlot) {
	s.once.Do(func() {
		s.seed = maphash.MakeSeed()
		s.slots = new([1 << 14]verifiedSlot)
	})
	h := maphash.String(s.seed, access)
	return &s.slots[h%uint64(len(s.slots))], &s.slots[(h>>32)%uint64(len(s.slots))]
}

// get returns nil for what is not there, or counts no more.
func (s *verifiedTokens) get(access string, generation uint64, now time.Time) *verifiedToken {
	first, second := s.slotsOf(access)
	e := first.Load()
	if e == nil || e.access != access {
		e = second.Load()
	}
	if e == nil || e.access != access || e.generation != generation || !now.Before(e.until) {
		return nil
	}
	return e
}

// put prefers the place that the token has, and then one that nobody has.
func (s *verifiedTokens) put(e *verifiedToken, now time.Time) {
	if !now.Before(e.until) {
		return // nobody would find it
	}
	first, second := s.slotsOf(e.access)
	if second.Load().free(e.access, now) && !first.Load().free(e.access, now) {
		first = second
	}
	first.Store(e)
}

func (e *verifiedToken) free(access string, now time.Time) bool {
	return e == nil || e.access == access || !now.Before(e.until)
}

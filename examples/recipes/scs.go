package recipes

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/rebearer/rebearer/tokencache"
)

// SCS keeps the tokens in the sessions of github.com/alexedwards/scs, for programs
// that have theirs there, without an Authenticator. The browser has the cookie of
// scs and no token.
//
// A commit of scs writes the whole session as the request has read it, and the last
// one wins: a request that was slow may put back tokens that have been replaced
// meanwhile. The Coordinator heals that. It knows the successor of what is put back,
// for Hold, and for Grace once the successor has led to another; so the next
// request presents nothing, and what it was given is saved. A request that is slower
// than that, while the session moves on twice, costs a strict server's session. So
// does a failover of the store that forgets. The Sessions of an Authenticator write
// on condition instead; both may be there, each with a cookie of its own name.
//
// For the same reason a session that was destroyed may come back. Its tokens do not:
// they are over, as another replica knows at its next refresh.
//
// What is in the store of scs is not sealed, and who reads it has the tokens. A
// token that is bound to a key (DPoP) would need that in the session, too.
type SCS struct {
	Sessions    *scs.SessionManager
	Coordinator *tokencache.Coordinator
}

// Handler serves next with the tokens of the session in the context: what it calls
// through a transport.Transport is signed with them.
func (s *SCS) Handler(next http.Handler) http.Handler {
	return s.Sessions.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		shown := s.Token(ctx)
		cache := tokencache.New(s.Coordinator, shown)
		if cache.CatchUp(ctx) != nil { // ended, and put back by somebody
			s.Sessions.Destroy(ctx)
			cache = tokencache.New(nil, tokencache.Token{})
		}
		defer s.save(context.WithoutCancel(ctx), cache, shown)
		defer cache.Accompany()()
		next.ServeHTTP(w, r.WithContext(tokencache.NewContext(ctx, cache)))
	}))
}

// save keeps what replaced the tokens. That may be after the response, and even after
// the next request, which is then told by the Coordinator. A handler that has signed
// in or out meanwhile has the last word.
func (s *SCS) save(ctx context.Context, cache *tokencache.Cache, shown tokencache.Token) {
	if cache.CatchUp(ctx) != nil {
		return
	}
	if t, changed := cache.Changed(); changed && s.Token(ctx).Same(shown) {
		s.put(ctx, t)
		s.Sessions.Commit(ctx) // if it fails, the Coordinator knows
	}
}

// Token is what the session holds.
func (s *SCS) Token(ctx context.Context) tokencache.Token {
	access, refresh := s.Sessions.GetString(ctx, "access"), s.Sessions.GetString(ctx, "refresh")
	if access == "" && refresh == "" {
		return tokencache.Token{}
	}
	return tokencache.NewToken(tokencache.TokenFields{Access: access, Refresh: refresh, Expiry: time.UnixMilli(s.Sessions.GetInt64(ctx, "expiry"))})
}

func (s *SCS) put(ctx context.Context, t tokencache.Token) {
	s.Sessions.Put(ctx, "access", t.Access())
	s.Sessions.Put(ctx, "refresh", t.Refresh())
	s.Sessions.Put(ctx, "expiry", t.Expiry().UnixMilli())
}

// SignIn is for the login page, inside of Handler: a new name for the session, new
// tokens, and an end to those that were there.
func (s *SCS) SignIn(ctx context.Context, t tokencache.Token) error {
	old := s.Token(ctx)
	if err := s.Sessions.RenewToken(ctx); err != nil {
		return err
	}
	s.put(ctx, t)
	if old.IsZero() {
		return nil
	}
	return s.Coordinator.Replace(ctx, old, t)
}

// SignOut ends the session, here and at the authorization server.
func (s *SCS) SignOut(ctx context.Context) error {
	return errors.Join(s.Coordinator.Revoke(ctx, s.Token(ctx)), s.Sessions.Destroy(ctx))
}

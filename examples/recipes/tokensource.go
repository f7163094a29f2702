package recipes

import (
	"context"
	"errors"

	"github.com/rebearer/rebearer/tokencache"
	"golang.org/x/oauth2"
)

// FromOAuth2 is the way of a program that has lived with golang.org/x/oauth2, and
// keeps an oauth2.Token for each user:
//
//	api := config.Client(ctx, stored) // before: a client for each user, and each use
//
//	cache := tokencache.New(coordinator, FromOAuth2(stored)) // after: see Job
//	ctx = tokencache.NewContext(ctx, cache)                  // one client for all users
//
// What that client did, an oauth2.Transport over an oauth2.ReuseTokenSource, is
// not enough for refresh tokens that are good for once:
//
//   - It refreshes when Expiry says so, and never without one. What the API
//     answers is nothing to it: a 401 is yours.
//   - Its lock is of one TokenSource. A second client of the same user, be it in
//     the same process or another, presents the same refresh token, which the
//     server may take for theft.
//   - The new refresh token is in its memory only. Unless somebody asks and stores
//     it, a restart presents the old one.
//   - With an Endpoint whose AuthStyle was never set, it answers any failure,
//     be it a timeout, by presenting the token again in another style.
//   - It signs whatever it is told to send, and so does http.Client along a
//     redirect: the token goes to any host.
//   - Any error is one: «logged out» looks like «no network».
//
// A program with Cookies, rather than a table, calls Authenticator.SignIn with the
// same Token, once.
func FromOAuth2(t *oauth2.Token) tokencache.Token {
	return tokencache.NewToken(tokencache.TokenFields{
		Access: t.AccessToken, Refresh: t.RefreshToken, Type: t.TokenType, Expiry: t.Expiry,
	})
}

// ToOAuth2 is the same in the other direction, to be stored.
func ToOAuth2(t tokencache.Token) *oauth2.Token {
	return &oauth2.Token{AccessToken: t.Access(), RefreshToken: t.Refresh(), TokenType: t.Type(), Expiry: t.Expiry()}
}

// Job runs something for a user whose tokens are stored, with a context for a
// client over a transport.Transport. What replaced the tokens meanwhile is saved
// also when the job has failed or ctx has ended, as the old ones are spent. Where
// a save fails, or comes after that of another job, the Coordinator leads the
// next job from what is stored to the newest, for its Hold.
func Job(ctx context.Context, c *tokencache.Coordinator, stored *oauth2.Token, save func(context.Context, *oauth2.Token) error, job func(context.Context) error) error {
	cache := tokencache.New(c, FromOAuth2(stored))
	err := job(tokencache.NewContext(ctx, cache))
	if t, changed := cache.Changed(); changed {
		err = errors.Join(err, save(context.WithoutCancel(ctx), ToOAuth2(t)))
	}
	return err
}

// TokenSource offers a Cache to a library that demands an oauth2.TokenSource. In
// a request it is tokencache.FromContext(r.Context()).
//
// That is less than a client over a transport.Transport, which most libraries
// take as well: nothing of a 401 comes back to us. There is no replay, and a token
// that was rejected before its end is offered until then, unless somebody else's
// call has it refreshed.
//
// Use it with oauth2.Transport{Source: …}. oauth2.NewClient and
// oauth2.ReuseTokenSource would go on with a token that has been replaced. It
// gives away no refresh token: the library might present it.
func TokenSource(ctx context.Context, c *tokencache.Cache) oauth2.TokenSource {
	return tokenSource{ctx, c}
}

// tokenSource keeps a context because Token takes none. Its end is that of the
// waiting; a refresh that has begun goes on.
type tokenSource struct {
	ctx   context.Context
	cache *tokencache.Cache
}

// Token implements oauth2.TokenSource.
func (s tokenSource) Token() (*oauth2.Token, error) {
	t, err := s.cache.Fresh(s.ctx)
	if err != nil {
		return nil, err
	}
	if t.Access() == "" || t.Key() != nil { // DPoP needs a proof with each request (RFC 9449)
		return nil, tokencache.ErrUnauthorized
	}
	return &oauth2.Token{AccessToken: t.Access(), TokenType: t.Type(), Expiry: t.Expiry()}, nil
}

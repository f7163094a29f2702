// Package tokencache keeps the tokens of a signed-in user fresh: it exchanges a
// refresh token for its successor at most once, whoever asks and however often.
//
// A [Token] is a pair of access and refresh token. A [Cache] holds the newest
// Token of one incoming request, travels in the request's context, and is what
// package transport signs requests with:
//
//	shown := tokencache.NewToken(tokencache.TokenFields{Access: a, Refresh: r})
//	cache := tokencache.New(coordinator, shown)
//	ctx := tokencache.NewContext(r.Context(), cache)
//	// … requests made with ctx …
//	if t, changed := cache.Changed(); changed {
//		// the browser should be given t
//	}
//
// A [Coordinator] is shared by the whole process, one for each authorization
// server. It turns any number of refreshes of one session, at the same time or
// later, into one request to the authorization server.
//
// # Why a lock is not enough
//
// An authorization server that rotates refresh tokens takes a second use of
// one for theft and ends the session (RFC 9700 section 4.14). Ten calls that
// fail together refresh once under a lock or a singleflight. But the eleventh
// 401, for a request that was sent before the refresh and answered after it,
// finds the lock free. So every refresh names the token that failed:
//
//	next, err := cache.Refresh(ctx, spent)
//
// and a token that has a successor is never presented again. The successor is
// stored before anybody sees it, under a key made of the old refresh token and
// sealed with it: who shows the old token is given the new one, a browser that
// never received its cookies included, and a copy of the Store opens nothing.
//
// # What ends a session
//
// Nothing but proof. An error matches [ErrLoginRequired] only if the
// authorization server said that the grant is dead and the Store, read again,
// knows no successor, or if the session was ended on purpose. A timeout, a
// failing server or a failing Store is transient; see package reason.
//
// # What cannot be promised
//
// Whoever holds an old refresh token while its successor is kept is given the
// successor, as with any authorization server that has a grace period. A
// process that dies, or stalls for longer than a lease, between presenting a
// token and storing its successor costs one more presentation, which a strict
// server may refuse; the reason is then [reason.Ambiguous]. Without a [Store]
// nothing outlives the process; one that loses what it held may cost each session
// one presentation more. A process rests for a second on what it has just seen
// come of a refresh token, so that a Refresh may miss a logout by another replica
// for that long. An access token works until it ends, also
// after [Coordinator.Revoke]: nobody asks the authorization server on the way.
// [Cache.CatchUp] notices at no cost what this process has ended.
package tokencache

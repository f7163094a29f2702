package tokencache

import (
	"context"

	"github.com/rebearer/rebearer/internal/reentry"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// CatchUp moves the Cache to the newest Token that is known to have replaced
// the one it holds, whether or not the access token still works; [Cache.Changed]
// tells. It asks no authorization server and waits for no exchange in flight.
//
// The error is nil, or an [*Error] that is [ErrLoginRequired]: the session has
// been ended, and nothing of it should be served, even if the access token has
// time left.
//
// It costs next to nothing, and no I/O, unless this process has seen the Cache's
// refresh token replaced or ended, or the Cache has [Cache.Changed] and there are
// access tokens for several resources. What only other replicas have seen is
// otherwise learned at the next refresh, and so is what a Store that fails would
// tell.
func (c *Cache) CatchUp(ctx context.Context) error {
	if c == nil || c.coordinator == nil {
		return nil
	}
	now := c.Token()
	if !c.coordinator.traces.has(now) && !c.overtaken() {
		return nil
	}
	return c.catchUp(ctx, now)
}

// overtaken reports whether what this Cache has to hand over may not be the
// newest any more, and nobody here would know. With access tokens for several
// resources a session moves on whenever one of them ends, and a response that
// takes its time could bring a browser back to what it has left.
func (c *Cache) overtaken() bool {
	if c.coordinator.Store == nil || !c.coordinator.several.Load() {
		return false
	}
	_, changed := c.Changed()
	return changed
}

func (c *Cache) catchUp(ctx context.Context, now Token) error {
	ctx, cancel := context.WithTimeout(reentry.Mark(ctx), c.coordinator.lease())
	defer cancel()
	newest, end := c.coordinator.begin(claim{spent: now, since: c.born}).follow(ctx)
	if end != nil {
		return end
	}
	c.advance(now, newest, nil)
	return nil
}

// follow returns the newest link that can be reached without waiting, or how
// the session ended. Where something cannot be read, the search ends, though not
// at a link that only the past leads to: that one may have been cut, too, and a
// browser that is given it would be a thief at its next request.
func (x *exchange) follow(ctx context.Context) (Token, error) {
	at, sure, links, seen := x.spent, x.spent, 0, map[string]bool{}
	for links < maxLinks {
		seen[at.Refresh()] = true
		v, err := x.peek(ctx, derive(x.Realm, at.Refresh()), at)
		if err != nil {
			return sure, nil
		}
		x.learn(at, v.record)
		next := v.Token.token()
		switch {
		case v.ends():
			return Token{}, v.Failure.err(0)
		case next.Refresh() == at.Refresh(): // this authorization server does not rotate
			if next.newer(at) {
				return next, nil
			}
			return at, nil
		case !v.state.exchanged():
			return at, nil
		case seen[next.Refresh()]: // a ring has no newest link
			return x.spent, nil
		}
		if at = next; !v.past {
			sure = at
			links++
		}
	}
	return at, nil
}

// peek returns what is known of a refresh token now, held entries included.
func (x *exchange) peek(ctx context.Context, k keys, at Token) (view, error) {
	kept, _, unstored := x.kept(ctx, k, at)
	e, err := x.load(ctx, k.id)
	var r record
	if err == nil {
		if r, err = k.open(e); err != nil {
			err = &Error{Reason: reason.StoreFormat, Err: err, Unsent: true}
		}
	}
	switch {
	case unstored && (err != nil || !r.outranks(kept.record)):
		return kept, nil
	case err != nil:
		return view{}, err
	}
	return x.recalled(k, view{record: r, Entry: e}), nil
}

// learn leaves a trace of what r says of at.
func (x *exchange) learn(at Token, r record) {
	switch {
	case r.ends():
		x.traces.ended(at)
	case r.Token != nil:
		x.traces.replaced(at, r.Token.token())
	}
}

// ends reports whether the session is over.
func (r record) ends() bool {
	return r.state == over || r.state == failed && r.Failure.Reason.Ends()
}

// newer reports whether t was issued after u, and does not end before it.
func (t Token) newer(u Token) bool {
	sooner := !t.Expiry().IsZero() && t.Expiry().Before(u.Expiry())
	return t.Access() != u.Access() && u.older(t) && !sooner
}

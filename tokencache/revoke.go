package tokencache

import (
	"context"
	"errors"
	"time"

	"github.com/rebearer/rebearer/internal/reentry"
	"github.com/rebearer/rebearer/tokencache/event"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// Revoke ends the session that the Token belongs to, whichever generation of
// it is shown: it marks the whole chain as over, so that no refresh in flight
// brings it back, and then revokes the newest tokens at the authorization
// server.
//
// It does not end with ctx: a caller whose ctx ends returns at once, and the
// rest is still done. An [*Error] with reason.Store means that the session
// could not be marked; any other one that it is over here, but that the
// authorization server did not confirm it.
func (c *Coordinator) Revoke(ctx context.Context, t Token) error {
	return c.finish(ctx, t, func() error { return c.revoke(t, reason.LoggedOut) })
}

// Replace is Revoke for a browser that signs in anew: it ends the session of
// the old Token, which the browser showed, with [reason.Replaced]. It does
// nothing if by, what the browser is given now, is of the same session: the same
// refresh token, or one that the old one was exchanged for.
//
// An [*Error] with reason.Store or reason.StoreFormat means that nothing, or
// not all, was marked.
func (c *Coordinator) Replace(ctx context.Context, old, by Token) error {
	return c.finish(ctx, old, func() error {
		same, err := c.descends(old, by)
		if same || err != nil {
			return err
		}
		return c.revoke(old, reason.Replaced)
	})
}

// finish runs f, which ends the session of t, in a goroutine of its own.
func (c *Coordinator) finish(ctx context.Context, t Token, f func() error) error {
	if reentry.Marked(ctx) {
		return ErrReentrant
	}
	if t.IsZero() {
		return nil
	}
	if c.Store != nil && c.Realm == "" {
		return &Error{Reason: reason.Configuration, Err: errors.New("a Coordinator with a Store needs a Realm")}
	}
	c.work.add()
	done := guard(func() error {
		defer c.work.done()
		return f()
	}, func(why error) error { return &Error{Reason: reason.Panicked, Err: why} })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return left(ctx)
	}
}

func (c *Coordinator) revoke(t Token, why reason.Reason) error {
	told := event.Event{Kind: event.Ended, Began: time.Now(), Reason: why}
	x := c.begin(claim{spent: t})
	ctx := reentry.Mark(context.Background())
	newest, was, storeErr := x.bury(ctx, t, why)
	known := was.state != absent
	err := c.revokeAtServer(newest)
	if storeErr != nil {
		return storeErr
	}
	if err == nil && c.Revoker != nil && newest.Same(t) && !known {
		x.shorten(ctx, t)
	}
	if told.Err = err; !was.ends() { // it has been told why it ended first
		c.tell(told, "")
	}
	return err
}

// persistence is how long the end of a session tries to reach the Store.
const persistence = 5 * time.Second

// bury marks every link of the chain as over, from t on, and returns the
// newest, and what was known of that. An exchange in flight meets the mark when it
// publishes, and revokes what it got.
func (x *exchange) bury(ctx context.Context, t Token, why reason.Reason) (newest Token, was record, err error) {
	seen := map[string]bool{}
	for t.Refresh() != "" && !seen[t.Refresh()] {
		seen[t.Refresh()] = true
		k := derive(x.Realm, t.Refresh())
		if was, err = x.mark(ctx, k, why); err != nil {
			return t, was, err
		}
		next := was.Token.token()
		x.traces.ended(t)
		if next.IsZero() {
			break
		}
		t = next
	}
	return t, was, nil
}

// mark writes over under k and returns what was there. The tomb keeps the
// successor that is known there: if the next link cannot be marked now, a second
// Revoke must find it.
func (x *exchange) mark(ctx context.Context, k keys, why reason.Reason) (was record, err error) {
	began := time.Now()
	kept, _, unstored := x.kept(ctx, k, Token{})
	for {
		e, err := x.load(ctx, k.id)
		if err == nil {
			was, _ = k.open(e) // the end wins over what cannot be read, too
			if unstored && !was.outranks(kept.record) {
				was.Token = kept.Token
			}
			ok := was.state == over
			if !ok {
				tomb := record{state: over, nonce: newNonce(), payload: payload{
					Failure: &failure{Reason: why}, Token: was.Token,
				}}
				_, ok, err = x.swap(ctx, k, e.Version, tomb)
			}
			if ok {
				x.unjot(ctx, k.id)
				x.local.Swap(ctx, k.id, kept.Version, nil, 0)
				return was, nil
			}
		}
		if err != nil {
			if time.Since(began) > persistence {
				return record{}, err
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// descends reports whether t is of the session of old: the same refresh token,
// or in old's chain of successors. Whoever holds a successor was given it after
// it was stored, so that no exchange in flight can lead to t.
func (c *Coordinator) descends(old, t Token) (bool, error) {
	if t.Refresh() == "" {
		return t.Same(old), nil
	}
	ctx := reentry.Mark(context.Background())
	// What was cut counts here, whoever asks: it is given to nobody.
	x := c.begin(claim{spent: old, since: time.UnixMilli(0)})
	began, seen := time.Now(), map[string]bool{}
	for at := old; at.Refresh() != "" && !seen[at.Refresh()]; {
		if at.Refresh() == t.Refresh() {
			return true, nil
		}
		v, err := x.peek(ctx, derive(c.Realm, at.Refresh()), at)
		switch {
		case err == nil:
			seen[at.Refresh()] = true
			at = v.Token.token()
		case time.Since(began) > persistence, errors.Is(err, errFormat), errors.Is(err, errSeal):
			return false, err
		default:
			time.Sleep(100 * time.Millisecond)
		}
	}
	return false, nil
}

// shorten lets a tomb end soon that stands alone, once the server has confirmed
// the end and nothing was known of the token: an exchange that stands still may
// come long after, a refusal would be forgotten with the tomb over it, and an older
// link may lead here, as a birth tells, for longer. Tombs are not evicted, and
// anybody may log out with a token of his invention.
func (x *exchange) shorten(ctx context.Context, t Token) {
	k := derive(x.Realm, t.Refresh())
	if born, err := x.load(ctx, k.birth().id); err != nil || born.Version != "" {
		return
	}
	e, err := x.load(ctx, k.id)
	if err != nil || stateOf(e.Value) != over {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, x.lease())
	defer cancel()
	x.store.Swap(ctx, k.id, e.Version, e.Value, x.patience()+x.lease())
}

// revokeAtServer calls the Revoker with a deadline of its own.
func (c *Coordinator) revokeAtServer(t Token) error {
	if c.Revoker == nil || t.IsZero() {
		return nil
	}
	ctx, cancel := context.WithTimeout(reentry.Mark(context.Background()), c.timeout())
	defer cancel()
	done := guard(func() error { return c.Revoker.Revoke(ctx, t) },
		func(why error) error { return &Error{Reason: reason.Panicked, Err: why} })
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil {
		return nil
	}
	e := asError(err, t)
	c.warn("revocation failed", e)
	return e
}

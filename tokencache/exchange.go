package tokencache

import (
	"context"
	"errors"
	"time"

	"github.com/rebearer/rebearer/internal/claims"
	"github.com/rebearer/rebearer/internal/reentry"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// exchange is one flight. It follows the chain of successors from the token
// that was shown to the newest one, and presents that one's refresh token if
// its access token does not work any more.
type exchange struct {
	*Coordinator
	claim
	store  Store
	shared bool // other processes hold entries, and may die holding them

	newest Token // the end of the chain as far as it is known
}

func (c *Coordinator) begin(how claim) *exchange {
	x := &exchange{Coordinator: c, claim: how, store: c.Store, shared: c.Store != nil}
	if !x.shared {
		x.store = &c.local
	}
	return x
}

// maxLinks bounds how far a chain is followed in one call. A browser further
// behind is handed the link that was reached and goes on from there. Links of
// the past do not count: nobody could go on from there.
const maxLinks = 16

// run is the flight. It belongs to no caller: it ends when its own deadlines
// say so, and no value of a request is visible in it.
func (x *exchange) run() outcome {
	if !x.claim.ahead {
		defer x.doom(x.spent.Access())()
	}
	ctx := reentry.Mark(context.Background())
	out := x.walk(ctx)
	var e *Error
	// Without a cause it is the failure of somebody else, and was read from a
	// Store that works.
	if x.shared && x.AloneWhenStoreFails && errors.As(out.err, &e) && e.Reason == reason.Store && e.Unsent && e.Err != nil {
		x.warn("refreshing without the Store", e)
		x.store, x.shared = &x.local, false
		out = x.walk(ctx)
	}
	if !errors.Is(out.err, ErrLoginRequired) { // else nothing is served any more
		out.token = x.newest
	}
	return out
}

// walk follows the chain to its end.
func (x *exchange) walk(ctx context.Context) outcome {
	at, links, seen := x.spent, 0, map[string]bool{}
	for {
		seen[at.Refresh()] = true
		k := derive(x.Realm, at.Refresh())
		v, err := x.settled(ctx, k, at)
		if err != nil {
			return outcome{err: err}
		}
		x.learn(at, v.record)
		next := v.Token.token()
		switch {
		case v.past && !seen[next.Refresh()]:
			at = next // what it leads to may have been cut, too: no browser must be given that
			continue
		case v.state == over:
			return outcome{err: v.Failure.err(0)}
		case v.state.exchanged() && next.Refresh() != at.Refresh():
			x.newest = next
			if links++; seen[next.Refresh()] || links > maxLinks {
				return x.end() // no loop, even if a token was issued twice
			}
			at = next
			continue
		case v.Token != nil: // this authorization server does not rotate
			x.newest, at = next, next
		}
		if x.newest.replaces(x.spent) {
			return outcome{}
		}
		if v.state == failed {
			if rest := v.Failure.cooling(time.Now()); rest > 0 || v.Failure.Reason.Ends() {
				return outcome{err: v.Failure.err(rest)}
			}
		}
		if x.resting(ctx, k) {
			return outcome{err: &Error{Reason: reason.Rejected, RetryAfter: x.cooldown(), Unsent: true}}
		}
		next, again, err := x.lead(ctx, k, at, v)
		switch {
		case err != nil:
			return outcome{err: err, presented: true}
		case again:
			continue
		}
		x.newest = next
		return outcome{presented: true}
	}
}

// end is what a chain without an end comes to.
func (x *exchange) end() outcome {
	if x.newest.replaces(x.spent) {
		return outcome{}
	}
	return outcome{err: &Error{Reason: reason.Store, Err: errors.New("the chain of successors goes on"), Unsent: true}}
}

// view is what is known of one refresh token.
type view struct {
	record
	Entry
	stolen bool // its holder did not renew for a whole lease
	past   bool // it was cut, and is remembered here; see recall
}

// settled returns what is under k, once nobody is presenting it any more. A
// holder whose version stays the same for one lease on our own clock is gone:
// no clock is compared between machines.
func (x *exchange) settled(ctx context.Context, k keys, at Token) (view, error) {
	if v, ok := x.kept(ctx, k, at); ok {
		return x.deliver(ctx, k, v), nil
	}
	e, err := x.load(ctx, k.id)
	for {
		if err != nil {
			return view{}, err
		}
		r, err2 := k.open(e)
		if err2 != nil {
			return view{}, &Error{Reason: reason.StoreFormat, Err: err2, Unsent: true}
		}
		if r.state != held {
			return x.recalled(k, view{record: r, Entry: e}), nil
		}
		now, err2 := x.await(ctx, k.id, e.Version)
		switch {
		case err2 != nil:
			return view{}, err2
		case now.Version == e.Version && x.shared:
			return view{record: r, Entry: e, stolen: true}, nil
		}
		e = now
	}
}

// await returns the entry once it differs from old, or as it is after a whole
// lease. Without a shared Store the holder is a goroutine of this process,
// which always ends.
func (x *exchange) await(ctx context.Context, id, old string) (Entry, error) {
	if !x.shared {
		return x.store.Wait(ctx, id, old)
	}
	return x.wait(ctx, id, old, x.lease())
}

// pace keeps a Store whose Wait returns early each time from being asked in a
// tight loop.
const pace = 10 * time.Millisecond

// wait returns the entry once it differs from old, or as it is after d.
func (x *exchange) wait(ctx context.Context, id, old string, d time.Duration) (Entry, error) {
	wctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for {
		now, err := x.store.Wait(wctx, id, old)
		switch {
		case wctx.Err() != nil:
			return x.load(ctx, id)
		case err != nil:
			return Entry{}, storeError(err)
		case now.Version != old:
			return now, nil
		}
		select {
		case <-time.After(pace):
		case <-wctx.Done():
		}
	}
}

// kept returns the successor that the Store did not take, if there is one.
func (x *exchange) kept(ctx context.Context, k keys, at Token) (view, bool) {
	if !x.shared {
		return view{}, false
	}
	e, _ := x.local.Load(ctx, k.id)
	r, err := k.open(e)
	if err != nil || !r.state.exchanged() {
		return view{}, false
	}
	next := r.Token.token()
	return view{record: r, Entry: e}, next.replaces(x.spent) || next.Refresh() != at.Refresh()
}

// deliver brings the Store what it did not take, now that it may answer again.
// What counts is the end of the session, or somebody else's successor, if the
// Store has got that meanwhile.
func (x *exchange) deliver(ctx context.Context, k keys, kept view) view {
	e, err := x.load(ctx, k.id)
	if err != nil {
		return kept
	}
	r, err := k.open(e)
	if err != nil {
		return kept
	}
	if r.outranks(kept.record) {
		x.local.Swap(ctx, k.id, kept.Version, nil, 0)
		return view{record: r, Entry: e}
	}
	if _, ok, _ := x.swap(ctx, k, e.Version, kept.record); ok {
		x.local.Swap(ctx, k.id, kept.Version, nil, 0)
	}
	return kept
}

// outranks reports whether r, from the Store, counts rather than what the Store
// did not take.
func (r record) outranks(kept record) bool {
	mine, theirs := kept.Token.token(), r.Token.token()
	newer := mine.Refresh() == theirs.Refresh() && mine.Issued().After(theirs.Issued())
	return r.state == over || r.state.exchanged() && !newer
}

// load bounds one read of the Store.
func (x *exchange) load(ctx context.Context, id string) (Entry, error) {
	ctx, cancel := context.WithTimeout(ctx, x.lease())
	defer cancel()
	e, err := x.store.Load(ctx, id)
	if err != nil {
		return Entry{}, storeError(err)
	}
	return e, nil
}

// swap bounds one write of the Store.
func (x *exchange) swap(ctx context.Context, k keys, old string, r record) (Entry, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, x.lease())
	defer cancel()
	ttl := x.hold()
	if r.state == held { // it must not end before its exchange
		ttl = max(ttl, x.patience()+x.lease())
	}
	now, ok, err := x.store.Swap(ctx, k.id, old, k.seal(r), ttl)
	if err != nil {
		return Entry{}, false, storeError(err)
	}
	return now, ok, nil
}

func storeError(err error) *Error {
	if e, ok := err.(*Error); ok {
		return e
	}
	return &Error{Reason: reason.Store, Err: err, Unsent: true}
}

// call presents the refresh token, in a goroutine of its own and with a
// deadline of its own.
func (x *exchange) call(at Token) (Token, *Error) {
	ctx, cancel := context.WithTimeout(reentry.Mark(context.Background()), x.timeout())
	defer cancel()
	type answer struct {
		token Token
		err   *Error
	}
	// What looks at the answer is guarded, too: an error may be a nil of its
	// type, or panic when it is asked for its text.
	done := guard(func() answer {
		t, err := x.Refresher.Refresh(ctx, at)
		if err != nil {
			return answer{err: asError(err, at)}
		}
		t, bad := accept(at, t)
		return answer{t, bad}
	}, func(why error) answer {
		return answer{err: &Error{Reason: reason.Panicked, Err: why}}
	})
	var a answer
	select {
	case a = <-done:
	case <-ctx.Done():
		select {
		case a = <-done: // both at once: an answer is an answer
		default:
			a.err = &Error{Reason: reason.Timeout}
		}
	}
	return a.token, a.err
}

// accept completes an answer (RFC 6749 section 6) and checks what must hold
// before anybody may use it.
func accept(at, got Token) (Token, *Error) {
	if !visible(got.Access()) || got.part().header == nil {
		return Token{}, &Error{Reason: reason.Malformed, Err: ErrMalformedToken}
	}
	if subjectChanged(at, got) {
		return Token{}, &Error{Reason: reason.SubjectChanged}
	}
	now := time.Now()
	f := TokenFields{
		Access: got.Access(), Refresh: got.Refresh(), Type: got.Type(), Subject: got.Subject(),
		Issued: now, Expiry: got.Expiry(), RefreshExpiry: got.RefreshExpiry(),
	}
	if f.Subject == "" {
		f.Subject = at.Subject()
	}
	if f.Refresh == "" || f.Refresh == at.Refresh() {
		f.Refresh = at.Refresh()
		if f.RefreshExpiry.IsZero() {
			f.RefreshExpiry = at.RefreshExpiry()
		}
	}
	if !f.Expiry.After(now) {
		// Dead on arrival by our clock: one of the clocks is wrong, or the
		// server says nothing of use. Let the API decide.
		f.Expiry = time.Time{}
	}
	return newToken(f), nil
}

// subjectChanged reports whether a token belongs to somebody else than the one
// it replaces, as far as that can be read. Only like is compared with like: a
// subject that was said with another one, the access tokens' claims with each
// other. An ID token may name the same user differently.
func subjectChanged(at, got Token) bool {
	differ := func(a, b string) bool { return a != "" && b != "" && a != b }
	return differ(at.Subject(), got.Subject()) ||
		differ(claims.Parse(at.Access()).Subject, claims.Parse(got.Access()).Subject)
}

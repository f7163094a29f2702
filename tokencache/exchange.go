package tokencache

import (
	"context"
	"errors"
	"time"

	"github.com/rebearer/rebearer/internal/claims"
	"github.com/rebearer/rebearer/internal/reentry"
	"github.com/rebearer/rebearer/tokencache/event"
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

	newest Token    // the end of the chain as far as it is known
	path   []string // the refresh tokens on the way
	// doubtful: a write of ours has failed, and so may those of a holder have
	// that does not renew.
	doubtful bool
	rounds   int             // presentations
	told     *event.Exchange // the last one that was begun, if that is told
}

func (c *Coordinator) begin(how claim) *exchange {
	x := &exchange{Coordinator: c, claim: how, store: c.Store, shared: c.Store != nil}
	if !x.shared {
		x.store = &c.local
	}
	return x
}

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
	if out.presented {
		out.exchange = x.told
	}
	return out
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
		Key: got.Key(),
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
	return at.succeed(f), nil
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

package tokencache

import (
	"context"
	"errors"
	"time"

	"github.com/rebearer/rebearer/tokencache/reason"
)

// maxLinks bounds how far a chain is followed in one call. A browser further
// behind is handed the link that was reached and goes on from there. Links of
// the past do not count: nobody could go on from there.
const maxLinks = 16

// walk follows the chain to its end.
func (x *exchange) walk(ctx context.Context) (out outcome) {
	at, links, seen, resource := x.spent, 0, map[string]bool{}, x.spent.Resource()
	defer func() { out.path = x.path }()
	var found *Entry // what is under at's key, if that is known
	for {
		if !seen[at.Refresh()] {
			x.path = append(x.path, at.Refresh())
		}
		seen[at.Refresh()] = true
		k := derive(x.Realm, at.Refresh())
		v, err := x.settled(ctx, k, at, found)
		found = nil
		if err != nil {
			return outcome{err: err}
		}
		x.learn(at, v.record)
		next := v.Token.token().For(resource)
		switch {
		case v.Token != nil && v.state != over && next.Refresh() == "": // nobody of ours has written that
			return outcome{err: &Error{Reason: reason.StoreFormat, Err: errFormat, Unsent: true}}
		case v.past && !seen[next.Refresh()]:
			at = next // what it leads to may have been cut, too: no browser must be given that
			continue
		case v.state == over:
			return outcome{err: v.Failure.err(0)}
		case v.state.exchanged() && next.Refresh() != at.Refresh():
			if x.newest = next; v.fresh && next.replaces(x.spent) {
				return outcome{}
			}
			if !v.fresh {
				links++
			}
			if seen[next.Refresh()] || links > maxLinks {
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
		if e := v.heed(resource); e != nil {
			return outcome{err: e}
		}
		if x.resting(ctx, at.For(resource)) {
			return outcome{err: &Error{Reason: reason.Rejected, RetryAfter: x.cooldown(), Unsent: true}}
		}
		var again bool
		if next, found, again, err = x.lead(ctx, k, at, v); again {
			continue
		}
		if err == nil {
			x.newest = next
		}
		return outcome{err: err, presented: true}
	}
}

// heed returns the failure for which the refresh token is not to be presented yet,
// or ever.
func (v view) heed(resource string) *Error {
	if v.state != failed {
		return nil
	}
	for _, f := range []*failure{v.Failure, v.Refused[resource]} {
		if f == nil {
			continue
		}
		if rest := f.cooling(time.Now()); rest > 0 && f.concerns(resource) || f.Reason.Ends() {
			return f.err(rest)
		}
	}
	return nil
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
	fresh  bool // it was exchanged just now: nobody has presented its successor
}

// settled returns what is under k, once nobody is presenting it any more; see
// await for a holder that has died.
//
// An entry that was found is not read again. If none was, and the token may be
// presented at once, nothing is read either: most often nothing is there, and
// taking it tells.
func (x *exchange) settled(ctx context.Context, k keys, at Token, found *Entry) (view, error) {
	var e Entry
	var err error
	switch {
	case found != nil:
		e = *found
	default:
		if v, there, leads := x.kept(ctx, k, at); there {
			if v = x.deliver(ctx, k, v); leads {
				return v, nil
			}
		}
		if v, ok := x.seen(ctx, k, at); ok {
			return v, nil
		}
		if x.hopeful(ctx, k, at) {
			return view{}, nil
		}
		e, err = x.load(ctx, k.id)
	}
	for waited := false; ; waited = true {
		if err != nil {
			return view{}, err
		}
		r, err2 := k.open(e)
		if err2 != nil {
			return view{}, &Error{Reason: reason.StoreFormat, Err: err2, Unsent: true}
		}
		if r.state == held && x.leads.wait(k.id) { // it is ours, and may not have been stored
			return x.settled(ctx, k, at, nil)
		}
		if r.state != held {
			if waited {
				x.saw(k, r)
			}
			return x.recalled(k, view{record: r, Entry: e, fresh: waited}), nil
		}
		now, err2 := x.await(ctx, k.id, e.Version)
		switch {
		case err2 != nil:
			return view{}, err2
		case now.Version == e.Version && x.shared && x.doubtful:
			return view{}, &Error{Reason: reason.Store, Err: errDoubtful, Unsent: true}
		case now.Version == e.Version && x.shared:
			return view{record: r, Entry: e, stolen: true}, nil
		}
		e = now
	}
}

var errDoubtful = errors.New("nobody can be taken for dead while writes fail")

package tokencache

import (
	"context"
	"slices"
	"time"

	"github.com/rebearer/rebearer/tokencache/event"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// publish stores the successor before anybody sees it, and keeps trying.
func (l *leader) publish(ctx context.Context, got Token, began time.Time) (Token, bool, error) {
	mine := record{state: done, nonce: l.nonce, payload: payload{Token: sealable(got)}}
	now, err := l.put(ctx, mine, began.Add(l.patience()), func(r record) bool {
		// A successor is overwritten by nobody, and the end of the session
		// wins over all. Whoever holds the entry meanwhile does not: what works
		// is not thrown away for what he may get.
		return r.state == over || l.succeeded(r)
	})
	l.learn(l.at, now)
	switch {
	case err != nil:
		// The old token is spent, so this one must not be lost: this process
		// keeps it.
		l.local.Swap(ctx, l.id, l.localVersion(ctx), l.seal(mine), l.hold())
		l.learn(l.at, mine)
		l.jot(ctx, got)
		l.presented(event.Unstored, err, began)
		return got, false, nil
	case now.state == over:
		l.discard(got)
		l.presented(event.Dropped, now.Failure.err(0), began)
		return Token{}, false, now.Failure.err(0)
	case now.nonce != l.nonce:
		l.presented(event.Dropped, nil, began)
		return Token{}, true, nil // somebody else's presentation worked, too
	}
	l.jot(ctx, got)
	l.saw(l.keys, mine)
	l.aside(func() { l.beget(ctx, got) })
	if got.Access() == l.at.Access() {
		l.rest(got) // the next exchange would bring the same again
	}
	l.presented(event.Stored, nil, began)
	return got, false, nil
}

// succeeded reports whether r holds a successor other than the one that was
// spent here.
func (l *leader) succeeded(r record) bool {
	return r.state.exchanged() && !(l.from.state.exchanged() && r.nonce == l.from.nonce)
}

func (l *leader) localVersion(ctx context.Context) string {
	e, _ := l.local.Load(ctx, l.id)
	return e.Version
}

// put writes mine over whatever is there, unless final says that it stays, and
// returns what is there in the end. A Store that fails is tried until then.
func (l *leader) put(ctx context.Context, mine record, until time.Time, final func(record) bool) (record, *Error) {
	version, _ := l.last()
	pause, patience := 20*time.Millisecond, l.lease()/2
	for excuses := 3; ; {
		began := time.Now()
		now, ok, failed := l.attempt(ctx, version, mine, patience)
		stood := time.Since(began) > patience+l.retry() // still, as a process
		if ok {
			return mine, nil
		}
		patience = l.lease() / 2
		var unread error
		if failed != nil { // the outcome is unknown
			looked := time.Now()
			now, unread = l.load(ctx, l.id)
			stood = stood || time.Since(looked) > l.lease()+l.retry()
		}
		late := failed == nil || time.Now().After(until)
		if late && failed != nil && stood && excuses > 0 {
			late, excuses = false, excuses-1
		}
		if unread == nil {
			r, bad := l.open(now)
			ours := r.state == mine.state && r.nonce == l.nonce
			switch {
			case bad != nil:
				return record{}, &Error{Reason: reason.StoreFormat, Err: bad}
			case ours && !late: // again: what is not confirmed may get lost
				patience = l.lease()
			case ours, final(r):
				return r, nil
			}
			version = now.Version
			if failed != nil && !late && l.holds(now) {
				if renewed, ok := l.stay(ctx, version); ok {
					version, patience = renewed, l.lease()*5/6
				}
			}
		}
		if failed == nil {
			continue
		}
		// Not before it has looked: whoever stood still for long must hear of a
		// logout.
		if late {
			return record{}, storeError(failed)
		}
		time.Sleep(pause)
		pause = min(2*pause, time.Second, l.lease()/10) // or it may be taken for dead
	}
}

// stay tells those who wait that the entry's holder lives, and returns its
// version. Where a successor does not get through, what is as small as this may;
// then there is most of a lease for the next attempt.
func (l *leader) stay(ctx context.Context, version string) (now string, ok bool) {
	e, _, err := l.attempt(ctx, version, l.holding(), l.lease()/2)
	return e.Version, err == nil && l.holds(e)
}

// beget notes that a refresh token was issued to us, and which entry led to it.
// If the browser shows it one day, it has received it, and the older entry has
// served its time. Here the browser has shown at, so that goes for at itself.
func (l *leader) beget(ctx context.Context, got Token) {
	if got.Refresh() != l.at.Refresh() {
		k := derive(l.Realm, got.Refresh()).birth()
		l.swap(ctx, k, "", record{state: born, nonce: l.nonce, payload: payload{Prev: l.id, Before: l.before()}})
	}
	if l.shown && l.at.Same(l.spent) {
		l.receive(ctx)
	}
}

// before returns the entries that led to the one of at from what the browser
// showed: of several exchanges for one request it is given the last only. Their
// lives end with that of this one.
func (l *leader) before() (ids []string) {
	for _, refresh := range slices.Concat(l.trail, l.path) {
		if refresh != l.at.Refresh() {
			ids = append(ids, idOf(l.Realm, refresh))
		}
	}
	return ids[max(0, len(ids)-maxLinks):]
}

// receive cuts the life of the entry whose successor has arrived to Grace, and
// those of the ones before it.
func (l *leader) receive(ctx context.Context) {
	k := l.birth()
	note, err := l.load(ctx, k.id)
	if err != nil {
		return
	}
	r, err := k.open(note)
	if err != nil || r.Prev == "" {
		return
	}
	for _, id := range append(r.Before, r.Prev) {
		if e, err := l.load(ctx, id); err == nil && stateOf(e.Value) == done {
			l.remember(id, e.Value)
			ctx, cancel := context.WithTimeout(ctx, l.lease())
			l.store.Swap(ctx, id, e.Version, asReceived(e.Value), l.grace())
			if l.several.Load() {
				l.unjot(ctx, id)
			}
			cancel()
		}
	}
	ctx, cancel := context.WithTimeout(ctx, l.lease())
	defer cancel()
	l.store.Swap(ctx, k.id, note.Version, nil, 0)
}

// discard revokes tokens that came for a session which ended meanwhile.
func (l *leader) discard(t Token) {
	if l.Revoker == nil {
		return
	}
	l.aside(func() { l.revokeAtServer(t) })
}

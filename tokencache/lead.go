package tokencache

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/rebearer/rebearer/tokencache/reason"
)

// lead takes the entry of a refresh token, presents the token and publishes
// what came of it. again means that somebody else was faster; found is what
// there is then, if that is known.
func (x *exchange) lead(ctx context.Context, k keys, at Token, v view) (next Token, found *Entry, again bool, err error) {
	if x.Store != nil {
		leave := x.leads.enter(k.id)
		if leave == nil {
			x.leads.wait(k.id)
			return Token{}, nil, true, nil
		}
		defer leave()
	}
	release, full := x.slot()
	if full != nil {
		return Token{}, nil, false, full
	}
	defer release()
	if wait := x.pausing(); wait != nil {
		return Token{}, nil, false, wait
	}
	at = x.gather(ctx, at)
	l := &leader{exchange: x, keys: k, at: at, from: v.record, stolen: v.stolen, nonce: newNonce()}
	switch now, ok, slow, err := l.take(ctx, v.Version); {
	case slow:
		next, again, err = l.fail(ctx, &Error{Reason: reason.Store, Unsent: true, Err: errSlow}, time.Now())
		return next, nil, again, err
	case err != nil:
		return Token{}, nil, false, err
	case !ok:
		return Token{}, &now, true, nil
	}
	stop := l.renew(ctx)
	began := time.Now()
	got, failure := x.call(at)
	stop()
	if failure != nil {
		next, again, err = l.fail(ctx, failure, began)
	} else {
		next, again, err = l.publish(ctx, got, began)
	}
	return next, nil, again, err
}

// leader is the holder of one entry.
type leader struct {
	*exchange
	keys
	at     Token
	from   record // what the entry held before
	stolen bool   // from somebody who may have presented the token
	nonce  [nonceSize]byte

	mu      sync.Mutex
	version string    // of our entry, as of the last write that we know of
	renewed time.Time // when that write began
}

// risky reports whether the token may have been presented before. Who is alone
// cannot know.
func (l *leader) risky() bool {
	return l.stolen || l.from.Unanswered || l.Store != nil && !l.shared
}

func (l *leader) holding() record {
	return record{state: held, nonce: l.nonce, payload: payload{
		Unanswered: l.risky(), Tries: l.from.Tries, Refused: l.from.Refused, Timeout: l.patience().Milliseconds(),
		Token: l.from.Token,
	}}
}

var errSlow = errors.New("the Store takes longer than half a lease")

// take makes the entry ours. The presentation may begin only with half a lease
// left, or another replica might take us for dead before it has begun: if that
// is not to be had, the entry is ours and slow is true.
func (l *leader) take(ctx context.Context, version string) (now Entry, ok, slow bool, err error) {
	for range 3 {
		began := time.Now()
		now, ok, err = l.attempt(ctx, version, l.holding(), l.lease()/2)
		if err != nil {
			// The outcome is unknown. If the entry is as it was, then it
			// cannot be written, and trying again would be a loop.
			var unread error
			now, unread = l.load(ctx, l.id)
			if ok = l.holds(now); unread != nil || !ok && now.Version == version {
				return now, false, false, err
			}
			l.doubtful = !ok
		}
		if !ok {
			return now, false, false, nil
		}
		version = now.Version
		l.wrote(version, began)
		if !l.shared || time.Since(began) < l.lease()/2 {
			return now, true, false, nil
		}
	}
	return now, true, true, nil
}

// attempt bounds one write by what is of use, d. One that hangs must not cost the
// lease.
func (l *leader) attempt(ctx context.Context, version string, r record, d time.Duration) (Entry, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return l.swap(ctx, l.keys, version, r)
}

// holds reports whether the entry is ours.
func (l *leader) holds(e Entry) bool {
	r, _ := l.open(e)
	return r.state == held && r.nonce == l.nonce
}

func (l *leader) wrote(version string, began time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.version, l.renewed = version, began
}

func (l *leader) last() (version string, renewed time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.version, l.renewed
}

// renew keeps the lease until stop is called. Losing the entry ends it: whoever
// has it now is told by what we publish.
func (l *leader) renew(ctx context.Context) (stop func()) {
	if !l.shared {
		return func() {}
	}
	stopped, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer func() { recover() }() // a Store that panics ends the lease, not the process
		version, began := l.last()
		// Counted from the beginning of the last write, or the lease could end
		// while a slow Store is at the next one.
		next := began.Add(l.lease() / 3)
		for {
			select {
			case <-stopped.Done():
				return
			case <-time.After(time.Until(next)):
			}
			if stopped.Err() != nil { // both at once
				return
			}
			began = time.Now()
			now, renewed, err := l.attempt(ctx, version, l.holding(), l.lease()/2)
			switch {
			case err != nil: // the outcome is unknown: the next write tells
			case !l.holds(now):
				l.stolen = true
				return
			default: // if not by this write, then by one whose answer was lost
				version = now.Version
				l.wrote(version, began)
			}
			if next = began.Add(l.lease() / 3); !renewed {
				next = time.Now().Add(l.retry())
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// publish stores the successor before anybody sees it, and keeps trying.
func (l *leader) publish(ctx context.Context, got Token, began time.Time) (Token, bool, error) {
	mine := record{state: done, nonce: l.nonce, payload: payload{Token: sealable(got)}}
	now, err := l.put(ctx, mine, began.Add(l.patience()), func(r record) bool {
		// A successor is overwritten by nobody, and the end of the session
		// wins over all.
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
		l.warn("successor unstored", err)
		return got, false, nil
	case now.state == over:
		l.discard(got)
		return Token{}, false, now.Failure.err(0)
	case now.nonce != l.nonce:
		return Token{}, true, nil // somebody else's presentation worked, too
	}
	l.jot(ctx, got)
	l.saw(l.keys, mine)
	l.aside(func() { l.beget(ctx, got) })
	if got.Access() == l.at.Access() {
		l.rest(got) // the next exchange would bring the same again
	}
	l.info("refreshed", began)
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
	for {
		began := time.Now()
		now, ok, failed := l.attempt(ctx, version, mine, patience)
		stood := time.Since(began) > patience+l.retry() // still, as a process
		patience = l.lease()
		if ok {
			return mine, nil
		}
		var unread error
		if failed != nil { // the outcome is unknown
			looked := time.Now()
			now, unread = l.load(ctx, l.id)
			stood = stood || time.Since(looked) > l.lease()+l.retry()
		}
		late := failed == nil || time.Now().After(until) && !stood
		if unread == nil {
			r, bad := l.open(now)
			ours := r.state == mine.state && r.nonce == l.nonce
			switch {
			case bad != nil:
				return record{}, &Error{Reason: reason.StoreFormat, Err: bad}
			case ours && !late: // again: what is not confirmed may get lost
			case ours, final(r):
				return r, nil
			}
			version = now.Version
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

// aside runs f, for which nobody waits but [Coordinator.Wait].
func (c *Coordinator) aside(f func()) {
	c.work.add()
	go func() {
		defer c.work.done()
		<-guard(func() error { f(); return nil }, func(why error) error { return why })
	}()
}

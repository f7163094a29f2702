package tokencache

import (
	"context"
	"maps"
	"time"

	"github.com/rebearer/rebearer/tokencache/event"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// fail shares a failure, after it has looked whether somebody else succeeded.
func (l *leader) fail(ctx context.Context, e *Error, began time.Time) (Token, bool, error) {
	alone, beaten := event.Failed, event.Dropped
	if e.Unsent {
		alone, beaten = event.Unsent, event.Unsent
	}
	if resource := l.at.Resource(); resource != "" && e.Reason.Ends() && e.Reason != reason.SubjectChanged {
		// What is wrong may be the resource: some servers say invalid_grant where
		// consent is missing. The session's own exchange is what proves its end.
		e.Reason = reason.Unrecognised
	}
	if e.Reason.Ends() && e.Reason != reason.SubjectChanged {
		e.Reason = reason.Refused // whatever a Refresher calls it, that is for us to prove
		if found, err := l.elsewhere(ctx, began); err != nil {
			err.Unsent = false
			e = err // without the Store there is no proof
		} else if found {
			l.presented(event.Dropped, nil, began)
			return Token{}, true, nil
		} else if end := l.buried(ctx); end != nil {
			e, alone = end, event.Dropped // whoever ended it has told so
		} else if l.risky() {
			e.Reason = reason.Ambiguous
		}
	}
	if e.RetryAfter > 0 && !e.Reason.Ends() {
		l.pause(e.RetryAfter)
	}
	mine := record{state: failed, nonce: l.nonce, payload: l.verdict(e)}
	if e.Reason == reason.SubjectChanged {
		mine.state = over
	}
	now, err := l.put(ctx, mine, time.Now().Add(l.lease()), func(r record) bool {
		// Nor is somebody else's word that the session has ended, or that the token
		// may have been spent without an answer.
		others := r.nonce != l.nonce && (r.state == held || r.ends() || r.Unanswered && !mine.Unanswered)
		return r.state == over || l.succeeded(r) || others
	})
	l.learn(l.at, now)
	switch {
	case err != nil, now.nonce == l.nonce:
		l.presented(alone, e, began)
		if e.Reason.Ends() && alone == event.Failed {
			l.ended(e, began)
		}
		return Token{}, false, e
	case now.state == over:
		l.presented(beaten, now.Failure.err(0), began)
		return Token{}, false, now.Failure.err(0)
	}
	l.presented(beaten, nil, began)
	return Token{}, true, nil
}

// buried returns how the session was ended, if one of the entries that led here
// tells. Where a successor was not stored, nobody else comes from them to ours.
func (l *leader) buried(ctx context.Context) *Error {
	for _, refresh := range l.path {
		k := derive(l.Realm, refresh)
		e, err := l.load(ctx, k.id)
		if r, bad := k.open(e); err == nil && bad == nil && r.state == over {
			return r.Failure.err(0)
		}
	}
	return nil
}

// verdict is what others are to know of a failure.
func (l *leader) verdict(e *Error) payload {
	unanswered := !e.Unsent && !e.Reason.Ends() &&
		(e.Status < 400 || e.Status == 500 || e.Status == 502 || e.Status == 504)
	tries := l.from.Tries + 1
	cooldown := l.cooldown() << min(tries-1, 3)
	return payload{
		Refused: l.refused(),
		Failure: &failure{
			Reason: e.Reason, Status: e.Status, Code: e.Code, Resource: l.at.Resource(),
			Since: time.Now().UnixMilli(), For: max(cooldown, min(e.RetryAfter, maxPause)).Milliseconds(),
		},
		Unanswered: unanswered || l.risky(),
		Tries:      tries,
		Timeout:    l.rival().Milliseconds(),
		Token:      l.from.Token,
	}
}

// refused are the failures of other resources that are still to be heeded.
func (l *leader) refused() map[string]*failure {
	all, now := maps.Clone(l.from.Refused), time.Now()
	if all == nil {
		all = map[string]*failure{}
	}
	if f := l.from.Failure; f != nil && f.Resource != "" {
		all[f.Resource] = f
	}
	delete(all, l.at.Resource())
	maps.DeleteFunc(all, func(_ string, f *failure) bool { return f.cooling(now) == 0 })
	return all
}

// rival is how long somebody else who held the entry, and was given up, may yet
// take to succeed.
func (l *leader) rival() time.Duration {
	// Whatever is written there: nobody waits for ever, or holds a slot for it.
	most := 4 * l.patience()
	theirs := time.Duration(min(max(l.from.Timeout, 0), most.Milliseconds())) * time.Millisecond
	if l.stolen {
		return max(theirs, l.patience())
	}
	return theirs
}

// elsewhere reports, after a refusal, whether the token has a successor, or the
// session an end. It waits until a rival must have ended. A Store that cannot be
// read then is asked again for a lease.
func (l *leader) elsewhere(ctx context.Context, began time.Time) (found bool, err *Error) {
	deadline := began.Add(l.rival())
	e, failed := l.load(ctx, l.id)
	for {
		rest := time.Until(deadline)
		if failed != nil {
			if rest <= -l.lease() {
				return false, asError(failed, l.at)
			}
			time.Sleep(l.retry())
			e, failed = l.load(ctx, l.id)
			continue
		}
		r, bad := l.open(e)
		if bad != nil {
			return false, &Error{Reason: reason.StoreFormat, Err: bad}
		}
		if l.succeeded(r) || r.state == over {
			return true, nil
		}
		if !l.holds(e) && !l.stolen { // the lease was lost, and nobody has noticed
			l.stolen = true
			deadline = began.Add(l.rival())
			rest = time.Until(deadline)
		}
		if rest <= 0 {
			return false, nil
		}
		if l.holds(e) { // and stay its holder
			sent := time.Now()
			if now, ok, _ := l.swap(ctx, l.keys, e.Version, l.holding()); ok {
				l.wrote(now.Version, sent)
				e = now
			}
		}
		e, failed = l.wait(ctx, l.id, e.Version, min(rest, l.lease()/3))
	}
}

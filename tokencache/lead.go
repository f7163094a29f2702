package tokencache

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rebearer/rebearer/tokencache/event"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// maxRounds bounds how often one exchange presents a refresh token. It does so again
// where somebody has taken it for dead, and has succeeded with what is of no use to
// it: an access token for another resource.
const maxRounds = 3

var errBeaten = errors.New("others took the entry, again and again")

// lead takes the entry of a refresh token, presents the token and publishes
// what came of it. again means that somebody else was faster; found is what
// there is then, if that is known.
func (x *exchange) lead(ctx context.Context, k keys, at Token, v view) (next Token, found *Entry, again bool, err error) {
	if x.rounds == maxRounds {
		return Token{}, nil, false, &Error{Reason: reason.Store, Err: errBeaten}
	}
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
	if x.told = nil; x.Observe != nil {
		x.told = new(event.Exchange)
	}
	switch now, ok, slow, err := l.take(ctx, v.Version); {
	case slow:
		next, again, err = l.fail(ctx, &Error{Reason: reason.Store, Unsent: true, Err: errSlow}, time.Now())
		return next, nil, again, err
	case err != nil:
		return Token{}, nil, false, err
	case !ok:
		return Token{}, &now, true, nil
	}
	x.rounds++
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
		Unanswered: l.risky(), Tries: l.from.Tries, Refused: l.refused(), Timeout: l.patience().Milliseconds(),
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
			if l.doubtful = !ok; now.Version == version { // it is ours by an earlier write
				_, began = l.last()
			}
		}
		if !ok && !l.holds(now) {
			return now, false, false, nil
		}
		version = now.Version
		if !ok { // ours, by a write that has just come, late
			continue
		}
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

// aside runs f, for which nobody waits but [Coordinator.Wait].
func (c *Coordinator) aside(f func()) {
	c.work.add()
	go func() {
		defer c.work.done()
		<-guard(func() error { f(); return nil }, func(why error) error { return why })
	}()
}

package tokencache

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/rebearer/rebearer/tokencache/reason"
)

// lead takes the entry of a refresh token, presents the token and publishes
// what came of it. again means that somebody else was faster.
func (x *exchange) lead(ctx context.Context, k keys, at Token, v view) (next Token, again bool, err error) {
	release, full := x.slot()
	if full != nil {
		return Token{}, false, full
	}
	defer release()
	if wait := x.pausing(); wait != nil {
		return Token{}, false, wait
	}
	l := &leader{exchange: x, keys: k, at: at, from: v.record, stolen: v.stolen, nonce: newNonce()}
	if ok, err := l.take(ctx, v.Version); !ok || err != nil {
		return Token{}, err == nil, err
	}
	stop := l.renew(ctx)
	began := time.Now()
	got, failure := x.call(at)
	stop()
	if failure != nil {
		return l.fail(ctx, failure, began)
	}
	return l.publish(ctx, got, began)
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
	version string // of our entry, as of the last write that we know of
}

// risky reports whether the token may have been presented before.
func (l *leader) risky() bool { return l.stolen || l.from.Unanswered }

func (l *leader) holding() record {
	return record{state: held, nonce: l.nonce, payload: payload{
		Unanswered: l.risky(), Tries: l.from.Tries, Timeout: l.patience().Milliseconds(),
	}}
}

// take makes the entry ours. The presentation may begin only with half a lease
// left, or another replica might take us for dead before it has begun.
func (l *leader) take(ctx context.Context, version string) (ok bool, err error) {
	for range 3 {
		began := time.Now()
		now, ok, err := l.swap(ctx, l.keys, version, l.holding(), l.hold())
		if err != nil {
			// The outcome is unknown: if the entry holds our nonce, it is ours.
			if now, err = l.load(ctx, l.id); err != nil {
				return false, err
			}
			r, _ := l.open(now)
			ok = r.state == held && r.nonce == l.nonce
		}
		if !ok {
			return false, nil
		}
		version = now.Version
		l.setVersion(version)
		if !l.shared || time.Since(began) < l.lease()/2 {
			return true, nil
		}
	}
	return false, &Error{Reason: reason.Store, Unsent: true}
}

func (l *leader) setVersion(v string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.version = v
}

func (l *leader) lastVersion() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.version
}

// renew keeps the lease until stop is called. Losing the entry ends it: whoever
// has it now is told by what we publish.
func (l *leader) renew(ctx context.Context) (stop func()) {
	if !l.shared {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(l.lease() / 3)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			now, ok, err := l.swap(context.WithoutCancel(ctx), l.keys, l.lastVersion(), l.holding(), l.hold())
			switch {
			case err != nil: // perhaps the next one
				if now, err := l.load(context.WithoutCancel(ctx), l.id); err == nil {
					if r, _ := l.open(now); r.state == held && r.nonce == l.nonce {
						l.setVersion(now.Version)
					}
				}
			case !ok:
				l.stolen = true
				return
			default:
				l.setVersion(now.Version)
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
	now, err := l.put(ctx, mine, began, func(r record) bool {
		// A successor is overwritten by nobody, unless it is the one that was
		// spent here; and the end of the session wins over all.
		return r.state == over || r.state.exchanged() && r.nonce != l.from.nonce
	})
	switch {
	case err != nil:
		// The old token is spent, so this one must not be lost: this process
		// keeps it.
		l.local.Swap(ctx, l.id, l.localVersion(ctx), l.seal(mine), l.hold())
		l.warn("successor unstored", err)
	case now.state == over:
		l.discard(got)
		l.newest = Token{}
		return Token{}, false, l.ended(now.Failure)
	case now.nonce != l.nonce:
		return Token{}, true, nil // somebody else's presentation worked, too
	}
	l.beget(ctx, got)
	l.info("refreshed", began)
	return got, false, nil
}

func (l *leader) localVersion(ctx context.Context) string {
	e, _ := l.local.Load(ctx, l.id)
	return e.Version
}

// put writes mine over whatever is there, unless final says that it stays, and
// returns what is there in the end. It gives up when the patience of all who
// wait is over.
func (l *leader) put(ctx context.Context, mine record, began time.Time, final func(record) bool) (record, *Error) {
	version, pause := l.lastVersion(), 20*time.Millisecond
	for {
		now, ok, err := l.swap(ctx, l.keys, version, mine, l.hold())
		if ok {
			return mine, nil
		}
		if err == nil {
			r, bad := l.open(now)
			switch {
			case bad != nil:
				return record{}, &Error{Reason: reason.StoreFormat, Err: bad}
			case r.state == mine.state && r.nonce == l.nonce, final(r):
				return r, nil
			}
			version = now.Version
			continue
		}
		if time.Since(began) > l.patience() {
			return record{}, storeError(err)
		}
		time.Sleep(pause)
		pause = min(2*pause, time.Second)
		if now, err := l.load(ctx, l.id); err == nil {
			version = now.Version
			if r, bad := l.open(now); bad == nil && (r.state == mine.state && r.nonce == l.nonce || final(r)) {
				return r, nil
			}
		}
	}
}

// beget notes that a refresh token was issued to us, and which entry led to it.
// If the browser shows it one day, it has received it, and the older entry has
// served its time. Here the browser has shown at, so that goes for at itself.
func (l *leader) beget(ctx context.Context, got Token) {
	if l.shown && l.from.state == born && l.at.Same(l.spent) {
		l.receive(ctx, l.from.Prev)
	}
	if got.Refresh() == l.at.Refresh() {
		return
	}
	k := derive(l.Realm, got.Refresh())
	r := record{state: born, nonce: l.nonce, payload: payload{Prev: l.id}}
	now, ok, err := l.swap(ctx, k, "", r, l.hold())
	if err == nil && !ok && stateOf(now.Value).exchanged() {
		// The server has issued this token before, and has done so again.
		l.swap(ctx, k, now.Version, r, l.hold())
	}
}

// receive cuts the life of an entry whose successor has arrived to Grace.
func (l *leader) receive(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(ctx, l.lease())
	defer cancel()
	e, err := l.store.Load(ctx, id)
	if err == nil && stateOf(e.Value) == done {
		l.store.Swap(ctx, id, e.Version, asReceived(e.Value), l.grace())
	}
}

// fail shares a failure, after it has looked whether somebody else succeeded.
func (l *leader) fail(ctx context.Context, e *Error, began time.Time) (Token, bool, error) {
	if e.Reason == reason.Refused {
		if found, err := l.elsewhere(ctx, began); err != nil {
			err.Unsent = false
			e = err // without the Store there is no proof
		} else if found {
			return Token{}, true, nil
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
	now, err := l.put(ctx, mine, began, func(r record) bool {
		return r.state == over || r.state.exchanged() || r.state == held && r.nonce != l.nonce
	})
	l.report(e, began)
	switch {
	case err != nil:
		return Token{}, false, e
	case now.state == over:
		l.newest = Token{}
		return Token{}, false, l.ended(now.Failure)
	case now.nonce != l.nonce:
		return Token{}, true, nil
	}
	return Token{}, false, e
}

// verdict is what others are to know of a failure.
func (l *leader) verdict(e *Error) payload {
	unanswered := !e.Unsent && !e.Reason.Ends() &&
		(e.Status < 400 || e.Status == 500 || e.Status == 502 || e.Status == 504)
	tries := l.from.Tries + 1
	cooldown := l.cooldown() << min(tries-1, 3)
	return payload{
		Failure: &failure{
			Reason: e.Reason, Status: e.Status, Code: e.Code,
			Since: time.Now().UnixMilli(), For: max(cooldown, min(e.RetryAfter, maxPause)).Milliseconds(),
		},
		Unanswered: unanswered || l.risky(),
		Tries:      tries,
	}
}

// elsewhere reports, after a refusal, whether the token has a successor. Who
// stole the entry waits until its former holder must have ended.
func (l *leader) elsewhere(ctx context.Context, began time.Time) (found bool, err *Error) {
	deadline := began
	if l.stolen {
		deadline = began.Add(max(l.patience(), time.Duration(l.from.Timeout)*time.Millisecond))
	}
	for {
		e, err := l.load(ctx, l.id)
		if err != nil {
			return false, asError(err, l.at)
		}
		r, bad := l.open(e)
		if bad != nil {
			return false, &Error{Reason: reason.StoreFormat, Err: bad}
		}
		if r.state.exchanged() && r.nonce != l.from.nonce || r.state == over {
			return true, nil
		}
		rest := time.Until(deadline)
		if rest <= 0 {
			return false, nil
		}
		wctx, cancel := context.WithTimeout(ctx, min(rest, l.lease()/3))
		l.store.Wait(wctx, l.id, e.Version)
		cancel()
		if r.state == held && r.nonce == l.nonce { // stay its holder
			if now, ok, _ := l.swap(ctx, l.keys, e.Version, l.holding(), l.hold()); ok {
				l.setVersion(now.Version)
			}
		}
	}
}

// discard revokes tokens that came for a session which ended meanwhile.
func (l *leader) discard(t Token) {
	if l.Revoker == nil {
		return
	}
	c := l.Coordinator
	c.work.add()
	go func() {
		defer c.work.done()
		c.revokeAtServer(t)
	}()
}

func (l *leader) ended(f *failure) *Error { return f.err(0) }

func (c *Coordinator) log(level slog.Level, msg string, args ...any) {
	if c.Log != nil {
		c.Log.Log(context.Background(), level, "rebearer: "+msg, args...)
	}
}

func (l *leader) info(msg string, began time.Time) {
	l.log(slog.LevelInfo, msg, "session", l.id[:8], "took", time.Since(began))
}

func (c *Coordinator) warn(msg string, e *Error) {
	c.log(slog.LevelWarn, msg, "reason", string(e.Reason), "error", e.Error())
}

// report logs a failure: loudly if the operator has to act.
func (l *leader) report(e *Error, began time.Time) {
	level, msg := slog.LevelWarn, "refresh failed"
	switch {
	case e.Reason.Ends():
		level, msg = slog.LevelInfo, "session ended"
	case e.Reason.Misconfigured():
		level, msg = slog.LevelError, "refresh misconfigured"
	}
	l.log(level, msg, "session", l.id[:8], "reason", string(e.Reason), "status", e.Status,
		"code", e.Code, "took", time.Since(began), "error", e.Error())
}

package tokencache

import (
	"context"
	"time"
)

// What this process has just seen come of a refresh token, by its own doing or
// while it waited, it does not ask the Store for again: the calls of a page, and
// its tabs, fail one after the other within a moment. A logout by another
// replica may be missed for that long; [Cache.CatchUp] does not rest on it.
const moment = time.Second

func seenKey(id string) string { return "seen " + id }

// saw notes a successor. A value in memory begins with a zero, which is no
// format, so that it is evicted first.
func (x *exchange) saw(k keys, r record) {
	if !x.shared || !r.state.exchanged() {
		return
	}
	ctx, key := context.Background(), seenKey(k.id)
	was, _ := x.local.Load(ctx, key)
	x.local.Swap(ctx, key, was.Version, append([]byte{0}, k.seal(r)...), moment)
}

// seen returns what was seen, unless more has been seen since: that its session
// was ended, or that the successor was replaced. Where refresh tokens do not rotate,
// the spent access token may be the newer one, or nobody knows when it was issued.
func (x *exchange) seen(ctx context.Context, k keys, at Token) (view, bool) {
	e, _ := x.local.Load(ctx, seenKey(k.id))
	if len(e.Value) == 0 {
		return view{}, false
	}
	r, err := k.open(Entry{Value: e.Value[1:], Version: e.Version})
	if err != nil || x.traces.has(r.Token.token()) {
		return view{}, false
	}
	if r.Token.Refresh == at.Refresh() && (x.spent.Issued().IsZero() || r.Token.token().For(x.spent.Resource()).older(x.spent)) {
		return view{}, false
	}
	return view{record: r, fresh: true}, true
}

// hopeful reports whether a refresh token should be taken without a look at what
// became of it. It must be one that would be presented, and at once: a slot is
// free, nobody asked for a pause, and nothing is remembered of it here. A Store
// in this process is looked at for nothing.
func (x *exchange) hopeful(ctx context.Context, k keys, at Token) bool {
	if !x.shared || x.newest.replaces(x.spent) || x.pausing() != nil || !x.vacant() {
		return false
	}
	_, past := x.recall(k.id, x.since)
	return !past && !x.resting(ctx, at.For(x.spent.Resource()))
}

package sim_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// mishap lets a fault happen, now and then.
func (w *world) mishap() bool {
	w.leaves()
	if w.budget == 0 || !w.chance(w.danger()) {
		return false
	}
	w.budget--
	w.faults++
	f := pick(w, w.noAnswer, w.noAnswer, w.breaks, w.breaks, w.dies, w.dies, w.stalls, w.stalls, w.parts, w.parts, w.pauses, w.drags, w.empties, w.deafens)
	if w.skip[w.faults] {
		return false
	}
	if what := f(); what != "" {
		what = fmt.Sprintf("fault %d: %s", w.faults, what)
		w.happened, w.numbers = append(w.happened, what), append(w.numbers, w.faults)
		w.say("%s", what)
		return true
	}
	w.budget++
	return false
}

// danger is how likely a fault is, in percent: it matters most while something is
// being exchanged.
func (w *world) danger() int {
	most := 0
	for _, c := range w.pending {
		switch {
		case c.kind == refresh || c.kind == revoke:
			most = max(most, 8)
		case c.kind == swap:
			most = max(most, 12)
		case c.kind.ofStore():
			most = max(most, 4)
		}
	}
	return most
}

// leaves has a caller leave, or a response get lost. Neither is a fault: nothing
// may come of it.
func (w *world) leaves() {
	if len(w.live) == 0 || !w.chance(2) {
		return
	}
	q := w.live[w.rnd.IntN(len(w.live))]
	if q.granted != nil || q.lost {
		return // what a sign-in brings is nobody else's
	}
	q.lost = true
	w.cover("caller leaves", q.shown)
	w.say("%s is given up by its tab", q.name)
	if w.chance(70) {
		q.leave()
	}
}

// one returns a pending call of these kinds that is free to go.
func (w *world) one(kinds ...kind) *call {
	var some []*call
	for _, c := range w.pending {
		if slices.Contains(kinds, c.kind) && w.free(c) {
			some = append(some, c)
		}
	}
	if len(some) == 0 {
		return nil
	}
	return some[w.rnd.IntN(len(some))]
}

// noAnswer has a presentation, or a revocation, fail.
func (w *world) noAnswer() string {
	c := w.one(refresh, revoke)
	if c == nil {
		return ""
	}
	how := pick(w, "was never sent", "is lost before", "is lost after", "hangs", "hangs after", "503")
	w.cover("AS "+how, c.about)
	e := &tokencache.Error{Reason: reason.Network, Err: errCut}
	switch how {
	case "was never sent":
		e.Unsent = !c.applied
	case "503":
		if c.applied {
			break
		}
		e = &tokencache.Error{Reason: reason.Unavailable, Status: 503, RetryAfter: pick(w, 0, 2*time.Second)}
	case "is lost after":
		c.apply()
	case "hangs":
		c.ready = func() bool { return false }
		return fmt.Sprintf("%v hangs", c)
	case "hangs after":
		c.apply()
		c.ready = func() bool { return false }
		return fmt.Sprintf("%v arrives, and then hangs", c)
	}
	text := fmt.Sprintf("%v: %s", c, how)
	w.finish(c, answer{err: e})
	return text
}

// apply has the message arrive, if it has not.
func (c *call) apply() {
	if !c.applied {
		c.applied, c.answer = true, c.effect()
	}
}

// victim is where the next fault happens: most often where something is being
// exchanged.
func (w *world) victim() *replica {
	var busy []*replica
	for _, c := range w.pending {
		if c.kind == refresh && !slices.Contains(busy, c.replica) {
			busy = append(busy, c.replica)
		}
	}
	if len(busy) > 0 && w.chance(70) {
		return pick(w, busy...)
	}
	return pick(w, w.replicas...)
}

// breaks cuts one connection to the Store, before what was asked for is done, or
// after it.
func (w *world) breaks() string {
	c := w.one(load, swap, wait)
	if c == nil {
		return ""
	}
	how := "before"
	if w.chance(60) {
		how = "after"
		c.apply()
	}
	w.cover("Store cut "+string(c.kind)+" "+how, c.about)
	w.finish(c, answer{err: errCut})
	return fmt.Sprintf("the connection of %v breaks %s it is done", c, how)
}

// dies ends a process. Another one takes its place.
func (w *world) dies() string {
	r := w.victim()
	place := slices.Index(w.replicas, r)
	w.coverReplica("death", r)
	r.dead = true
	for _, c := range slices.Clone(w.pending) {
		if c.replica == r && c.kind != response {
			if w.chance(50) && c.ready == nil {
				c.apply() // it was on its way
			}
			w.pending = slices.DeleteFunc(w.pending, func(p *call) bool { return p == c })
		}
	}
	for _, q := range slices.Clone(w.live) {
		if q.to == r {
			q.broken()
		}
	}
	w.excuse(r, "death")
	if w.store == nil {
		w.forget("death")
	}
	fresh := w.start(place)
	return fmt.Sprintf("%s dies, %s takes its place", r.name, fresh.name)
}

// stalls has a process stand still, for a moment or for longer than a lease.
func (w *world) stalls() string {
	r := w.victim()
	d := w.spell()
	w.coverReplica("stall "+length(d), r)
	w.underWay(r)
	w.mu.Lock()
	if end := w.now().Add(d); end.After(r.stalled) {
		r.stalled = end
	}
	w.mu.Unlock()
	w.ails(r, "stall", d)
	return fmt.Sprintf("%s stands still for %v", r.name, d)
}

// parts cuts one replica off from the Store.
func (w *world) parts() string {
	r := w.victim()
	if w.store == nil {
		return ""
	}
	d := w.spell()
	w.coverReplica("cut off "+length(d), r)
	w.separate(r, d, w.chance(50))
	return fmt.Sprintf("%s is cut off from the Store for %v, hangs: %v", r.name, d, r.hangs)
}

// pauses stops the Store.
func (w *world) pauses() string {
	if w.store == nil {
		return ""
	}
	d, hangs := w.spell(), w.chance(50)
	for _, r := range w.replicas {
		w.coverReplica("Store down "+length(d), r)
		w.separate(r, d, hangs)
	}
	return fmt.Sprintf("the Store is away for %v, hangs: %v", d, hangs)
}

// drags has the Store take its time with what one replica asks.
func (w *world) drags() string {
	r := w.victim()
	if w.store == nil {
		return ""
	}
	d := w.spell()
	w.coverReplica("Store slow "+length(d), r)
	r.slow = w.now().Add(d)
	w.ails(r, "cut off", d)
	for _, c := range w.pending {
		if c.replica == r && c.kind.ofStore() {
			c.due = w.now().Add(w.patience(c))
		}
	}
	return fmt.Sprintf("the Store is slow to %s for %v", r.name, d)
}

func (w *world) separate(r *replica, d time.Duration, hangs bool) {
	w.underWay(r)
	r.apart, r.hangs = w.now().Add(d), hangs
	w.ails(r, "cut off", d)
}

// spell is how long something is wrong.
func (w *world) spell() time.Duration {
	most := pick(w, lease/4, 2*lease, 6*lease, 12*lease)
	d := time.Duration(1 + w.rnd.Int64N(int64(most)))
	w.wrong += d
	return d
}

func length(d time.Duration) string {
	if d < lease {
		return "for a moment"
	}
	return "past a lease"
}

// underWay has half of what a replica has sent to the Store arrive there, though
// the answer does not.
func (w *world) underWay(r *replica) {
	for _, c := range w.pending {
		if c.replica == r && c.kind.ofStore() && c.ready == nil && w.chance(50) {
			c.apply()
		}
	}
}

// empties has the Store lose what it holds, or only the last writes.
func (w *world) empties() string {
	if w.store == nil {
		return ""
	}
	for _, b := range w.browsers {
		w.cover("Store loses all", b.generation())
	}
	what := "the Store loses what it holds"
	if w.chance(50) {
		what = "the Store loses its last writes"
		since := w.now().Add(-time.Duration(w.rnd.Int64N(int64(2 * time.Second))))
		for _, u := range slices.Backward(w.store.last) {
			if u.at.Before(since) {
				break
			}
			w.store.entries[u.key] = u.was
			if u.was == nil {
				delete(w.store.entries, u.key)
			}
		}
	} else {
		clear(w.store.entries)
	}
	w.store.last = nil
	w.forget("lost Store")
	return what
}

// forget notes that what became of refresh tokens is known no more.
func (w *world) forget(why string) {
	w.emptied = true
	for _, g := range w.everyGeneration() {
		g.done, g.buried = time.Time{}, false
		for _, p := range g.presentations {
			p.excuse, p.gone = or(p.excuse, why), true
		}
	}
	for _, f := range w.server.families {
		f.left = time.Time{}
	}
	for _, c := range w.pending {
		c.excuse, c.lossy = or(c.excuse, why), true
		if c.kind.ofStore() && c.about != nil && c.applied { // who hears now that he holds it does not
			c.replica.owed[c.about.ticket] = why
		}
	}
}

// deafens has the messages of the Store to a replica get lost for a while.
func (w *world) deafens() string {
	r := w.victim()
	if w.store == nil {
		return ""
	}
	w.coverReplica("lost message", r)
	r.deaf = w.now().Add(time.Second)
	return fmt.Sprintf("%s hears no message of the Store for a second", r.name)
}

// heal ends what is wrong.
func (w *world) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.replicas {
		r.stalled, r.apart, r.deaf, r.slow = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	}
}

func (w *world) cut(r *replica) bool { return w.now().Before(r.apart) }

// refused reports whether the call is told at once that there is no Store.
func (w *world) refused(c *call) bool {
	r := c.replica
	return w.cut(r) && !r.hangs && !r.dead && !w.now().Before(r.stalled)
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

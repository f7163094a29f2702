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
	f := pick(w, w.noAnswer, w.noAnswer, w.breaks, w.breaks, w.dies, w.dies, w.stalls, w.stalls, w.parts, w.parts, w.pauses, w.drags, w.fills, w.empties, w.deafens)
	if w.rivals() {
		f = w.noAnswer
	} else if w.siege {
		f = pick(w, w.noAnswer, w.noAnswer, w.breaks, w.breaks, w.stalls, w.stalls, w.stalls, w.parts, w.fills, w.dies)
	}
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
		case c.kind == refresh && w.rivals():
			most = max(most, 50)
		case c.kind == refresh && w.siege:
			most = max(most, 20)
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

// rivals reports whether one process stands still before it presents a refresh token
// while another one, which has taken it for dead, presents the same, in a siege.
func (w *world) rivals() bool {
	if !w.siege {
		return false
	}
	still := map[*ticket]bool{}
	for _, c := range w.pending {
		if c.kind == refresh && !c.applied && w.now().Before(c.replica.stalled) {
			still[c.about.ticket] = true
		}
	}
	return slices.ContainsFunc(w.pending, func(c *call) bool { return c.kind == refresh && still[c.about.ticket] && w.free(c) })
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

// one returns a pending call of these kinds that can be cut off.
func (w *world) one(kinds ...kind) *call {
	var some []*call
	for _, c := range w.pending {
		if slices.Contains(kinds, c.kind) && (w.free(c) || c.kind == wait && w.open(c)) {
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
	if len(busy) > 0 && (w.siege || w.chance(70)) {
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
	c.replica.unread = w.now()
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

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

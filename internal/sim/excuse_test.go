package sim_test

import (
	"slices"
	"time"
)

// unread excuses a refusal that could not be believed, since the Store could not be
// read then: it is no proof, and the refresh token is presented again.
func (w *world) unread(c *call) {
	for _, p := range c.about.presentations {
		if p.by == c.replica && p.got == nil {
			p.excuse = or(p.excuse, "refusal without the Store")
		}
	}
}

// unwritten notes that a process could not take an entry.
func (w *world) unwritten(c *call) {
	if c.kind == swap && c.to == "held" && !c.renewal {
		c.replica.unsure[c.about.ticket] = c
	}
}

// lost notes that the answer to a presentation is lost.
func (w *world) lost(c *call) {
	if p := c.presentation; p != nil {
		p.excuse, p.gone = or(p.excuse, "lost answer"), true
	}
}

// outdated excuses what was presented once and comes back after Grace: nobody
// knows of it any more, and it looks like a thief's.
func (w *world) outdated(g *generation) {
	for _, p := range g.presentations {
		if next := p.got; next != nil && !next.shown.IsZero() && w.now().After(next.shown.Add(cutTo)) && !w.remembered(g, next) {
			p.age("Grace is over")
		}
	}
}

// age notes that nobody knows of the presentation any more.
func (p *presentation) age(why string) {
	p.excuse, p.gone, p.old = or(p.excuse, why), true, true
}

// expired reports whether the Store has no more of what it got then.
func (w *world) expired(since time.Time) bool {
	return w.hold > 0 && !since.IsZero() && !w.now().Before(since.Add(w.hold))
}

// remembered reports whether those who may present g are requests that began before
// Grace was over, in a process that has seen all: it has not forgotten.
func (w *world) remembered(g, next *generation) bool {
	if len(w.replicas) > 1 || w.started > 1 || w.emptied {
		return false
	}
	there := false
	for _, q := range w.live {
		if q.family() == g.family && q.began.After(next.shown.Add(cutTo)) {
			return false
		}
		there = there || q.family() == g.family
	}
	return there
}

// excuse notes that what the replica has presented, and did not store yet, may be
// presented once more.
func (w *world) excuse(r *replica, why string) {
	for _, g := range w.everyGeneration() {
		for _, p := range g.presentations {
			if p.by == r && (p.got == nil || !p.got.stored) {
				p.excuse, p.gone = worse(p.excuse, why), p.gone || why == "death"
			}
		}
	}
	for _, c := range w.pending {
		switch {
		case c.replica == r && c.kind == refresh:
			c.excuse = worse(c.excuse, why)
		case c.replica == r && c.kind == swap && c.about != nil: // it may have arrived, and the process does not know
			for _, p := range c.about.presentations {
				p.unsure = p.unsure || p.by == r
			}
		}
	}
}

// worse returns the excuse of two that excuses more: who stands still hears of the
// end of a session later, who is cut off does not.
func worse(a, b string) string {
	if a == "" || a == "stall" && b != "" {
		return b
	}
	return a
}

// ails notes a fault of some length. Short ones excuse nothing, unless there are
// several of them within a lease or two.
func (w *world) ails(r *replica, why string, d time.Duration) {
	soon := !r.ailed.IsZero() && w.now().Before(r.ailed.Add(2*lease))
	if w.store != nil && (d >= lease/2 || soon) {
		w.excuse(r, why)
	}
	if end := w.now().Add(d); end.After(r.ailed) {
		r.ailed = end
	}
}

// blur is how far two times can be apart of which nobody can tell which one comes
// first: a JWT's iat is in seconds, and of another clock than what processes note.
func (w *world) blur() time.Duration {
	d := time.Second + w.skew.Abs()
	if w.clocks {
		d += 2 * furthest
	}
	return d
}

// excused reports whether the Store may not have got what was exchanged last, or
// gets it once more, late.
func (g *generation) excused() bool {
	return slices.ContainsFunc(g.presentations, func(p *presentation) bool { return p.got == g && (p.excuse != "" || p.unsure) })
}

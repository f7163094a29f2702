package sim_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/rebearer/rebearer/tokencache"
)

// arrival looks at a message that was just sent.
func (w *world) arrival(c *call) {
	r := c.replica
	if r.dead {
		c.gone = true // it never was
		return
	}
	switch {
	case c.kind == swap && c.to == "held" && c.about != nil:
		r.tried[c.about.ticket] = c.at
	case c.kind == refresh:
		if t := r.tried[c.about.ticket]; w.store != nil && !w.now().Before(t.Add(lease/2+10*time.Millisecond)) {
			w.fail("%s presents %s with less than half a lease left", r.name, c.name)
		}
		if w.cut(r) && w.store != nil {
			w.fail("%s presents %s while it is cut off from the Store", r.name, c.name)
		}
		if w.now().Before(r.stalled) {
			c.excuse = "stall"
		}
		if w.now().Before(r.slow) {
			c.excuse = "cut off"
		}
		if why := r.owed[c.about.ticket]; why != "" {
			c.excuse, c.lossy = or(c.excuse, why), true
		}
	case c.request != nil:
		w.committed(c.request)
	}
}

// abandoned looks at a message for whose answer nobody waits any more.
func (w *world) abandoned(c *call) {
	w.say("      %v is abandoned", c)
	if c.kind.ofStore() && c.about != nil {
		w.unread(c)
	}
	if c.kind == refresh {
		c.excuse = or(c.excuse, "lost answer")
	}
	switch kept := c.kind == refresh || c.kind == revoke || c.kind == swap; {
	case !kept:
	case w.chance(30): // it arrives nevertheless
		c.apply()
	case w.chance(30): // and some time later
		late := &call{kind: response, name: c.name + " late", replica: c.replica, n: c.n, at: w.now()}
		late.due = late.at.Add(time.Duration(w.rnd.Int64N(int64(2 * timeout))))
		late.effect = func() answer {
			c.apply()
			w.lost(c)
			return answer{}
		}
		w.pending = append(w.pending, late)
	}
	w.lost(c)
}

// answered looks at what a caller gets to know.
func (w *world) answered(c *call, a answer) {
	if c.kind.ofStore() && c.about != nil && a.err != nil {
		w.unread(c)
	}
	if s, ok := a.value.(swapped); ok && s.ok && c.about != nil && stateOf(s.now.Value) == "done" {
		if _, known := c.replica.knows[c.about.ticket]; !known {
			c.replica.knows[c.about.ticket] = w.now()
		}
	}
	if c.kind != refresh {
		return
	}
	if c.applied && a.err != c.answer.err {
		w.lost(c)
	} else if t, ok := a.value.(tokencache.Token); ok && a.err == nil {
		got := w.server.byAccess[t.Access()]
		for _, p := range got.from.presentations {
			if p.got == got {
				p.answered = w.now()
			}
		}
	}
}

// unread excuses a refusal that could not be believed, since the Store could not be
// read then: it is no proof, and the refresh token is presented again.
func (w *world) unread(c *call) {
	for _, p := range c.about.presentations {
		if p.by == c.replica && p.got == nil {
			p.excuse = or(p.excuse, "refusal without the Store")
		}
	}
}

// lost notes that the answer to a presentation is lost.
func (w *world) lost(c *call) {
	if p := c.presentation; p != nil {
		p.excuse, p.gone = or(p.excuse, "lost answer"), true
	}
}

// presented checks that a refresh token is presented once, but for what excuses
// another time.
func (w *world) presented(g *generation, p *presentation) {
	w.presents++
	w.cover("presented", g)
	if w.server.mode == lasting {
		return
	}
	w.outdated(g)
	w.again(g, p)
	var plain int
	for _, p := range g.presentations {
		if p.excuse == "" {
			plain++
		}
	}
	if n := len(g.presentations); plain > 1 {
		w.fail("%s is presented %d times, of which %d without a cause", g.refresh, n, plain)
	}
	// Another replica may rest for a second on what it has seen.
	if f := g.family; !f.left.IsZero() && f.ended == "" && p.sent.After(f.left.Add(time.Second)) {
		w.fail("%s is presented after its session was ended at %v", g.refresh, f.left.Sub(began))
	}
}

// again checks that nobody presents what he has got the successor of, even where
// the Store did not take it.
func (w *world) again(g *generation, p *presentation) {
	for _, was := range g.presentations {
		if was.by != p.by || was.got == nil || was.got.stored || was.gone || was.answered.IsZero() || !p.sent.After(was.answered) {
			continue
		}
		if w.several {
			w.known("a process that takes an entry over from itself, for another resource")
			continue
		}
		w.fail("%s presents %s again, though it has got %s for it", p.by.name, g.refresh, was.got.text())
	}
}

// outdated excuses what was presented once and comes back after Grace: nobody
// knows of it any more, and it looks like a thief's.
func (w *world) outdated(g *generation) {
	for _, p := range g.presentations {
		if next := p.got; next != nil && !next.shown.IsZero() && w.now().After(next.shown.Add(cutTo)) && !w.remembered(g, next) {
			p.excuse, p.gone = or(p.excuse, "Grace is over"), true
		}
	}
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
		if c.replica == r && c.kind == refresh {
			c.excuse = worse(c.excuse, why)
		}
	}
}

// worse returns the excuse of two that excuses more: who stands still hears of the
// end of a session later, who is cut off does not.
func worse(a, b string) string {
	if a == "" || a == "stall" {
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

// written checks what a write does to the entry of a refresh token.
func (w *world) written(c *call, key string, was, now []byte) {
	g, noted := w.labelled(key)
	if g == nil {
		w.fail("an entry is named after no token: keysOf and tokencache/record.go differ")
	}
	if g == nil || noted != "" {
		return
	}
	from, to := stateOf(was), stateOf(now)
	w.counts["write "+from+" → "+to]++
	if bytes.Contains(now, []byte(g.refresh)) {
		w.fail("the Store can read %s", g.refresh)
	}
	exchanged := func(s string) bool { return s == "done" || s == "received" }
	switch {
	case from == "over" && to != "over":
		w.fail("%v overwrites the end of a session", c)
	case from == "done" && to == "done" && w.successorIn(g, was) == w.successorIn(g, now): // what is not confirmed is written again
	case w.server.mode != lasting && exchanged(from) && to != "received" && to != "over":
		w.fail("%v overwrites a successor", c)
	}
	switch to {
	case "received":
		if !slices.ContainsFunc(g.presentations, func(p *presentation) bool { return p.got != nil && !p.got.shown.IsZero() }) {
			w.fail("%v: no browser has shown the successor", c)
		}
	case "done":
		if s := w.successorIn(g, now); s == nil {
			w.fail("%v: it holds no successor", c)
		} else {
			s.stored = true
			if g.done.IsZero() {
				g.done = w.now()
			}
		}
	case "over":
		g.buried = g.done.IsZero()
	}
}

// seen checks that a token may be used: it was stored before, its session is not
// over.
func (w *world) seen(g *generation, where string) {
	if g.from == nil || w.store == nil {
		return
	}
	excuse := ""
	for _, p := range g.from.presentations {
		if p.got == g {
			excuse = p.excuse
		}
	}
	if !g.stored && excuse == "" {
		w.fail("%s is seen %s before it was stored", g.text(), where)
	}
	// Who stood still hears of it. Who is cut off cannot.
	if g.from.buried && w.server.mode != lasting && (excuse == "" || excuse == "stall") {
		w.fail("%s is seen %s after its session was ended", g.text(), where)
	}
}

// called checks what a call of the API is signed with.
func (w *world) called(r *replica, name, access string) {
	request, _, _ := strings.Cut(name, ".")
	for _, q := range w.live {
		if q.name != request || access == "" {
			continue
		}
		if w.calls[name]++; w.calls[name] > 2 {
			w.fail("%s is sent %d times", name, w.calls[name])
		}
		g := w.server.byAccess[access]
		switch {
		case g == nil:
			w.fail("%s: the API is shown a token that nobody issued", name)
		case q.shown == nil:
			w.fail("%s of nobody is signed with %s", name, g.text())
		case g.family != q.shown.family:
			w.fail("%s, which showed %s, is signed with %s", name, q.shown.text(), g.text())
		case g.issued.Before(q.shown.issued) && w.server.mode == lasting:
			w.known("an older access token of a server that does not rotate")
		case g.issued.Before(q.shown.issued) && !w.several:
			w.fail("%s, which showed %s, is signed with %s, an older one", name, q.shown.text(), g.text())
		default:
			w.seen(g, "by the API")
		}
	}
}

func (w *world) everyGeneration() (all []*generation) {
	for _, f := range w.server.families {
		for i, g := range f.generations {
			if w.server.mode != lasting || i == 0 {
				all = append(all, g)
			}
		}
	}
	return all
}

// idle returns an error if something is still in flight.
func (r *replica) idle() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return r.coordinator.Wait(ctx)
}

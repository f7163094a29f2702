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
		delete(r.unsure, c.about.ticket)
		if t := r.tried[c.about.ticket]; w.store != nil && c.excuse != "alone" && !w.now().Before(t.Add(lease/2+10*time.Millisecond)) {
			w.fail("%s presents %s with less than half a lease left", r.name, c.name)
		}
		if w.cut(r) && w.store != nil && c.excuse != "alone" {
			w.fail("%s presents %s while it is cut off from the Store", r.name, c.name)
		}
		if w.now().Before(r.stalled) {
			c.excuse = worse(c.excuse, "stall")
		}
		if w.now().Before(r.slow) {
			c.excuse = worse(c.excuse, "cut off")
		}
		if w.full.Sub(w.now()) >= lease/2 {
			c.excuse = worse(c.excuse, "cut off")
		}
		if why := r.owed[c.about.ticket]; why != "" {
			c.excuse, c.lossy = or(c.excuse, why), true
		}
	case c.request != nil:
		w.committed(c.request)
	case c.kind == api:
		w.signed(c)
	}
}

// signed notes what a request signs its calls with.
func (w *world) signed(c *call) {
	name, _, _ := strings.Cut(c.name, ".")
	g := w.server.byAccess[c.access]
	for _, q := range w.live {
		if q.name == name && g != nil {
			c.again = slices.Contains(q.used, g.ticket)
			q.used = append(q.used, g.ticket)
		}
	}
}

// abandoned looks at a message for whose answer nobody waits any more.
func (w *world) abandoned(c *call) {
	w.say("      %v is abandoned", c)
	if c.kind.ofStore() && c.about != nil {
		w.unread(c)
		w.unwritten(c)
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
		w.unwritten(c)
	}
	if s, ok := a.value.(swapped); ok && s.ok && c.about != nil && stateOf(s.now.Value) == "done" {
		if _, known := c.replica.knows[c.about.ticket]; !known {
			c.replica.knows[c.about.ticket] = w.now()
		}
	}
	if c.kind == api && a.value == "401" {
		w.unauthorized[c.name] = w.now()
	}
	if c.kind != refresh {
		return
	}
	if c.applied && a.err != c.answer.err {
		w.lost(c)
	} else if t, ok := a.value.(tokencache.Token); ok && a.err == nil {
		got := w.server.byAccess[t.Access()]
		if got.family.got.UnixMilli() == w.now().UnixMilli() {
			w.counts["two successors have one Issued stamp"]++
		}
		got.family.got = w.now()
		for _, p := range got.from.presentations {
			if p.got == got {
				p.answered = w.now()
			}
		}
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
	if p.excuse != "alone" {
		w.again(g, p)
	}
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
	if f := g.family; !f.left.IsZero() && f.ended == "" && !f.forked() && p.sent.After(f.left.Add(time.Second)) && !w.expired(f.left) {
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
		w.fail("%s presents %s again, though it has got %s for it", p.by.name, g.refresh, was.got.text())
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
	if from == "absent" && w.expired(g.touched) {
		for _, p := range g.presentations {
			p.age("Hold is over")
		}
	}
	g.touched = w.now()
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
	case "held":
		w.stolen(c, g, was, now)
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
		// Who was told of a successor that the Store has lost then is right to use it.
		if g.done.IsZero() && !g.past {
			g.buried = w.now()
		}
	}
}

// stolen checks that nobody is taken for dead by an exchange whose own write has
// failed: so may those of the holder.
func (w *world) stolen(c *call, g *generation, was, now []byte) {
	failed := c.replica.unsure[g.ticket]
	if failed == nil || failed.applied || failed.by != c.by || failed.n >= c.n { // it was not, or comes late itself
		return
	}
	if stateOf(was) == "held" && !bytes.Equal(was[:header], now[:header]) {
		w.fail("%v takes somebody for dead, and could not write before", c)
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
	// Who stood still hears of it, though it may have looked a second ago. Who is cut
	// off cannot, and where the Store has lost that somebody presents, the end of it
	// is not remembered for long.
	if buried := g.from.buried; !buried.IsZero() && !w.emptied && w.now().After(buried.Add(time.Second)) && !w.expired(buried) && w.server.mode != lasting && (excuse == "" || excuse == "stall") {
		w.fail("%s is seen %s after its session was ended", g.text(), where)
	}
}

// called checks what a call of the API is signed with.
func (w *world) called(c *call) {
	r, name, access := c.replica, c.name, c.access
	request, _, _ := strings.Cut(name, ".")
	for _, q := range w.live {
		if q.name != request || access == "" {
			continue
		}
		if w.calls[name]++; w.calls[name] > 2 {
			w.fail("%s is sent %d times", name, w.calls[name])
		}
		g := w.server.byAccess[access]
		since := q.began
		if t := w.unauthorized[name]; w.life == time.Hour && t.After(since) { // else it may have been renewed ahead
			since = t
		}
		switch {
		case g == nil:
			w.fail("%s: the API is shown a token that nobody issued", name)
		case q.shown == nil:
			w.fail("%s of nobody is signed with %s", name, g.text())
		case g.family != q.shown.family:
			w.fail("%s, which showed %s, is signed with %s", name, q.shown.text(), g.text())
		case g.issued.Before(q.shown.issued) && w.server.mode == lasting && (g.issued.Add(w.blur()).After(q.shown.issued) || w.opaque && (g.excused() || q.shown.excused()) || g.family.forked()):
			w.counts["limit: no clock tells which access token of a server that does not rotate is newer"]++
		case g.issued.Before(q.shown.issued) && w.server.mode == lasting && w.emptied:
			w.counts["limit: the Store has lost the newer access token of a server that does not rotate"]++
		case g.issued.Before(q.shown.issued) && !w.several:
			w.fail("%s, which showed %s, is signed with %s, an older one", name, q.shown.text(), g.text())
		case g.ticket != q.shown.ticket && !c.again && w.overtaken(r, since, g):
			w.fail("%s, which showed %s, is signed with %s, which %s has known to be replaced or ended", name, q.shown.text(), g.text(), r.name)
		default:
			w.seen(g, "by the API")
		}
	}
}

// overtaken reports whether the process had known by then, when it was told last that
// what it uses does not work, that there is something newer, or nothing any more.
func (w *world) overtaken(r *replica, since time.Time, g *generation) bool {
	if w.several || w.emptied || w.expired(g.done) || !r.ailed.Add(lease).Before(since) || !r.unread.Before(since) {
		return false
	}
	f, known := g.family, r.knows[g.ticket]
	return !known.IsZero() && known.Before(since) || f.leftBy == r && f.left.Before(since)
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

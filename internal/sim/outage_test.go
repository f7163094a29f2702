package sim_test

import (
	"fmt"
	"slices"
	"time"
)

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

// fills has the Store take no writes, while it can be read.
func (w *world) fills() string {
	if w.store == nil {
		return ""
	}
	d := w.spell()
	for _, r := range w.replicas {
		w.coverReplica("Store full "+length(d), r)
		w.ails(r, "cut off", d)
	}
	w.full = w.now().Add(d)
	return fmt.Sprintf("the Store is full for %v", d)
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
	if w.siege {
		d = max(d, pick(w, lease, 2*lease))
	}
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
		g.past = g.past || !g.done.IsZero()
		g.done, g.buried = time.Time{}, time.Time{}
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
	w.full = time.Time{}
	for _, r := range w.replicas {
		r.stalled, r.apart, r.deaf, r.slow = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	}
}

func (w *world) cut(r *replica) bool { return w.now().Before(r.apart) }

// refused reports whether the call is told at once that there is no Store, or no
// room in it.
func (w *world) refused(c *call) bool {
	r := c.replica
	switch {
	case r.dead, w.now().Before(r.stalled), w.cut(r) && r.hangs:
		return false
	}
	return w.cut(r) || c.kind == swap && !c.applied && w.now().Before(w.full)
}

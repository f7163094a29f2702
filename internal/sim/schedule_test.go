package sim_test

import (
	"net/http"
	"testing/synctest"
	"time"
)

const maxSteps = 1500

// run is the schedule: one thing at a time, until the tabs have had enough.
func (w *world) run() {
	if w.siege {
		w.rejects(w.browsers[0])
	}
	for w.steps < maxSteps {
		w.tick()
		if w.left == 0 && len(w.pending) == 0 && len(w.live) == 0 && len(w.next) == 0 {
			return
		}
		w.act()
	}
}

// tick waits until everybody waits for us, and takes in what they have sent. It
// costs a moment, so that no two timers of the world end together.
func (w *world) tick() {
	synctest.Wait()
	w.steps++
	time.Sleep(time.Duration(1000 + w.steps%997))
	synctest.Wait()
	w.collect()
	w.heed()
}

// act does the next thing.
func (w *world) act() {
	now := w.now()
	var ready []*call
	for _, c := range w.pending {
		if c.kind.ofStore() && w.refused(c) {
			w.say("%v is refused", c)
			w.finish(c, answer{err: errCut})
			return
		}
		if !w.free(c) {
			continue
		}
		if c.kind == wait && !c.woken {
			c.woken, c.due = true, now.Add(w.patience(c))
		}
		if !now.Before(c.due) {
			w.deliver(c)
			return
		}
		ready = append(ready, c)
	}
	if !w.calm && w.mishap() {
		return
	}
	switch n := w.rnd.IntN(10); {
	case len(w.next) > 0 && n < 3:
		follow := w.next[0]
		w.next = w.next[1:]
		follow()
	case len(ready) > 0 && n < 6:
		w.deliver(ready[w.rnd.IntN(len(ready))])
	case n < 8 && w.left > 0 && !w.calm && len(w.live) < 6:
		w.left--
		w.browse()
	default:
		w.pass(w.stride())
	}
}

// stride is how long time may pass at once: a moment, or as long as a person
// takes.
func (w *world) stride() time.Duration {
	if w.hasty && !w.calm && w.wrong == 0 {
		return time.Duration(1 + w.rnd.Int64N(int64(30*time.Millisecond)))
	}
	most := pick(w, 20*time.Millisecond, 300*time.Millisecond, 2*time.Second, 5*time.Second)
	if len(w.pending) == 0 && w.chance(40) {
		most = 80 * time.Second
	}
	return time.Duration(1 + w.rnd.Int64N(int64(most)))
}

// pass lets time pass, though not beyond what is due.
func (w *world) pass(d time.Duration) {
	now := w.now()
	until := now.Add(d)
	earlier := func(t time.Time) {
		if t.After(now) && t.Before(until) {
			until = t
		}
	}
	for _, c := range w.pending {
		if w.free(c) && c.due.After(now) {
			earlier(c.due)
		}
	}
	earlier(w.full)
	for _, r := range w.replicas {
		earlier(r.stalled)
		earlier(r.apart)
		earlier(r.deaf)
	}
	// In small pieces: what a timer sets off is to be met in time.
	for n := w.count(); w.now().Before(until) && w.count() == n; {
		time.Sleep(min(until.Sub(w.now()), 200*time.Millisecond))
		synctest.Wait()
	}
}

func (w *world) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.arrived)
}

// browse has a tab do something, or several of them at once.
func (w *world) browse() {
	b := w.browsers[w.rnd.IntN(len(w.browsers))]
	r := pick(w, w.replicas...)
	switch n := w.rnd.IntN(100); {
	case b.refresh == "" && n < 70, n < 2:
		w.signIn(b, r)
	case n < 4:
		w.signOut(b, r)
	case n < 29, w.hasty && n < 60:
		w.rejects(b)
	case n < 32:
		b.ask(r, "/auth/refresh", nil)
	case n < 57, w.hasty && n < 80:
		for range min(w.left, 1+w.rnd.IntN(4)) {
			w.left--
			b.visit(pick(w, w.replicas...), 0)
		}
	default:
		b.visit(r, 0)
	}
}

// visit opens a page, or fetches something.
func (b *browser) visit(r *replica, retries int) {
	w := b.w
	b.ask(r, "/page", func(q *request, h http.Header) {
		q.page, q.retries = w.chance(50), retries
		h.Set("Sim-Calls", w.wants())
		if w.chance(30) {
			h.Set("Sim-Parallel", "yes")
		}
		if w.chance(15) {
			h.Set("Sim-Stream", "yes")
		}
		if w.chance(10) {
			q.long = true
			h.Set("Sim-Long", "yes")
		}
		if w.chance(5) {
			q.passive = true
			h.Set("Sec-Purpose", "prefetch")
		}
	})
}

// wants are the calls of a page: of the API, and of another one where there are two.
func (w *world) wants() string {
	calls := "xxx"
	if w.several {
		calls = pick(w, "xxx", "xfx", "fxf", "ffx")
	}
	return calls[:w.rnd.IntN(4)]
}

func (w *world) signIn(b *browser, r *replica) {
	if w.chance(20) {
		b.user = pick(w, "alice", "bob", "carol")
	}
	g := w.server.signIn(b.user)
	if old := b.generation(); old != nil {
		old.family.replaced = !old.family.signedOut && old.family.ended == ""
		old.family.signedOut = true
	}
	b.ask(r, "/auth/login", func(q *request, h http.Header) { q.page, q.granted = true, g })
}

func (w *world) signOut(b *browser, r *replica) {
	if old := b.generation(); old != nil {
		old.family.signedOut, old.family.replaced = true, false
	}
	b.ask(r, "/auth/logout", func(q *request, h http.Header) { q.page = w.chance(50) })
}

// rejects has the API reject the access tokens that there are: its keys were
// changed, or somebody has revoked them.
func (w *world) rejects(b *browser) {
	if g := b.generation(); g != nil {
		w.rejected = true
		w.say("the API accepts no access token of %s any more", g.family.name)
		for _, g := range g.family.generations {
			g.revoked = true
		}
	}
}

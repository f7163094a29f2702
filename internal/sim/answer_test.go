package sim_test

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rebearer/rebearer/tokencache/reason"
)

// committed checks the header of a response, when it is written.
func (w *world) committed(q *request) {
	if q.shown != nil && q.path == "/auth/logout" || q.path == "/auth/login" {
		w.leaving(q)
	}
	carried := &browser{w: w}
	for _, line := range q.lines {
		carried.set(line)
	}
	if g := carried.generation(); g != nil {
		want := q.shown
		if q.granted != nil {
			want = q.granted
		}
		switch {
		case want == nil || g.family != want.family:
			w.fail("%s, which showed %s, is given %s", q.name, q.shown.text(), g.text())
		case !w.pair(carried.access, g):
			w.fail("%s is given two tokens that are no pair", q.name)
		default:
			w.seen(g, "in a cookie")
			w.newest(q, g)
		}
		if q.cache != "private, no-store" {
			w.fail("%s sets cookies, and may be cached: %q", q.name, q.cache)
		}
	}
	if q.status == http.StatusInternalServerError {
		w.fail("%s, which showed %s, is answered with 500", q.name, q.shown.text())
	}
	toLogin := q.status == http.StatusSeeOther && strings.HasPrefix(q.location, "/login") && q.path != "/auth/logout"
	if q.granted == nil && (q.signsOut() || toLogin) {
		w.ends(q)
	}
	f := q.family()
	switch again := q.signsOut() && q.path != "/auth/logout" && f != nil && f.replaced && !w.emptied; {
	case !again || w.now().After(f.left.Add(timeout)):
	case f.broken(), q.to.isAlone(), f.forked():
		w.counts["limit: a sign-in does not reach what the Store never had, and that clears its cookies"]++
	default:
		w.fail("%s, which showed %s, clears the cookies of the session that has replaced it", q.name, q.shown.text())
	}
}

// broken reports whether somebody has got a successor that the Store has never
// had: who ends the session elsewhere does not reach that link, and it is refused.
func (f *family) broken() bool {
	for _, g := range f.generations {
		for _, p := range g.presentations {
			if p.got != nil && !p.got.stored {
				return true
			}
		}
	}
	return false
}

// forked reports whether somebody has presented a refresh token of it without the
// Store, so that it may have two chains of successors.
func (f *family) forked() bool {
	for _, g := range f.generations {
		if slices.ContainsFunc(g.presentations, func(p *presentation) bool { return p.excuse == "alone" }) {
			return true
		}
	}
	return false
}

// pair reports whether an access token goes with a refresh token. Where there are
// two APIs, it may have been there before.
func (w *world) pair(access string, g *generation) bool {
	if a := w.server.byAccess[access]; w.several && a != nil {
		return a.what == "" && a.family == g.family
	}
	return access == g.access
}

func (q *request) family() *family {
	if q.shown == nil {
		return nil
	}
	return q.shown.family
}

// newest checks that a browser is given the newest pair that is known.
func (w *world) newest(q *request, g *generation) {
	r, f, now := q.to, g.family, w.now()
	if w.server.mode == lasting || q.granted != nil || q.lost || now.Before(r.ailed.Add(lease)) || w.emptied {
		return
	}
	if w.expired(g.done) {
		return
	}
	if !g.done.IsZero() && g.done.Add(2*time.Second).Before(q.began) {
		w.fail("%s is given %s, which was exchanged %v before it began", q.name, g.text(), q.began.Sub(g.done))
	}
	if t, ok := r.knows[g.ticket]; ok && t.Add(2*time.Second).Before(now) {
		w.fail("%s is given %s, which %s has known to be exchanged for %v", q.name, g.text(), r.name, now.Sub(t))
	}
	switch {
	case f.leftBy != r || f.left.IsZero() || !f.left.Add(2*time.Second).Before(now):
	default:
		w.fail("%s is given %s, whose session %s has ended %v ago", q.name, g.text(), r.name, now.Sub(f.left))
	}
}

// ends checks that a session has ended for a cause.
func (w *world) ends(q *request) {
	if q.shown == nil {
		return
	}
	if f := q.shown.family; f.ended == "" && !f.signedOut && !w.forfeited(f) {
		w.fail("%s, which showed %s, is signed out without proof (%d)", q.name, q.shown.text(), q.status)
	}
}

// leaving notes that somebody has signed out, or in anew, for good.
func (w *world) leaving(q *request) {
	if q.shown == nil || q.granted != nil && q.granted.family == q.shown.family {
		return
	}
	r := q.to
	well := r.ailed.Before(q.began) && q.status < 400 && w.now().Sub(q.began) < 2*timeout/10
	if f := q.shown.family; well && f.left.IsZero() && !w.emptied {
		f.left, f.leftBy = w.now(), r
	}
}

// forfeited reports whether a session is lost although its server does not say so:
// what it was exchanged for last has never reached us, or is lost.
func (w *world) forfeited(f *family) bool {
	for _, g := range f.generations {
		for _, p := range g.presentations {
			if p.excuse == "alone" && p.got == nil { // who is alone does not know better
				return true
			}
		}
	}
	if w.server.mode != plain {
		return false
	}
	for _, g := range f.generations {
		refused := time.Time{}
		for _, p := range g.presentations {
			if p.got == nil && refused.IsZero() {
				refused = p.sent
			}
		}
		for _, p := range g.presentations {
			late := p.excuse != "" && !w.now().Before(refused.Add(timeout+4*time.Second))
			if p.got != nil && !refused.IsZero() && (p.gone || late) {
				return true
			}
		}
	}
	return false
}

// complete looks at an answer as a whole.
func (q *request) complete() {
	w := q.w
	q.leave()
	if q.over {
		return
	}
	q.over = true
	w.remove(q)
	w.counts["answer "+http.StatusText(q.status)]++
	if took := w.now().Sub(q.began); took > time.Minute+w.wrong && !q.long {
		w.fail("%s takes %v", q.name, took)
	}
	if w.faults == 0 && !w.rejected && w.life >= time.Minute && q.status >= 500 && !q.lost {
		w.fail("%s is answered with %d, and nothing is wrong", q.name, q.status)
	}
	if q.shown != nil {
		for _, user := range []string{"alice", "bob", "carol"} {
			if strings.Contains(q.body, "["+user+"]") && user != q.shown.family.user {
				w.fail("%s, which showed %s, is told of %s", q.name, q.shown.text(), user)
			}
		}
		if reason.Reason(q.why).Ends() {
			w.ends(q)
		}
		lives := !w.opaque && q.shown.family.ended == "" && !q.shown.family.signedOut && !q.lost
		if old := q.began.Sub(q.expiry); lives && q.status == http.StatusOK && q.path == "/page" && !q.passive && len(q.lines) == 0 && old > time.Minute {
			w.fail("%s shows %s, which ended %v ago, and is given nothing newer", q.name, q.shown.text(), old)
		}
	}
	if !q.lost && !q.last {
		w.follow(q)
	}
}

// broken is a request whose server has died.
func (q *request) broken() {
	q.over = true
	q.leave()
	q.w.remove(q)
}

// follow is what a browser does next, by itself or because somebody asks for it.
func (w *world) follow(q *request) {
	if q.retries >= 2 {
		return
	}
	somebody := func() *replica { return w.replicas[w.rnd.IntN(len(w.replicas))] }
	again := func() { q.tab.visit(somebody(), q.retries+1) }
	switch {
	case q.status == http.StatusTemporaryRedirect:
		w.next = append(w.next, again)
	case q.status == http.StatusUnauthorized && q.spent != "" && q.path == "/page":
		w.next = append(w.next, func() {
			q.tab.ask(somebody(), "/auth/refresh", func(next *request, h http.Header) {
				h.Set("Rebearer-Spent", q.spent)
				next.retries = q.retries + 1
			})
		})
	case q.path == "/auth/refresh" && q.status == http.StatusNoContent && q.retries > 0:
		w.next = append(w.next, again)
	}
}

// works checks the second request after everything has come to rest.
func (w *world) works(q *request) {
	if q.shown == nil {
		if q.status != http.StatusSeeOther {
			w.fail("%s shows nothing, and is answered with %d", q.name, q.status)
		}
		return
	}
	f := q.shown.family
	switch {
	case f.ended != "" || f.signedOut || w.forfeited(f):
		if q.status == http.StatusSeeOther || q.status == http.StatusOK || (w.scoped || f.forked()) && q.status == http.StatusUnauthorized {
			w.counts["session over: "+w.cause(f)]++
			return
		}
		w.fail("%s shows %s, which has ended, and is answered with %d", q.name, q.shown.text(), q.status)
	case q.status == http.StatusUnauthorized && w.server.mode == lasting && f.forked():
		w.counts["limit: what was got without the Store is older, and is tried first"]++
	case q.status == http.StatusUnauthorized && w.server.mode == lasting && w.opaque && slices.ContainsFunc(f.generations, (*generation).excused):
		w.counts["limit: no clock tells which access token of a server that does not rotate is newer"]++
	case q.status != http.StatusOK || q.body != "["+f.user+"]":
		w.fail("%s of %s does not work: %d %.40q", q.name, q.shown.text(), q.status, q.body)
	default:
		w.counts["session lives"]++
	}
}

// cause says why a session is over, in the words of the limits that are said aloud.
func (w *world) cause(f *family) string {
	_, refresh, reused := strings.Cut(f.ended, "reuse of ")
	switch {
	case f.signedOut:
		return "signed out"
	case !reused && f.ended != "":
		return f.ended
	}
	for _, g := range f.generations {
		for _, p := range g.presentations {
			if (g.refresh == refresh || !reused) && p.got != nil && p.excuse != "" {
				return "lost by " + p.excuse
			}
		}
	}
	return "lost"
}

// heed reads the Coordinators' logs.
func (w *world) heed() {
	w.mu.Lock()
	notes := w.notes
	w.notes = nil
	w.mu.Unlock()
	for _, n := range notes {
		w.say("      %s logs %q %s %s", n.by.name, n.message, n.why, n.session)
		w.counts["log "+n.message+" "+n.why]++
		if strings.HasSuffix(n.message, "unstored") && w.chance(50) {
			w.misses(n.by)
		}
		if reason.Reason(n.why) != reason.Refused || n.by.dead {
			continue
		}
		for _, g := range w.everyGeneration() {
			if strings.HasPrefix(g.id, n.session) && n.session != "" {
				w.proved(g)
			}
		}
	}
}

// misses has the browsers not hear of what only this process knows.
func (w *world) misses(r *replica) {
	for _, q := range w.live {
		if q.to == r && q.granted == nil {
			q.lost = true
		}
	}
}

// proved checks that a refusal is not our own doing.
func (w *world) proved(g *generation) {
	if w.server.mode == lasting || w.emptied || g.family.ended == "revoked" {
		return
	}
	w.outdated(g)
	alone := slices.ContainsFunc(g.presentations, func(p *presentation) bool { return p.excuse == "alone" })
	for _, p := range g.presentations {
		switch {
		case p.got == nil || p.old:
		case alone:
			w.counts["limit: who goes on alone is known of by nobody, and another one's refusal is called refused"]++
		default:
			w.fail("%s is called refused, though it was exchanged for %s", g.refresh, p.got.text())
		}
	}
}

//go:build unix

package faults

import (
	"fmt"
	"strings"
	"time"
)

// check fails the test for what may never be.
func (w *world) check() {
	w.t.Helper()
	if n := w.api.Counts().Mixed; n > 0 {
		w.t.Errorf("%d calls with the token of somebody else", n)
	}
	for id, n := range w.ledger.comments {
		if n > 1 {
			w.t.Errorf("the POST %s was carried out %d times", id, n)
		}
	}
	for id := range w.posts {
		if w.ledger.comments[id] != 1 {
			w.t.Errorf("the POST %s was answered with 200, and carried out %d times", id, w.ledger.comments[id])
		}
	}
	for kind, outcomes := range w.seen {
		for came, n := range outcomes {
			if strings.HasPrefix(string(came), "500") || strings.HasPrefix(string(came), "no answer") || strings.HasPrefix(string(came), "200") {
				w.t.Errorf("%d × %s: %s", n, kind, came)
			}
		}
	}
	for i := range w.after {
		if n := w.after[i].Did.More; n > 0 {
			w.t.Errorf("replica %d sent %d calls more than twice", i+1, n)
		}
		if !back(w.before[i], w.after[i]) {
			w.t.Errorf("replica %d holds more than before; its goroutines:\n%s", i+1, w.replicas[i].stacks())
		}
	}
	w.checkFaults()
}

// checkFaults fails the test if a fault was not there, or was felt by nobody. A
// long run has each be felt on each way.
func (w *world) checkFaults() {
	w.t.Helper()
	felt := map[string]int{}
	for _, way := range w.ways {
		for name, n := range w.felt(way) {
			felt[name] += n
		}
	}
	for _, way := range w.ways {
		here := w.felt(way)
		for _, f := range way.deck {
			switch name := f.String(); {
			case way.faults[name] == 0:
				w.t.Errorf("was not there on the way to %s: %s", way.name, name)
			case felt[name] == 0, len(w.browsers) > 100 && here[name] == 0:
				w.t.Errorf("was felt by nobody on the way to %s: %s", way.name, name)
			}
		}
	}
}

// felt returns how many connections felt which fault. Those that were refused are
// told apart by nobody, and are counted for both sorts.
func (w *world) felt(way *way) map[string]int {
	counted, refused := way.proxy.counted(), 0
	for _, h := range w.after {
		refused += h.Did.Refused[way.proxy.addr]
	}
	for _, before := range []bool{false, true} {
		counted[fault{kind: refusing, before: before}.String()] += refused
	}
	return counted
}

// checkTwice fails the test if a refresh token was presented again, or a session
// ended, without a reason: an answer that was lost, a process that stood still
// or, where that is allowed, a Redis that was away.
func (w *world) checkTwice(mild bool) {
	w.t.Helper()
	why := map[*family]string{} // a session may have ended
	for _, again := range w.ledger.repeated() {
		class, excuse := w.classify(again, mild)
		if w.again[class]++; w.again[class] <= 3 { // the rest is like these
			w.t.Logf("presented again, %s: %v;%s;%s;%s", class, again, w.ways[1].failed(again.span()), w.ways[2].failed(again.span()), w.stalls.within(again.span()))
		}
		if excuse {
			why[again.family] = class
		} else if !again.allowed() {
			w.t.Errorf("presented again, %s: %v", class, again)
		}
	}
	seen := map[*family]bool{}
	for _, l := range w.losses {
		if seen[l.family] {
			continue // another tab of the same
		}
		seen[l.family] = true
		if class, ok := why[l.family]; ok && l.family.refused != nil {
			w.ended[class]++
			continue
		}
		w.ended["for no reason"]++
		proof := "none"
		if p := l.family.refused; p != nil {
			proof = fmt.Sprintf("refused at %s to %s", clock(p.at), p.attempt)
		}
		w.t.Errorf("a session was lost: %s: %s at %s; proof: %s; revoked: %v", l.user, l.why, clock(l.at), proof, l.family.revoked)
	}
}

// classify says why a refresh token was presented again, and whether its session
// may end for that.
func (w *world) classify(again twice, mild bool) (class string, excuse bool) {
	stalled := w.stalls.cost(again.all[0].at.Add(-time.Second), again.all[1].at)
	switch {
	case again.allowed():
		return "after a lost answer", !mild || stalled
	case stalled:
		return "when a process had stood still", true
	case w.ways[2].failed(again.span()) == "":
		return "for no reason", false
	case again.first: // the refusal of the second could not be written
		return "after a lost answer, and again when Redis had failed", !mild
	}
	return "when Redis had failed", !mild
}

//go:build unix

package faults

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
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
}

// checkTwice fails the test if a refresh token was presented again, or a session
// ended, without a reason: an answer that was lost, a process that stood still
// or, where that is allowed, a Redis that was away.
func (w *world) checkTwice(documented bool) {
	w.t.Helper()
	why := map[*family]string{} // a session may have ended
	count := map[string]int{}
	for _, again := range w.ledger.repeated() {
		class, excuse := w.classify(again, documented)
		if count[class]++; count[class] <= 3 { // the rest is like these
			w.t.Logf("presented again, %s: %v;%s;%s", class, again, w.ways[1].failed(again.span()), w.ways[2].failed(again.span()))
		}
		if excuse {
			why[again.family] = class
		} else if !again.allowed() {
			w.t.Errorf("presented again, %s: %v", class, again)
		}
	}
	seen, ended := map[*family]bool{}, map[string]int{}
	for _, l := range w.losses {
		if seen[l.family] {
			continue // another tab of the same
		}
		seen[l.family] = true
		if class, ok := why[l.family]; ok && l.family.refused != nil {
			ended[class]++
			continue
		}
		proof := "none"
		if p := l.family.refused; p != nil {
			proof = fmt.Sprintf("refused at %s to %s", clock(p.at), p.attempt)
		}
		w.t.Errorf("a session was lost: %s: %s at %s; proof: %s; revoked: %v", l.user, l.why, clock(l.at), proof, l.family.revoked)
	}
	w.t.Logf("presented again: %v; sessions that ended: %v", count, ended)
}

// classify says why a refresh token was presented again, and whether its session
// may end for that.
func (w *world) classify(again twice, documented bool) (class string, excuse bool) {
	// Two thirds of a lease are what a holder can miss.
	stalled := w.stalls.during(again.all[0].at.Add(-time.Second), again.all[1].at) > cmp.Or(w.lease, 3*time.Second)*2/3
	switch {
	case again.allowed():
		return "after a lost answer", documented || stalled
	case stalled:
		return "when a process had stood still", true
	case w.ways[2].failed(again.span()) != "":
		return "when Redis had failed", documented
	}
	return "for no reason", false
}

// report prints the figures.
func (w *world) report(took time.Duration, before, after []held) {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %d users, %d requests, %d calls of the API\n", *seed, len(w.browsers), w.requests.Load(), w.api.Counts().Requests)
	for _, way := range w.ways {
		felt := way.proxy.counted()
		fmt.Fprintf(&b, "faults on the way to %s:", way.name)
		for _, k := range slices.Sorted(maps.Keys(way.faults)) {
			fmt.Fprintf(&b, "  %s %d (%d connections)", k, way.faults[k], felt[k])
		}
		b.WriteString("\n")
	}
	repeated := w.ledger.repeated()
	fmt.Fprintf(&b, "presentations %d, of refresh tokens %d; more than once %d; answers lost %d; %+v\n",
		w.ledger.total, len(w.ledger.shown), len(repeated), len(w.ledger.lost), w.as.Counts())
	for _, kind := range slices.Sorted(maps.Keys(w.seen)) {
		all, good := 0, w.seen[kind][""]
		for _, n := range w.seen[kind] {
			all += n
		}
		fmt.Fprintf(&b, "%s: %d, as they should be %d", kind, all, good)
		for _, came := range slices.Sorted(maps.Keys(w.seen[kind])) {
			if came != "" {
				fmt.Fprintf(&b, ";  %s × %d", came, w.seen[kind][came])
			}
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "POSTs carried out %d, answered with 200 %d\n", len(w.ledger.comments), len(w.posts))
	fmt.Fprintf(&b, "wrong answers %d, sessions lost %d; every session worked %v after the last fault\n",
		w.wrong.Load(), w.lost(), took.Round(time.Millisecond))
	for _, kind := range slices.Sorted(maps.Keys(w.ledger.logs)) {
		fmt.Fprintf(&b, "logged: %s × %d\n", kind, w.ledger.logs[kind])
	}
	fmt.Fprintf(&b, "processes that stood still for a second or more: %d times, %v the longest\n", len(w.stalls.all), w.stalls.longest.Round(time.Millisecond))
	for i := range after {
		fmt.Fprintf(&b, "replica %d before: %v\nreplica %d after:  %v\n", i+1, before[i], i+1, after[i])
		if !w.back(before[i], after[i]) {
			w.t.Errorf("replica %d holds more than before; its goroutines:\n%s", i+1, w.replicas[i].stacks())
		}
	}
	w.t.Log("\n" + b.String())
}

// lost is how many sessions ended before their users left.
func (w *world) lost() int {
	families := map[*family]bool{}
	for _, l := range w.losses {
		families[l.family] = true
	}
	return len(families)
}

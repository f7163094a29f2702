//go:build unix

package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// way is where a proxy stands, and what may happen there.
type way struct {
	name  string
	proxy *proxy
	deck  []fault
	last  time.Duration // of the longest fault, and the longest time without one

	mu      sync.Mutex
	faults  map[string]int // by name
	windows []window       // when there were faults
}

// deckOf returns each fault that a way can have. A mild one loses requests, but
// no answers.
func deckOf(kinds []kind, mild bool) (all []fault) {
	for _, k := range kinds {
		if !k.losesNothing() {
			all = append(all, fault{kind: k, before: true})
		}
		if k.losesNothing() || !mild {
			all = append(all, fault{kind: k})
		}
	}
	return all
}

type window struct {
	fault
	from, to time.Time
}

// storm has faults come and go for d at least, and until each was there; none
// comes again before all others have. It leaves the way healed. The same seed
// gives the same faults; what they meet depends on the machine.
func (w *way) storm(ctx context.Context, d time.Duration, seed uint64) {
	defer w.proxy.end()
	r := rand.New(rand.NewPCG(seed, uint64(len(w.name))))
	deck, until := slices.Clone(w.deck), time.Now().Add(d)
	for n := 0; n < len(deck) || time.Now().Before(until); n++ {
		if n%len(deck) == 0 {
			r.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		}
		f := deck[n%len(deck)]
		calm := between(r, w.last/2, w.last) // so that what was slow ends before the next
		f.delay = between(r, 50*time.Millisecond, min(2*w.last, 3*time.Second))
		lasts := between(r, w.last/4, w.last)
		if !pause(ctx, calm) {
			return
		}
		from := time.Now()
		w.proxy.begin(f)
		going := pause(ctx, lasts)
		w.proxy.end()
		w.mu.Lock()
		w.faults[f.String()]++
		w.windows = append(w.windows, window{f, from, time.Now()})
		w.mu.Unlock()
		if !going {
			return
		}
	}
}

// failed returns what was wrong with the way between the two times; "" is
// nothing.
func (w *way) failed(from, to time.Time) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var b strings.Builder
	for _, f := range w.windows {
		if f.from.Before(to) && f.to.After(from) {
			fmt.Fprintf(&b, " %s: %s %s–%s", w.name, f.fault, clock(f.from), clock(f.to))
			if f.kind == latency {
				fmt.Fprintf(&b, " of %v", f.delay.Round(time.Millisecond))
			}
		}
	}
	return b.String()
}

// clock is a time within an hour.
func clock(t time.Time) string { return t.Format("04:05.000") }

func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)+1))
}

// pause waits for d, and reports whether ctx has not ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// stalls are the times in which a process did not run: a machine that has other
// things to do is a fault that nobody has scheduled.
type stalls struct {
	mu      sync.Mutex
	longest time.Duration
	all     []window
}

const stall kind = "stood still"

// watchStalls calls told for each of the process that it runs in, of a second or
// more, until ctx ends.
func watchStalls(ctx context.Context, told func(from, to time.Time)) {
	for last := time.Now(); pause(ctx, 50*time.Millisecond); last = time.Now() {
		if now := time.Now(); now.Sub(last) > time.Second {
			told(last, now)
		}
	}
}

func (s *stalls) add(from, to time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.longest = max(s.longest, to.Sub(from))
	s.all = append(s.all, window{fault{kind: stall}, from, to})
}

// lease is the default, of which a holder need not write for two thirds.
const lease = 3 * time.Second

// cost reports whether the stalls between the two times took a lease from its
// holder: as much of it as that.
func (s *stalls) cost(from, to time.Time) bool {
	for _, w := range s.sorted() {
		if w.to.After(from) && w.from.Before(to) && s.during(w.from, w.from.Add(lease)) >= lease*2/3 {
			return true
		}
	}
	return false
}

// within lists the stalls between the two times.
func (s *stalls) within(from, to time.Time) string {
	var b strings.Builder
	for _, w := range s.sorted() {
		if w.to.After(from) && w.from.Before(to) {
			fmt.Fprintf(&b, " %s %s–%s", w.kind, clock(w.from), clock(w.to))
		}
	}
	return b.String()
}

// sorted returns them, the first first.
func (s *stalls) sorted() []window {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(slices.Values(s.all), func(a, b window) int { return a.from.Compare(b.from) })
}

// during returns for how much of the time between the two some process stood
// still.
func (s *stalls) during(from, to time.Time) (sum time.Duration) {
	for _, w := range s.sorted() {
		begins, ends := later(w.from, from), w.to
		if ends.After(to) {
			ends = to
		}
		if ends.After(begins) {
			sum += ends.Sub(begins)
			from = ends // what others did meanwhile is counted
		}
	}
	return sum
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
